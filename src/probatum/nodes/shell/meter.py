"""Measuring a party from outside: it steps as before, and what passes by is counted.

The meter stands between driver and machine, and before the journal. Machines stay pure: time is
taken here, and what only they know they show as `get_gauges`. Must not know roles.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Protocol, runtime_checkable

from starlette.types import ASGIApp, Receive, Scope, Send

from probatum.machine.events import (
    Arrived,
    Computed,
    Durable,
    Event,
    Hung,
    Moment,
    Returned,
    Unreachable,
)
from probatum.machine.machine import Machine
from probatum.machine.wishes import (
    CancelTimer,
    Commit,
    Compute,
    Generate,
    Journal,
    Reply,
    Report,
    SetTimer,
    Wish,
)
from probatum.machine.wishes import Send as SendWish
from probatum.nodes.shell.front import respond
from probatum.nodes.shell.metrics import SECONDS, SIZES, Counter, Gauges, Histogram, write_figures
from probatum.nodes.shell.recording import RecordSink
from probatum.nodes.shell.world import World
from probatum.protocol.messages import Refused

__all__ = ["Counted", "Gauged", "Meter", "MetricsDoor"]

PATH: Final = "/metrics"
_TEXT: Final = b"text/plain; version=0.0.4; charset=utf-8"
_LOCAL: Final = ("127.", "::1", "::ffff:127.")
_UNNOTED: Final = frozenset({SetTimer, CancelTimer})
"""Wishes that nothing is counted of: half of all."""
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


@runtime_checkable
class Gauged(Protocol):
    """A machine that shows figures of its own."""

    def get_gauges(self) -> Mapping[str, float]:
        """Get figures by name, without the prefix."""
        ...


@runtime_checkable
class Counted(Protocol):
    """What computes, if it counts."""

    def get_counts(self) -> Mapping[str, float]:
        """Get counts by name, without the prefix; names end in ``_total``."""
        ...


class Meter:
    """A machine around a machine; drive it instead of the other."""

    def __init__(self, machine: Machine) -> None:
        """Measure a machine."""
        self._machine = machine
        self._begun = time.time()
        self._counted: Counted | None = None
        self._asked: dict[str, tuple[str, float]] = {}
        self._called: dict[str, tuple[str, float, bool]] = {}
        self._jobs: dict[str, float] = {}
        self._written: dict[str, float] = {}
        self._requests = Counter(
            "probatum_requests_total", "Conversations that ended.", ("message", "outcome")
        )
        self._answer = Histogram(
            "probatum_request_seconds", "Arrival to the last reply.", SECONDS, ("message",)
        )
        self._calls = Counter(
            "probatum_calls_total", "Calls to other parties that ended.", ("message", "outcome")
        )
        self._first = Histogram(
            "probatum_call_first_reply_seconds", "Call to first reply.", SECONDS, ("message",)
        )
        self._call = Histogram(
            "probatum_call_seconds", "Call to last reply.", SECONDS, ("message",)
        )
        self._compute = Histogram(
            "probatum_compute_seconds", "Waiting and computing.", SECONDS, ("outcome",)
        )
        self._durable = Histogram(
            "probatum_durable_seconds", "Wish for durability until it is granted.", SECONDS
        )
        self._step = Histogram("probatum_step_seconds", "One step of the machine.", SECONDS)
        self._reports = Counter("probatum_reports_total", "Log lines.", ("level", "code"))
        self._flush = Histogram("probatum_flush_seconds", "One write and flush.", SECONDS)
        self._group = Histogram("probatum_flush_records", "Records of one flush.", SIZES)

    def step(self, event: Event, moment: Moment) -> tuple[Wish, ...]:
        """Take one event as the machine does."""
        begun = time.monotonic()
        self._note_event(event, begun)
        wishes = self._machine.step(event, moment)
        now = time.monotonic()
        self._step.observe(now - begun)
        for wish in wishes:
            if type(wish) not in _UNNOTED:
                self._note_wish(wish, now)
        return wishes

    def watch(self, world: World) -> World:
        """Return the world with its journal measured too; what computes counts itself."""
        if isinstance(world.compute, Counted):
            self._counted = world.compute
        journal = world.journal
        return world if journal is None else replace(world, journal=_Sink(journal, self))

    def observe_flush(self, seconds: float, records: int) -> None:
        """Take one flush of the journal."""
        self._flush.observe(seconds)
        self._group.observe(records)

    def write(self) -> bytes:
        """Write all figures in the Prometheus text format."""
        figures = (
            self._requests, self._answer, self._calls, self._first, self._call, self._compute,
            self._durable, self._step, self._reports, self._flush, self._group,
        )  # fmt: skip
        looked = (
            Gauges(self._get_gauges),
            Gauges(self._get_counts, "counter"),
        )
        return write_figures((*figures, *looked))

    def _get_gauges(self) -> dict[str, float]:
        found: dict[str, float] = {
            "probatum_open_conversations": len(self._asked),
            "probatum_open_calls": len(self._called),
            "probatum_open_jobs": len(self._jobs),
            "probatum_open_writes": len(self._written),
            "process_resident_memory_bytes": _get_rss_bytes(),
            "process_start_time_seconds": self._begun,
        }
        if isinstance(self._machine, Gauged):
            own = self._machine.get_gauges()
            found |= {f"probatum_{name}": value for name, value in own.items()}
        return found

    def _get_counts(self) -> dict[str, float]:
        counts = self._counted.get_counts() if self._counted is not None else {}
        found = {f"probatum_{name}": value for name, value in counts.items()}
        return {"process_cpu_seconds_total": _get_cpu_s(), **found}

    def _note_event(self, event: Event, now: float) -> None:
        match event:
            case Arrived(conversation=name, message=message):
                self._asked[name] = (type(message).__name__, now)
            case Hung(conversation=name):
                asked = self._asked.pop(name, None)
                if asked is not None:
                    self._requests.add(asked[0], "hung-up")
            case Returned(call=name, message=message, last=last):
                self._note_return(name, isinstance(message, Refused), last=last, now=now)
            case Unreachable(call=name):
                called = self._called.pop(name, None)
                if called is not None:
                    self._calls.add(called[0], "unreachable")
            case Durable(ticket=name):
                begun = self._written.pop(name, None)
                if begun is not None:
                    self._durable.observe(now - begun)
            case Computed(job=name, outcome=outcome):
                begun = self._jobs.pop(name, None)
                if begun is not None:
                    word = "ok" if isinstance(outcome, tuple) else "failed"
                    self._compute.observe(now - begun, word)
            case _:
                pass

    def _note_return(self, name: str, refused: bool, *, last: bool, now: float) -> None:  # noqa: FBT001
        called = self._called.get(name)
        if called is None:
            return
        kind, begun, heard = called
        if not heard:
            self._first.observe(now - begun, kind)
        if last:
            del self._called[name]
            self._call.observe(now - begun, kind)
            # The code is another party's word; ours are in `probatum_requests_total`.
            self._calls.add(kind, "refused" if refused else "ok")
        else:
            self._called[name] = (kind, begun, True)

    def _note_wish(self, wish: Wish, now: float) -> None:
        match wish:
            case Reply(conversation=name, message=message, last=True):
                asked = self._asked.pop(name, None)
                if asked is not None:
                    code = message.code if isinstance(message, Refused) else "ok"
                    self._requests.add(asked[0], code)
                    self._answer.observe(now - asked[1], asked[0])
            case SendWish(call=name, message=message):
                self._called[name] = (type(message).__name__, now, False)
            case Journal(ticket=name) | Commit(ticket=name):
                self._written[name] = now
            case Compute(job=name) | Generate(job=name):
                self._jobs[name] = now
            case Report(level=level, code=code):
                self._reports.add(level, code)
            case _:
                pass


class _Sink:
    """A journal that is measured; runs where the writer writes."""

    def __init__(self, journal: RecordSink, meter: Meter) -> None:
        self._journal = journal
        self._meter = meter

    def append(self, records: tuple[bytes, ...]) -> None:
        begun = time.monotonic()
        self._journal.append(records)
        self._meter.observe_flush(time.monotonic() - begun, len(records))

    def is_brief(self, size_bytes: int) -> bool:
        return self._journal.is_brief(size_bytes)


class MetricsDoor:
    """A door with ``GET /metrics`` added, for callers on the same machine unless said otherwise."""

    def __init__(self, app: ASGIApp, meter: Meter, *, anyone: bool) -> None:
        """Stand before a party's door."""
        self._app = app
        self._meter = meter
        self._anyone = anyone

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Show the figures, or pass on: to others there is nothing at this path."""
        if scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "GET":
            client = scope.get("client")
            if self._anyone or (client and str(client[0]).startswith(_LOCAL)):
                await respond(send, 200, self._meter.write(), _TEXT)
                return
        await self._app(scope, receive, send)


def _get_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _get_rss_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - no path of ours
        return int(file.read().split()[1]) * _PAGE_BYTES
