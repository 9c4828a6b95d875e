"""
Deliveries: each due one is taken, sent by a thread of its channel, and recorded; a channel that is down is tried later.

What is taken has its next try written down before it is sent: a crash in between sends it once more, never in a loop.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from pyjobs.alerting.channels import FIELDS, Channel, Message
from pyjobs.alerting.incidents import Place
from pyjobs.alerts import Delivery, DeliveryState
from pyjobs.clock import Clock
from pyjobs.config import Settings
from pyjobs.errors import PyjobsError, RunFailed, TimedOut
from pyjobs.ports import Store

__all__ = ["GIVE_UP_MS", "Post", "pause_ms", "try_now"]

_log = logging.getLogger(__name__)
GIVE_UP_MS = 24 * 3_600_000
_FIRST_PAUSE_MS = 5_000
_LONGEST_PAUSE_MS = 15 * 60_000
#: What takes longer has failed, whatever comes of it.
LIMIT_S = 60.0
#: So many at once are told one by one; more are told together.
_FEW = 3
_LISTED = 20


@dataclass(slots=True)
class _Trip:
    """What one thread is sending."""

    channel: str
    batch: Sequence[Delivery]
    since_s: float
    thread: threading.Thread
    #: How many of the batch are done.
    done: int = 0


@dataclass(slots=True)
class _Result:
    trip: _Trip
    batch: Sequence[Delivery]
    error: str = ""
    last: bool = False


@dataclass(slots=True)
class _Word:
    """What was said of a channel that is down: once, until it is up again."""

    errors: dict[str, str] = field(default_factory=dict)

    def failed(self, channel: str, error: str) -> None:
        if self.errors.get(channel) != error:
            self.errors[channel] = error
            _log.warning("channel `%s`: %s; it is tried again", channel, error)

    def worked(self, channel: str) -> None:
        if self.errors.pop(channel, None) is not None:
            _log.info("channel `%s` works again", channel)


class Post:
    """Sends what is due. Only `look` touches the store; threads only send."""

    def __init__(self, store: Store, settings: Settings, clock: Clock, place: Place) -> None:
        """Take what is sent from, and with which settings."""
        self._store = store
        self._settings = settings
        self._clock = clock
        self._place = place
        self._channels: Mapping[str, Channel] | None = None
        self._unusable: frozenset[str] = frozenset()
        self._group_ms = 0
        self._trips: dict[str, _Trip] = {}
        self._results: queue.SimpleQueue[_Result] = queue.SimpleQueue()
        self._word = _Word()
        #: Threads that were given up: they sit in a call that does not return.
        self.stuck: list[threading.Thread] = []

    def use(self, channels: Iterable[Channel], group_ms: int, unusable: Iterable[str] = ()) -> None:
        """
        Send through these from now on; before the first call nothing is sent.

        Args:
            channels: those that there are.
            group_ms: within so long after a message a channel gets no other one.
            unusable: names of channels that are there and cannot be read: what is for them waits.
        """
        self._unusable = frozenset(unusable)
        self._channels = {channel.name: channel for channel in channels}
        self._group_ms = group_ms

    @property
    def busy(self) -> bool:
        """Whether something is being sent."""
        return bool(self._trips)

    def look(self) -> None:
        """Record what was sent, and begin to send what is due."""
        self._collect()
        self._give_up_on_stuck()
        if self._channels is None:
            return
        now_ms = self._clock.now_ms()
        due: dict[str, list[Delivery]] = {}
        for delivery in self._store.deliveries(due_ms=now_ms):
            due.setdefault(delivery.channel, []).append(delivery)
        for name, batch in due.items():
            channel = self._channels.get(name)
            gone = channel is None and name not in self._unusable
            old = [d for d in batch if gone or now_ms - d.created_ms > GIVE_UP_MS]
            if old:
                self._give_up(name, old, gone=gone)
            elif channel is not None and name not in self._trips and self._may_speak(name, now_ms):
                self._begin(channel, batch, now_ms)

    def _may_speak(self, name: str, now_ms: int) -> bool:
        last = self._store.last_sent_ms(name) if self._group_ms else None
        # One from the future: the clock was set back.
        return last is None or not 0 <= now_ms - last < self._group_ms

    def _begin(self, channel: Channel, batch: Sequence[Delivery], now_ms: int) -> None:
        with self._store.transaction():
            taken = [
                self._store.save_delivery(replace(d, attempts=d.attempts + 1, next_ms=now_ms + pause_ms(d.attempts)))
                for d in batch
            ]
        together = [taken] if len(taken) > _FEW else [[delivery] for delivery in taken]
        trip = _Trip(channel.name, taken, self._clock.monotonic(), threading.Thread())
        send = partial(self._send, trip, channel, together)
        trip.thread = threading.Thread(target=send, name=f"alert-{channel.name}", daemon=True)
        self._trips[channel.name] = trip
        trip.thread.start()

    def _send(self, trip: _Trip, channel: Channel, together: Sequence[Sequence[Delivery]]) -> None:
        """In a thread of its own."""
        for number, batch in enumerate(together, start=1):
            error = ""
            try:
                channel.send(self._message(batch), self._settings)
            except PyjobsError as exc:
                error = exc.text(self._place.lang)
            except Exception as exc:  # a library's failure is this channel's, and its text may hold a secret
                error = type(exc).__name__
            self._results.put(_Result(trip, batch, error, last=number == len(together)))

    def _message(self, batch: Sequence[Delivery]) -> Message:
        if len(batch) == 1:
            one = batch[0]
            return Message(one.title, one.text, {**one.fields, "title": one.title, "text": one.text})
        count = len(batch)
        title = self._place.say(f"[pyjobs] {count} alerts", f"[pyjobs] {count} 条告警")
        lines = [delivery.title.removeprefix("[pyjobs] ") for delivery in batch[:_LISTED]]
        if count > _LISTED:
            lines.append(self._place.say(f"and {count - _LISTED} more", f"以及另外 {count - _LISTED} 条"))
        lines.append(f"{self._place.home} @ {self._place.host}")
        text = "\n".join(lines)
        fields = {**batch[0].fields, "event": "several", "count": count, "job": "", "job_id": "", "alert": ""}
        return Message(title, text, {**fields, "title": title, "text": text})

    def _collect(self) -> None:
        while True:
            try:
                result = self._results.get_nowait()
            except queue.Empty:
                return
            if self._trips.get(result.trip.channel) is not result.trip:
                continue  # it was given up before
            result.trip.done += len(result.batch)
            self._record(result.batch, result.error)
            if result.last:
                del self._trips[result.trip.channel]

    def _record(self, batch: Sequence[Delivery], error: str) -> None:
        now_ms, channel = self._clock.now_ms(), batch[0].channel
        with self._store.transaction():
            for delivery in batch:
                done = replace(delivery, state=DeliveryState.SENT, sent_ms=now_ms, error="")
                self._store.save_delivery(replace(delivery, error=error) if error else done)
        if error:
            self._word.failed(channel, error)
        else:
            self._word.worked(channel)

    def _give_up_on_stuck(self) -> None:
        self.stuck = [thread for thread in self.stuck if thread.is_alive()]
        for name, trip in list(self._trips.items()):
            if self._clock.monotonic() - trip.since_s <= LIMIT_S * (trip.done + 1):
                continue
            del self._trips[name]
            self.stuck.append(trip.thread)
            error = self._place.say(f"no answer within {LIMIT_S:g} s", f"{LIMIT_S:g} 秒内无响应")
            self._record(trip.batch[trip.done :], error)

    def _give_up(self, name: str, old: Sequence[Delivery], *, gone: bool) -> None:
        why = self._place.say("there is no such channel any more", "该渠道已不存在")
        with self._store.transaction():
            for delivery in old:
                error = why if gone else delivery.error
                self._store.save_delivery(replace(delivery, state=DeliveryState.GIVEN_UP, error=error))
        _log.error("channel `%s`: %d given up: %s", name, len(old), why if gone else old[0].error or "not in time")


def pause_ms(attempts: int) -> int:
    """How long after an attempt the next one is made; doubles with the attempts before it."""
    return min(_LONGEST_PAUSE_MS, _FIRST_PAUSE_MS << min(attempts, 20))


def try_now(channel: Channel, settings: Settings, title: str, text: str) -> PyjobsError | None:
    """Send one message, waiting for at most LIMIT_S; why it did not get through, if so."""
    failed: list[PyjobsError | None] = []
    message = Message(title, text, {**FIELDS, "event": "test", "title": title, "text": text})

    def send() -> None:
        try:
            channel.send(message, settings)
        except PyjobsError as exc:
            failed.append(exc)
        except Exception as exc:  # as in Post
            failed.append(
                RunFailed(
                    f"channel `{channel.name}`: {type(exc).__name__}", f"渠道 `{channel.name}`：{type(exc).__name__}"
                )
            )
        else:
            failed.append(None)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    thread.join(LIMIT_S)
    if not failed:
        return TimedOut(f"channel `{channel.name}`: no answer within {LIMIT_S:g} s",
                        f"渠道 `{channel.name}`：{LIMIT_S:g} 秒内无响应")  # fmt: skip
    return failed[0]
