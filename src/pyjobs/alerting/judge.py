"""What jobs want to be told about: judged by the ends of their runs, and by what has not happened for too long."""

from __future__ import annotations

from typing import Any

from pyjobs.alerting.incidents import Incidents, Place
from pyjobs.alertpolicy import AlertPolicy, alert_policy
from pyjobs.alerts import Finding
from pyjobs.durations import in_words
from pyjobs.errors import Invalid
from pyjobs.jobs import Job, JobState, Run, RunState
from pyjobs.masking import Masker
from pyjobs.ports import RunQuery, Store

__all__ = ["SOURCE", "JobJudge"]

SOURCE = "job:"
#: Ends that are looked at in one transaction.
_BATCH = 200
_TEXT_CHARS = 1000


class JobJudge:
    """Looks at the runs of watched jobs."""

    def __init__(self, store: Store, incidents: Incidents, place: Place) -> None:
        """Take what to look at, and who is told."""
        self._store = store
        self._incidents = incidents
        self._place = place
        self._jobs: dict[int, tuple[Job, AlertPolicy]] = {}
        #: When each job that is watched for silence was well last.
        self._well_ms: dict[int, int] = {}

    @property
    def watches(self) -> bool:
        """Whether any job says something."""
        return bool(self._jobs)

    def learn(self, now_ms: int) -> None:
        """Read again which jobs say what; what is watched no more is over, without a word."""
        self._jobs = {}
        for job in self._store.watched_jobs():
            try:
                self._jobs[job.id] = (job, alert_policy(job.alerts))
            except Invalid:  # no version of this program wrote it
                continue
        self._well_ms = {job_id: ms for job_id, ms in self._well_ms.items() if job_id in self._jobs}
        for incident in self._store.incidents(limit=100_000):
            if incident.cause.startswith(SOURCE) and not self._watched(incident.cause):
                self._incidents.over(incident.cause, now_ms, quiet=True)

    def look_at_ends(self, now_ms: int) -> bool:
        """Judge runs that ended, in the order of their ends, each once; answers whether there may be more."""
        if not self._store.marks(1):
            return False
        with self._store.transaction():
            marks = self._store.marks(_BATCH)
            for mark in marks:
                run = self._store.run(mark.exec_id)
                found = self._jobs.get(run.job_id or 0) if run is not None else None
                if run is not None and found is not None:
                    self._judge_end(run, *found, now_ms)
            self._store.forget_marks(marks[-1].id)
        return len(marks) == _BATCH

    def look_at_time(self, now_ms: int, *, paused: bool) -> None:
        """Judge what has not happened: runs that go on for too long or did not start, jobs that are silent."""
        timed = [job.id for job, policy in self._jobs.values() if policy.late or policy.longer]
        for run in self._store.active_runs(timed) if timed else ():
            job, policy = self._jobs[run.job_id or 0]
            self._judge_active(run, job, policy, now_ms)
        for job, policy in list(self._jobs.values()):
            stopped = job.state is JobState.STOPPED
            for what in ("late", "silent"):
                if stopped and getattr(policy, what):  # nothing is expected of it
                    self._incidents.over(_cause(job, what), now_ms, quiet=True)
            if policy.late and not paused and not stopped:
                self._judge_overdue(job, policy, now_ms)
            if policy.silent and not stopped:
                self._judge_silence(job, policy, now_ms)

    # --- one run -----------------------------------------------------------------------------------------------

    def _judge_end(self, run: Run, job: Job, policy: AlertPolicy, now_ms: int) -> None:
        well = run.state is RunState.SUCCESS
        if well:
            self._well_ms[job.id] = run.ended_ms or now_ms
        if policy.failures and well:
            self._over(job, "failures", now_ms)
        elif policy.failures:
            self._incidents.found(self._failed(run, job, policy), now_ms)
        took = run.duration_ms or 0
        if policy.shorter and well:
            self._either(took < policy.shorter, "shorter", job, policy, run, now_ms)
        if policy.longer:
            self._either(took > policy.longer, "longer", job, policy, run, now_ms)
        if policy.late and run.scheduled_ms is not None and run.started_ms is not None:
            self._either(run.started_ms - run.scheduled_ms > policy.late, "late", job, policy, run, now_ms)
        if policy.silent and well:
            self._over(job, "silent", now_ms)

    def _either(self, wrong: bool, what: str, job: Job, policy: AlertPolicy, run: Run, now_ms: int) -> None:  # noqa: FBT001 - what is judged
        """It is wrong; or it is over, where no run that is still active makes it go on."""
        if wrong:
            self._incidents.found(self._timed(what, job, policy, run, now_ms), now_ms)
        elif not any(self._is_wrong(other, what, policy, now_ms) for other in self._store.active_runs([job.id])):
            self._over(job, what, now_ms)

    def _judge_active(self, run: Run, job: Job, policy: AlertPolicy, now_ms: int) -> None:
        for what in ("late", "longer"):
            if self._is_wrong(run, what, policy, now_ms):
                self._incidents.found(self._timed(what, job, policy, run, now_ms), now_ms, again=False)

    @staticmethod
    def _is_wrong(run: Run, what: str, policy: AlertPolicy, now_ms: int) -> bool:
        """Whether a run that is active starts too late or goes on for too long."""
        if what == "late" and policy.late and run.scheduled_ms is not None:
            return (run.started_ms or now_ms) - run.scheduled_ms > policy.late
        if what == "longer" and policy.longer and run.started_ms is not None:
            return now_ms - run.started_ms > policy.longer
        return False

    # --- what did not happen -----------------------------------------------------------------------------------

    def _judge_overdue(self, job: Job, policy: AlertPolicy, now_ms: int) -> None:
        due = job.next_fire_ms
        if due is None or now_ms - due <= (policy.late or 0):
            return
        fresh = self._store.job(job.id)  # a runner moves it on at each fire
        if fresh is None or fresh.next_fire_ms != due:
            if fresh is not None:
                self._jobs[job.id] = (fresh, policy)
            return
        when = self._place.time(due)
        text = self._place.say(f"it was due at {when}, and nothing started it", f"应于 {when} 执行，但未启动")
        self._incidents.found(self._finding("late", job, policy, text), now_ms, again=False)

    def _judge_silence(self, job: Job, policy: AlertPolicy, now_ms: int) -> None:
        if job.id not in self._well_ms:
            last = self._store.runs(RunQuery(job_id=job.id, states=frozenset({RunState.SUCCESS}), limit=1))
            self._well_ms[job.id] = (last[0].ended_ms if last else None) or job.created_ms
        well_ms = self._well_ms[job.id]
        if now_ms - well_ms > (policy.silent or 0):
            when = self._place.time(well_ms)
            text = self._place.say(f"no run of it succeeded since {when}", f"自 {when} 起没有成功的执行")
            self._incidents.found(self._finding("silent", job, policy, text), now_ms, again=False)

    # --- words -------------------------------------------------------------------------------------------------

    def _failed(self, run: Run, job: Job, policy: AlertPolicy) -> Finding:
        when = self._place.time(run.ended_ms or 0)
        text = self._place.say(
            f"run {run.exec_id} ended at {when}: {run.state.value}",
            f"执行 {run.exec_id} 于 {when} 结束：{run.state.value}",
        )
        reason = f"\n{Masker().mask(run.error[:_TEXT_CHARS])}" if run.error else ""
        return self._finding("failures", job, policy, text + reason, needed=policy.failures, since_ms=run.ended_ms)

    def _timed(self, what: str, job: Job, policy: AlertPolicy, run: Run, now_ms: int) -> Finding:
        end = run.ended_ms or now_ms
        took = run.duration_ms if run.duration_ms is not None else end - (run.started_ms or end)
        if what == "late":
            took = (run.started_ms or now_ms) - (run.scheduled_ms or now_ms)
        words = in_words(took // 1000 * 1000 or took, self._place.lang)
        en, zh = {
            "late": (f"run {run.exec_id} started {words} late", f"执行 {run.exec_id} 延迟了 {words}"),
            "longer": (f"run {run.exec_id} took {words}", f"执行 {run.exec_id} 耗时 {words}"),
            "shorter": (f"run {run.exec_id} took {words or '0'}", f"执行 {run.exec_id} 仅耗时 {words or '0'}"),
        }[what]
        if run.ended_ms is None and what == "longer":
            en, zh = f"run {run.exec_id} goes on since {words}", f"执行 {run.exec_id} 已进行 {words}"
        elif run.started_ms is None and what == "late":
            en, zh = f"run {run.exec_id} waits since {words}", f"执行 {run.exec_id} 已等待 {words}"
        return self._finding(what, job, policy, self._place.say(en, zh))

    def _finding(self, what: str, job: Job, policy: AlertPolicy, text: str, **more: Any) -> Finding:
        say, times = self._place.say, policy.failures
        limit = getattr(policy, what)
        words = "" if what == "failures" else in_words(limit, self._place.lang)
        title = {
            "failures": say(f"{job.name} failed {times} times in a row", f"{job.name} 连续失败 {times} 次")
            if times > 1
            else say(f"{job.name} failed", f"{job.name} 执行失败"),
            "late": say(f"{job.name} is more than {words} late", f"{job.name} 延迟超过 {words}"),
            "longer": say(f"{job.name} takes longer than {words}", f"{job.name} 执行超过 {words}"),
            "shorter": say(f"{job.name} was over in less than {words}", f"{job.name} 执行不足 {words} 即结束"),
            "silent": say(f"{job.name} has not succeeded for {words}", f"{job.name} 已 {words} 没有成功"),
        }[what]
        return Finding(
            cause=_cause(job, what), title=title, text=text, job_id=job.id, tell_end=policy.recovery,
            labels={"job_name": job.name}, **more,
        )  # fmt: skip

    # --- helpers -----------------------------------------------------------------------------------------------

    def _over(self, job: Job, what: str, now_ms: int) -> None:
        self._incidents.over(_cause(job, what), now_ms)

    def _watched(self, cause: str) -> bool:
        _, job_id, what = cause.split(":")
        found = self._jobs.get(int(job_id))
        return found is not None and bool(getattr(found[1], what))


def _cause(job: Job, what: str) -> str:
    return f"{SOURCE}{job.id}:{what}"
