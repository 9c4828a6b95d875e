"""
What a user would write instead of the API: FastAPI over APScheduler and a table of jobs, both durable in SQLite.

`python peer.py FOLDER JOBS` fills the table and serves it by uvicorn.
"""

from __future__ import annotations

import datetime as dt
import socket
import sys
from typing import Any

import uvicorn
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from sqlalchemy import Engine, create_engine, event, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

__all__ = ["main"]


class Base(DeclarativeBase):
    """Of all tables."""


class Job(Base):
    """The columns that our list shows, as far as such a service has them."""

    __tablename__ = "jobs"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    desc: Mapped[str] = mapped_column(default="")
    cron_expr: Mapped[str]
    mode: Mapped[str]
    command: Mapped[str]
    state: Mapped[int] = mapped_column(default=0, index=True)
    allow_mode: Mapped[int] = mapped_column(default=0)
    max_run_count: Mapped[int] = mapped_column(default=0)
    run_count: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    last_run_time: Mapped[dt.datetime | None]


class NewJob(BaseModel):
    """What an add takes."""

    name: str
    mode: str
    command: str
    cron_expr: str


def nothing() -> None:
    """What its jobs do: they are not due while it is measured."""


def opened(folder: str) -> Engine:
    """The database, as durable as ours."""
    engine = create_engine(f"sqlite:///{folder}/peer.db", connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def durable(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("PRAGMA synchronous = full")

    Base.metadata.create_all(engine)
    return engine


def schedule(scheduler: BackgroundScheduler, job: Job) -> None:
    """Have it fire."""
    minute, hour, day, month, _ = job.cron_expr.split()[-5:]
    trigger = CronTrigger(minute=minute, hour=hour, day=day, month=month, timezone="UTC")
    scheduler.add_job(nothing, trigger, id=str(job.id), name=job.name)


def make(engine: Engine, scheduler: BackgroundScheduler) -> FastAPI:
    """The service."""
    app = FastAPI()

    @app.get("/jobs/list")
    def listed(page: int = 1, size: int = 10) -> dict[str, Any]:
        with Session(engine) as session:
            total = session.scalar(select(func.count()).select_from(Job))
            found = session.scalars(select(Job).order_by(Job.id.desc()).limit(size).offset((page - 1) * size)).all()
            data = [{column.name: getattr(job, column.name) for column in Job.__table__.columns} for job in found]
        return {"code": 200, "msg": "ok", "data": data, "total": total, "page": page, "size": size}

    @app.post("/jobs/add")
    def added(new: NewJob) -> dict[str, Any]:
        with Session(engine, expire_on_commit=False) as session:
            job = Job(**new.model_dump())
            session.add(job)
            try:
                session.commit()
            except IntegrityError as exc:
                raise HTTPException(409, "there is one of this name") from exc
        schedule(scheduler, job)  # its store takes a connection of its own
        return {"code": 200, "msg": "ok", "data": {"id": job.id}}

    @app.get("/jobs/jobStatus")
    def status() -> dict[str, Any]:
        with Session(engine) as session:
            found = session.execute(select(Job.state, func.count()).group_by(Job.state)).all()
        counts = {state: number for state, number in found}  # noqa: C416 - a row is no pair to `dict`'s type
        return {"running": scheduler.running, "total": sum(counts.values()), "waiting": counts.get(0, 0)}

    return app


def main(folder: str, jobs: int) -> None:
    """Serve, and print the address."""
    engine = opened(folder)
    scheduler = BackgroundScheduler(jobstores={"default": SQLAlchemyJobStore(engine=engine)}, timezone="UTC")
    with Session(engine) as session:
        session.add_all(
            Job(name=f"job{n}", mode="command", command="true", cron_expr="0 0 31 12 *") for n in range(jobs)
        )
        session.commit()
        for job in session.scalars(select(Job)):
            schedule(scheduler, job)
    scheduler.start()
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does so for sockets of its own
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(make(engine, scheduler), log_level="critical", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
