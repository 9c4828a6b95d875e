"""
Jobs that are one HTTP request: an attempt is a thread, its connection is what a stop or a time-out cuts.

A thread that cannot be woken (it waits for a name to resolve) is left behind: its attempt has ended, and what it
still has to say is not recorded.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import NamedTuple

from pyjobs.clock import Clock, SystemClock
from pyjobs.commandtext import HttpSpec
from pyjobs.config import Settings
from pyjobs.errors import RunFailed
from pyjobs.executors.spool import Spool
from pyjobs.httpclient.text import Body
from pyjobs.httpclient.wire import DenyList, Trust, Wire
from pyjobs.jobs import Run
from pyjobs.ports import Attempt, Launch, Outcome

__all__ = ["HttpAttempt", "HttpExecutor"]

_CHUNK = 1 << 16
#: A socket that gives up at its deadline may do so a little early.
_SLACK_S = 0.05
_SHORT = 200


class _Terms(NamedTuple):
    """Whom to reach, whom to trust, where output goes, and how many bytes of a body are recorded."""

    deny: DenyList
    trust: Trust
    spool: Spool
    limit: int


class HttpExecutor:
    """Makes requests; `requests` itself is imported by the first one."""

    mode = "http"

    def __init__(self, settings: Settings, spool: Spool, clock: Clock | None = None) -> None:
        """Take the limits of bodies and addresses, and where output goes."""
        self._spool = spool
        self._clock = clock or SystemClock()
        self._watch = _Watch(self._clock)
        self.follow(settings)

    def follow(self, settings: Settings) -> None:
        """Go by other limits from the next request on."""
        trust = Trust(os.environ)
        self._terms = _Terms(DenyList.of(settings), trust, self._spool, settings.http_response_max_bytes)

    def ready(self) -> bool:
        """What has to be imported is imported in the attempt's own thread."""
        return True

    def start(self, launch: Launch) -> Attempt:
        """
        Start one request and return at once.

        Raises:
            RunFailed: no thread or descriptor could be had.
        """
        assert isinstance(launch.spec, HttpSpec)
        try:
            attempt = HttpAttempt(launch, self._terms, self._clock)
        except OSError as exc:
            raise RunFailed(
                f"the request could not be started: {exc.strerror}", f"无法发起请求：{exc.strerror}"
            ) from exc
        try:
            attempt.begin(self._watch)
        except RuntimeError as exc:
            attempt.close()
            raise RunFailed(f"the request could not be started: {exc}", f"无法发起请求：{exc}") from exc
        return attempt

    def adopt(self, run: Run) -> Attempt | None:  # noqa: ARG002 - a connection dies with its process
        """Find nothing: a request does not outlive the runner that made it."""
        return None

    def close(self) -> None:
        """Let go of the watch over time-outs as soon as nothing is under way."""
        self._watch.close()


class HttpAttempt:
    """One request under way, or ended. The first to say how it ended is right: thread, time-out or stop."""

    def __init__(self, launch: Launch, terms: _Terms, clock: Clock) -> None:
        """Take what to ask, and on what terms."""
        assert isinstance(launch.spec, HttpSpec)
        self.pid: int | None = None
        self.pid_start: int | None = None
        self._spec = launch.spec
        self._exec_id = launch.exec_id
        self._timeout_s = launch.timeout_s
        self._terms = terms
        self._clock = clock
        self._deadline = clock.monotonic() + launch.timeout_s if launch.timeout_s else None
        self._wire = Wire(terms.deny, self._remaining)
        self._lock = threading.Lock()
        self._outcome: Outcome | None = None
        self._began = False
        self._unwritten = ""
        self._on_end: Callable[[HttpAttempt], None] = lambda _: None
        self._read_end, self._write_end = os.pipe()

    def begin(self, watch: _Watch) -> None:
        """
        Start its thread, under a watch for its deadline.

        Raises:
            RuntimeError: the system gives no thread.
        """
        if self._deadline is not None:
            self._on_end = watch.drop
            watch.add(self, self._deadline)
        threading.Thread(target=self._run, name=f"http {self._exec_id}", daemon=True).start()

    def fileno(self) -> int:
        """A pipe that has something to read once the attempt ended."""
        return self._read_end

    def outcome(self) -> Outcome | None:
        """How it ended; None while it runs."""
        return self._outcome

    def stop(self, *, force: bool) -> None:  # noqa: ARG002 - there is no gentle way to stop waiting
        """End it now and close its connection; a deadline that has passed is what is told then."""
        late = self._deadline is not None and self._clock.monotonic() >= self._deadline - _SLACK_S
        self._end(Outcome(success=False, error=self._late() if late else "stopped before the answer was whole"))
        self._wire.cut()

    def gone(self) -> bool:
        """Whether it ended; nothing of it is left then."""
        return self._outcome is not None

    def close(self) -> None:
        """Give its descriptors back; what still runs is stopped."""
        self.stop(force=True)
        with self._lock:
            if self._read_end >= 0:
                os.close(self._read_end)
                self._read_end = -1

    def _run(self) -> None:
        try:
            outcome = self._request()
        except _Over:
            return
        except Exception as exc:
            outcome = Outcome(success=False, error=self._explain(exc))
        finally:
            self._wire.release()
        self._end(outcome)

    def _request(self) -> Outcome:
        from pyjobs.httpclient.session import Session

        spec = self._spec
        with Session(self._wire, self._terms.trust) as session, session.perform(spec, self._say) as response:
            self._began = True
            body = Body(response.headers.get("Content-Type", ""), wanted=spec.result, limit=self._terms.limit)
            for chunk in response.iter_content(_CHUNK):
                self._say(body.feed(chunk))
            self._say(body.finish())
        if not spec.result:
            good = 200 <= response.status_code < 300
            return Outcome(
                success=good, error="" if good else f"HTTP status {response.status_code}", number=response.status_code
            )
        shown = spec.result if len(spec.result) <= _SHORT else f"{spec.result[:_SHORT]}…"
        return Outcome(success=body.found, error="" if body.found else f"`{shown}` is not in the answer")

    def _say(self, text: str) -> None:
        """Record output; what cannot be written never changes how the attempt ends."""
        with self._lock:
            if self._outcome is not None:
                raise _Over
            if not text:
                return
            note = f"\n… output was lost here: {self._unwritten} …\n" if self._unwritten else ""
            try:
                self._terms.spool.append(self._exec_id, out=note + text)
                self._unwritten = ""
            except OSError as exc:
                self._unwritten = exc.strerror or "it could not be written"

    def _explain(self, exc: Exception) -> str:
        if self._deadline is not None and self._clock.monotonic() >= self._deadline - _SLACK_S:
            return self._late()
        if isinstance(exc, ImportError):
            return f"the HTTP library cannot be loaded: {exc}"
        from pyjobs.httpclient.errors import explain

        return explain(exc, began=self._began)

    def _late(self) -> str:
        return f"{'no whole answer' if self._began else 'no answer'} within {self._timeout_s:g} s"

    def _remaining(self) -> float | None:
        return None if self._deadline is None else max(0.001, self._deadline - self._clock.monotonic())

    def _end(self, outcome: Outcome) -> None:
        with self._lock:
            if self._outcome is not None:
                return
            self._outcome = outcome
            os.write(self._write_end, b".")
            os.close(self._write_end)
        self._on_end(self)


class _Over(Exception):
    """Somebody else ended the attempt."""


class _Watch:
    """Stops attempts at their deadlines, whatever their threads wait for: a peer that sends a byte a second too."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._deadlines: dict[HttpAttempt, float] = {}
        self._wakes_at = 0.0
        self._running = False
        self._closed = False

    def add(self, attempt: HttpAttempt, deadline: float) -> None:
        with self._changed:
            self._deadlines[attempt] = deadline
            if not self._running:
                threading.Thread(target=self._run, name="http time-outs", daemon=True).start()
                self._running = True
            elif deadline < self._wakes_at:
                self._changed.notify()

    def drop(self, attempt: HttpAttempt) -> None:
        with self._changed:
            self._deadlines.pop(attempt, None)
            if self._closed:
                self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                now = self._clock.monotonic()
                due = [attempt for attempt, deadline in self._deadlines.items() if deadline <= now]
                if not due:
                    if self._closed and not self._deadlines:
                        self._running = False
                        return
                    self._wakes_at = min(self._deadlines.values(), default=float("inf"))
                    self._changed.wait(None if not self._deadlines else self._wakes_at - now)
            for attempt in due:
                attempt.stop(force=True)
