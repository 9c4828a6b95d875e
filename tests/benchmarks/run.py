"""
The figures of pyjobs, as ratios to a floor or a peer that is measured in the same run.

    python tests/benchmarks/run.py [NAME ...] [--json FILE]

Prints a table; README.md beside this file says how to read it.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import math
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

import http_load
import psutil

from pyjobs import bootstrap, config, daemon
from pyjobs.config import Settings
from pyjobs.ports import JobQuery
from pyjobs.service import Service
from pyjobs.service.jobs import JobFields

__all__ = ["main"]

HERE = Path(__file__).parent
ROUNDS = 3


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    what: str
    value: str
    floor: str
    ratio: float | None
    goal: str
    met: bool | None


def plain(what: str, value: str, goal: str, *, met: bool) -> Figure:
    """A figure without a floor."""
    return Figure(what, value, "", None, goal, met)


# --- homes -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def a_home(**env: str) -> Iterator[tuple[Settings, Service]]:
    """A fresh home; its daemon, if one was started, is stopped afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="pyjobs-bench-"))
    env = {"PORT": "0", **env}
    os.environ.update(env)
    try:
        settings, _ = config.load(folder, os.environ)
        yield settings, bootstrap.build_service(settings)
        if daemon.status(settings) is not None:
            daemon.stop(settings, force=True)
    finally:
        for name in env:
            os.environ.pop(name, None)
        shutil.rmtree(folder, ignore_errors=True)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def add_many(service: Service, count: int, **fields: object) -> None:
    """Add jobs in one transaction, so that the set-up does not take longer than the measurement."""
    with service.jobs.bulk():
        for number in range(count):
            chosen = {k: v(number) if callable(v) else v for k, v in fields.items()}
            service.jobs.add(JobFields(name=f"job{number}", mode="command", **chosen))  # type: ignore[arg-type]


def rows(settings: Settings, sql: str) -> list[tuple[int, ...]]:
    with contextlib.closing(sqlite3.connect(settings.database_path)) as store:
        return store.execute(sql).fetchall()


def percentile(values: list[int], share: float) -> float:
    ordered = sorted(values)
    return float(ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)])


def wait_until(condition: Callable[[], bool], limit_s: float = 120) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("the benchmark waited in vain")
        time.sleep(0.05)


# --- figures ---------------------------------------------------------------------------------------------------


def executions() -> list[Figure]:
    """2,000 runs due at once, each with start, end, exit status and output durably in the store."""
    shell = shutil.which("bash") or "/bin/sh"
    with tempfile.TemporaryDirectory() as folder:
        floor = f"{folder}/floor"
        subprocess.run(["cc", "-O2", "-o", floor, str(HERE / "floor.c")], check=True)
        # The first text needs a shell, as the floor has one; the second is executed without.
        return [_executions("true;", floor, shell), _executions("true", floor, shell)]


def _executions(text: str, floor: str, shell: str) -> Figure:
    count, width = 2000, 16
    pairs = []
    for _ in range(ROUNDS):
        done = subprocess.run([floor, shell, str(count), str(width)], capture_output=True, text=True, check=True)
        pairs.append((_recorded(text, count, width), float(done.stdout)))
    ours, base = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(o / f for o, f in pairs)
    what = f"recorded executions of `{text}` a second"
    return Figure(what, f"{ours:.0f}", f"C floor, bash {base:.0f}", ratio, "≥ 0.8", ratio >= 0.8)


def _recorded(text: str, count: int, width: int) -> float:
    with a_home(MAX_CONCURRENT_JOBS=str(width)) as (settings, service):
        at = now_ms() + 3000
        add_many(service, count, command=text, at_ms=at)
        daemon.start(settings)
        done = "SELECT count(*) FROM job_logs WHERE state = 'success'"
        wait_until(lambda: now_ms() > at + 200 and rows(settings, done)[0][0] == count)
        first, last = rows(settings, "SELECT min(claimed_at), max(ended_at) FROM job_logs")[0]
        return count / ((last - first) / 1000)


def lateness() -> list[Figure]:
    """Jobs that are not due all around, 200 due each second."""
    return [*_lateness(10_000, 2), *_lateness(100_000, 4)]


def _lateness(count: int, goal_ms: int) -> list[Figure]:
    def expression(number: int) -> str:
        return "* * * * * *" if number < 200 else f"{number % 60} {number % 24} 31 12 *"

    with a_home(MAX_CONCURRENT_JOBS="16") as (settings, service):
        add_many(service, count, command="true", cron_expr=expression)
        began = time.monotonic()
        daemon.start(settings)
        started_s = time.monotonic() - began
        # What came due before the daemon was there is caught up first; it is not what is measured.
        measured = f"FROM job_logs WHERE started_at IS NOT NULL AND scheduled_for > {now_ms() + 3000}"
        wait_until(lambda: rows(settings, f"SELECT count(*) {measured}")[0][0] >= 2000)
        daemon.stop(settings, force=True)
        on_time = rows(settings, f"SELECT claimed_at - scheduled_for, started_at - scheduled_for {measured}")
    claims, launches = ([row[side] for row in on_time] for side in (0, 1))
    p99 = percentile(claims, 0.99)
    half, most = percentile(launches, 0.5), percentile(launches, 0.99)
    return [
        plain(f"lateness of the claim, {count:,} jobs, p99", f"{p99:.0f} ms", f"≤ {goal_ms} ms", met=p99 <= goal_ms),
        plain(
            f"lateness of the launch, {count:,} jobs, p50 / p99",
            f"{half:.0f} / {most:.0f} ms",
            "≤ 50 / 120 ms",
            met=half <= 50 and most <= 120,
        ),
        plain(f"start with {count:,} jobs until ready", f"{started_s:.2f} s", "≤ 3 s", met=started_s <= 3),
    ]


def idle() -> list[Figure]:
    """Nothing is due; processor and memory of all the daemon's processes."""
    found: list[Figure] = []
    empty = 0.0
    for count in (0, 10_000, 100_000):
        share, memory, total = _idle(count)
        found.append(plain(f"idle processor, {count:,} jobs", f"{share:.2f} %", "≤ 0.2 %", met=share <= 0.2))
        if count:
            each = (memory - empty) / (count / 10_000)
            what = f"memory of 10,000 jobs, among {count:,}"
            found.append(plain(what, f"{each:.2f} MiB", "≤ 2.5 MiB", met=each <= 2.5))
        else:
            empty = memory
            found.append(plain("memory (PSS) of the runner", f"{memory:.1f} MiB", "≤ 40 MiB", met=memory <= 40))
            found.append(plain("memory (PSS) of all processes", f"{total:.1f} MiB", "≤ 130 MiB", met=total <= 130))
    return found


def _idle(count: int) -> tuple[float, float, float]:
    """(processor in %, memory of the runner, of all processes, in MiB) with so many jobs."""
    with a_home() as (settings, service):
        add_many(service, count, command="true", cron_expr="0 0 31 12 *")
        status = daemon.start(settings)
        runner = psutil.Process(status.runner_pid)
        time.sleep(2)
        before, began = runner.cpu_times(), time.monotonic()
        time.sleep(15)
        after, took = runner.cpu_times(), time.monotonic() - began
        share = 100 * (after.user + after.system - before.user - before.system) / took
        pids = (status.runner_pid, *status.api_pids, status.supervisor_pid, status.keeper_pid)
        sizes = [psutil.Process(pid).memory_full_info().pss / 2**20 for pid in pids]
    return share, sizes[0], sum(sizes)


def nudge() -> list[Figure]:
    """A start by hand in another process, until the runner launches it."""
    with a_home() as (settings, service):
        job = service.jobs.add(JobFields(name="now", mode="command", command="true", trigger_type="manual")).job
        daemon.start(settings)
        waits = []
        for _ in range(50):
            run = service.runs.start(job.id)
            wait_until(functools.partial(_launched, service, run.exec_id))
            waits.append((service.runs.get(run.exec_id).started_ms or 0) - (run.claimed_ms or 0))
    half, p99 = percentile(waits, 0.5), percentile(waits, 0.99)
    what = "from a change elsewhere to the launch, p50 / p99"
    return [plain(what, f"{half:.0f} / {p99:.0f} ms", "≤ 50 ms", met=p99 <= 50)]


def _launched(service: Service, exec_id: str) -> bool:
    return service.runs.get(exec_id).started_ms is not None


def command_line() -> list[Figure]:
    """Whole processes, A B A B, against `python -c pass`."""
    with a_home() as (settings, service):
        add_many(service, 1000, command="true", cron_expr="0 0 31 12 *")
        # Compiled modules are there, as they are after an installation, but not in the tree.
        cache = str(settings.home / "pycache")
        env = {**os.environ, "PYJOBS_HOME": str(settings.home), "COLUMNS": "120", "PYTHONPYCACHEPREFIX": cache}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        return [
            _whole_process("--version", 1.5, env, "--version"),
            _whole_process("--help, piped", 6, env, "--help"),
            _whole_process("job list of 1,000, piped", 10, env, "job", "list"),
            _whole_process("job list of 1,000, coloured", 13, env, "--color", "always", "job", "list"),
        ]


def _whole_process(what: str, limit: float, env: dict[str, str], *args: str) -> Figure:
    base, argv = [sys.executable, "-c", "pass"], [sys.executable, "-m", "pyjobs", *args]
    _time(argv, env)
    pairs = [(_time(argv, env), _time(base, env)) for _ in range(15)]
    ours, floor = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = ours / floor
    against = f"python -c pass {floor * 1000:.0f} ms"
    return Figure(f"pyjobs {what}", f"{ours * 1000:.0f} ms", against, ratio, f"≤ {limit:g}", ratio <= limit)


def _time(argv: list[str], env: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def claim() -> list[Figure]:
    """1,000 fires due in one tick, against 1,000 durable commits."""
    from pyjobs import procs
    from pyjobs.service.fires import claim_due
    from pyjobs.store import open_store

    pairs = []
    for _ in range(ROUNDS):
        with a_home() as (settings, service):
            at = now_ms() + 60_000
            add_many(service, 1000, command="true", at_ms=at)
            store = open_store(settings)
            due = [(job.id, at) for job in store.jobs_by_id(range(1, 1001)).values()]
            began = time.perf_counter()
            claims = claim_due(store, due, at, procs.owner_name(), "UTC")
            ours = time.perf_counter() - began
            if len(claims.launch) != len(due):
                sys.exit("not every fire was claimed")
            store.close()
            pairs.append((ours, _separate_commits(settings.home / "floor.db")))
    ratio = statistics.median(o / f for o, f in pairs)
    ours, floor = (statistics.median(side) for side in zip(*pairs, strict=True))
    against = f"1,000 commits {floor * 1000:.0f} ms"
    return [
        Figure("claim of 1,000 fires in one tick", f"{ours * 1000:.0f} ms", against, ratio, "≤ 0.04", ratio <= 0.04)
    ]


def _separate_commits(path: Path) -> float:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as store:
        store.execute("PRAGMA journal_mode = wal")
        store.execute("PRAGMA synchronous = full")
        store.execute("CREATE TABLE fires (job INTEGER, at INTEGER, UNIQUE (job, at))")
        began = time.perf_counter()
        for number in range(1000):
            store.execute("INSERT INTO fires VALUES (?, 1)", (number,))
        return time.perf_counter() - began


def import_() -> list[Figure]:
    """A document of 10,000 jobs, by a whole process, into a home that has none."""
    took = []
    for _ in range(ROUNDS):
        with a_home() as (settings, service):
            rows = [
                {"name": f"job{n}", "cron_expr": f"{n % 60} {n % 24} * * *", "mode": "command", "command": f"echo {n}"}
                for n in range(10_000)
            ]
            path = settings.home / "jobs.json"
            path.write_text(json.dumps({"jobs": rows}), encoding="utf-8")
            env = {**os.environ, "PYJOBS_HOME": str(settings.home)}
            took.append(_time([sys.executable, "-m", "pyjobs", "import", str(path)], env))
            if service.jobs.count(JobQuery()) != len(rows):
                sys.exit("not every job was imported")
    seconds = statistics.median(took)
    return [plain("import of 10,000 jobs", f"{seconds:.2f} s", "≤ 5 s", met=seconds <= 5)]


def cron() -> list[Figure]:
    """The next 20 instants of ordinary expressions in a real zone, whose table of clock changes is there already."""
    from zoneinfo import ZoneInfo

    from croniter import croniter

    from pyjobs.triggers import parse_cron

    zone, ratios = ZoneInfo("Europe/Berlin"), []
    start = datetime(2026, 1, 30, 10, 7, 13, tzinfo=timezone.utc)
    for expr in ("*/5 * * * *", "0 0 * * *", "30 4 1,15 * 5", "0 0 1 1 *"):
        trigger = parse_cron(expr, "Europe/Berlin")
        moment = int(start.timestamp() * 1000)
        trigger.count(moment, moment + 25 * 366 * 86_400_000)  # the zone's table, once a process
        began = time.perf_counter()
        for _ in range(20):
            moment = trigger.next_after(moment) or 0
        ours = time.perf_counter() - began
        peer, began = croniter(expr, start.astimezone(zone)), time.perf_counter()
        for _ in range(20):
            peer.get_next(datetime)
        ratios.append(ours / (time.perf_counter() - began))
    worst = max(ratios)
    return [Figure("next instant of a cron expression, slowest of 4", "", "croniter", worst, "≤ 0.6", worst <= 0.6)]


def api() -> list[Figure]:
    """The API under load, against a Bottle app with one route behind the same server and adapter."""
    with a_home() as (settings, service):
        add_many(service, 1000, command="true", cron_expr="0 0 31 12 *")
        base = daemon.start(settings, timeout_s=60).api_url
        with _served("hello.py") as floor, _served("peer.py", "1000") as peer:
            places = _Places(base, floor, peer)
            found = [
                *_load("list of 10 of 1,000", places, _list(10), goal=0.4),
                *_load("list of 100 of 1,000", places, _list(100)),
                *_load("the same list of 10 again, unchanged", places, _again("/jobs/list")),
                *_load("jobStatus", places, _again("/jobs/jobStatus")),
                *_load("add, durable", places, _add, peer_goal=5),
            ]
    return [*found, _lateness_under_load()]


@dataclass(frozen=True)
class _Places:
    """Addresses of what is measured in turn."""

    ours: str
    hello: str
    peer: str


def _list(size: int) -> Callable[[int], bytes]:
    """Requests that are all different, so that each list is made: an answer that was kept is another figure."""
    return lambda number: http_load.request("GET", f"/jobs/list?size={size}&n={time.monotonic_ns()}{number}")


def _again(path: str) -> Callable[[int], bytes]:
    raw = http_load.request("GET", path)
    return lambda _: raw


def _add(number: int) -> bytes:
    fields = {"name": f"new {time.monotonic_ns()} {number}", "mode": "command", "command": "true"}
    return http_load.request("POST", "/jobs/add", json.dumps({**fields, "cron_expr": "0 0 31 12 *"}).encode())


def _load(
    what: str,
    places: _Places,
    requests: Callable[[int], bytes],
    goal: float | None = None,
    peer_goal: float | None = None,
) -> Iterator[Figure]:
    """A B C A B C with 1, 16 and 50 clients, against "hello" and against the peer; the goals are those of 16."""
    for clients in (1, 16, 50):
        turns = [
            (
                http_load.run(places.ours, requests, clients, 1.5),
                http_load.run(places.hello, _again("/hello"), clients, 1.5),
                http_load.run(places.peer, requests, clients, 1.5),
            )
            for _ in range(ROUNDS)
        ]
        ours, hello, peer = ([turn[side] for turn in turns] for side in range(3))
        value = f"{_middle(ours, 'rate'):.0f}/s, p99 {_middle(ours, 'p99_ms'):.1f} ms"
        quick = _middle(ours, "p99_ms") <= 10
        for name, others, least in (("hello", hello, goal), ("FastAPI", peer, peer_goal)):
            ratio = statistics.median(mine.rate / other.rate for mine, other in zip(ours, others, strict=True))
            wanted = least if clients == 16 else None
            yield Figure(
                f"API: {what}, {clients} clients",
                value,
                f"{name} {_middle(others, 'rate'):.0f}/s, p99 {_middle(others, 'p99_ms'):.1f} ms",
                ratio,
                "" if wanted is None else f"≥ {wanted:g}, p99 ≤ 10 ms",
                None if wanted is None else ratio >= wanted and quick,
            )


def _middle(loads: list[http_load.Load], of: str) -> float:
    return float(statistics.median(getattr(load, of) for load in loads))


@contextlib.contextmanager
def _served(script: str, *args: str) -> Iterator[str]:
    """The address of another server, which ends afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        argv = [sys.executable, str(HERE / script), folder, *args]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            process.communicate()


def _lateness_under_load() -> Figure:
    """How late fires are claimed while 16 clients ask for lists, against the same without them."""
    quiet, loaded = _lateness_p99(clients=0), _lateness_p99(clients=16)
    ratio = loaded / max(quiet, 1)
    what = "lateness of the claim while 16 clients ask for lists, p99"
    return Figure(what, f"{loaded:.0f} ms", f"quiet {quiet:.0f} ms", ratio, "≤ 2", ratio <= 2)


def _lateness_p99(clients: int) -> float:
    with a_home(MAX_CONCURRENT_JOBS="16") as (settings, service):
        add_many(service, 1000, command="true", cron_expr=lambda n: "* * * * * *" if n < 50 else "0 0 31 12 *")
        base = daemon.start(settings).api_url
        since = now_ms() + 2000
        if clients:
            http_load.run(base, _list(10), clients, 12)
        else:
            time.sleep(12)
        measured = f"FROM job_logs WHERE started_at IS NOT NULL AND scheduled_for > {since}"
        late = rows(settings, f"SELECT claimed_at - scheduled_for {measured}")
    return percentile([value for (value,) in late], 0.99)


def backup() -> list[Figure]:
    """`db backup` of a store with 1,000,000 runs, against a copy of its file that is on the disk."""
    from pyjobs.service.backups import Wanted

    with a_home() as (settings, service):
        add_many(service, 100, command="true", trigger_type="manual")
        _fill(settings, 1_000_000)
        store, copy = settings.database_path, settings.home / "copy.db"
        pairs = []
        for _ in range(ROUNDS):
            floor = _clock(lambda: subprocess.run(["sh", "-c", f"cp {store} {copy} && sync {copy}"], check=True))
            copy.unlink()
            maker = bootstrap.build_backups(settings)
            pairs.append((_clock(lambda m=maker: m.make(None, Wanted(), lambda *_: None)), floor))  # type: ignore[misc]
            shutil.rmtree(settings.home / "backups")
    ratio = statistics.median(ours / floor for ours, floor in pairs)
    ours, floor = (statistics.median(values) for values in zip(*pairs, strict=True))
    against = f"cp and sync {floor:.2f} s"
    return [Figure("db backup of 1,000,000 runs", f"{ours:.2f} s", against, ratio, "≤ 3", ratio <= 3)]


def _clock(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _fill(settings: Settings, count: int) -> None:
    """Put runs into the store, each with a line of output."""
    columns = (
        "job_id, job_name, mode, command, state, source, exec_id, output, status, claimed_at, started_at, ended_at"
    )
    runs = (
        (n % 100 + 1, f"job{n % 100}", "command", "true", "success", "cron", f"{n:016x}", f"run {n} did its work\n", 0,
         n * 1000, n * 1000 + 2, n * 1000 + 900)
        for n in range(count)
    )  # fmt: skip
    with contextlib.closing(sqlite3.connect(settings.database_path)) as store, store:
        store.executemany(f"INSERT INTO job_logs ({columns}) VALUES ({', '.join('?' * 12)})", runs)


FIGURES: dict[str, Callable[[], list[Figure]]] = {
    "executions": executions,
    "lateness": lateness,
    "idle": idle,
    "nudge": nudge,
    "cli": command_line,
    "claim": claim,
    "import": import_,
    "cron": cron,
    "api": api,
    "backup": backup,
}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(FIGURES))
    parser.add_argument("--json", type=Path, metavar="FILE")
    chosen = parser.parse_args()
    unknown = set(chosen.names) - set(FIGURES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    os.environ = {k: v for k, v in os.environ.items() if not k.startswith("PYJOBS_")}  # type: ignore[assignment]  # noqa: B003
    found: list[Figure] = []
    for name in chosen.names or FIGURES:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        found += FIGURES[name]()
    _print(found)
    if chosen.json:
        document = {"schema_version": 1, "processors": os.cpu_count(), "figures": [asdict(f) for f in found]}
        chosen.json.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _print(found: list[Figure]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "pyjobs", "floor or peer", "ratio", "goal", "")
    for figure in found:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.3g}"
        met = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}[figure.met]
        table.add_row(figure.what, figure.value, figure.floor, ratio, figure.goal, met)
    Console(width=None if sys.stdout.isatty() else 140).print(table)


if __name__ == "__main__":
    main()
