"""What the meter sees of a party that steps through it."""

import asyncio

import pytest

from probatum.errors import Refusal
from probatum.machine.events import (
    Arrived,
    Computed,
    Durable,
    Hung,
    Moment,
    Returned,
    Unreachable,
)
from probatum.machine.wishes import Compute, Journal, Reply, Report, Send
from probatum.nodes.shell.drive import World
from probatum.nodes.shell.meter import Meter, MetricsDoor
from probatum.protocol.messages import GetStatus, Refused
from probatum.protocol.primitives import make_digest

NOW = Moment(0, bytes(32))
NO = Refused(code="test.no", message="no")


class Script:
    """Answers each event with the next wishes."""

    def __init__(self, *wishes):
        self.wishes = list(wishes)
        self.seen = []

    def step(self, event, moment):
        self.seen.append(event)
        return self.wishes.pop(0) if self.wishes else ()

    def get_gauges(self):
        return {"height": 7}


def lines_of(meter):
    return meter.write().decode().splitlines()


def test_what_computes_counts_itself():
    class Pool:
        def submit(self, *_):
            raise NotImplementedError

        def get_counts(self):
            return {"exact_runs_total": 3}

    meter = Meter(Script())
    meter.watch(World(clock_ms=lambda: 0, entropy=bytes, report=print, compute=Pool()))
    lines = lines_of(meter)
    assert "# TYPE probatum_exact_runs_total counter" in lines
    assert "probatum_exact_runs_total 3" in lines


def test_wishes_and_events_pass_unchanged():
    wishes = (Reply("c1", NO), Report("info", "a.b", "text"))
    script = Script(wishes)
    meter = Meter(script)
    event = Arrived("c1", GetStatus())
    assert meter.step(event, NOW) == wishes
    assert script.seen == [event]
    lines = lines_of(meter)
    assert 'probatum_requests_total{message="GetStatus",outcome="test.no"} 1' in lines
    assert 'probatum_request_seconds_count{message="GetStatus"} 1' in lines
    assert 'probatum_reports_total{level="info",code="a.b"} 1' in lines
    assert "probatum_step_seconds_count 1" in lines
    assert "probatum_height 7" in lines
    assert "probatum_open_conversations 0" in lines


def test_what_is_open_is_shown_and_forgotten_when_it_ends():
    wishes = (
        Send("s1", "http://x", GetStatus(), 1),
        Send("s2", "http://x", GetStatus(), 1),
        Journal("j", (b"",)),
        Compute("job", make_digest(bytes(32)), ()),
    )
    meter = Meter(Script(wishes))
    meter.step(Arrived("c1", GetStatus()), NOW)
    opened = lines_of(meter)
    for line in ("conversations 1", "calls 2", "jobs 1", "writes 1"):
        assert f"probatum_open_{line}" in opened
    for event in (
        Returned("s1", GetStatus(), last=False),
        Returned("s1", NO, last=True),
        Unreachable("s2", "gone"),
        Durable("j"),
        Computed("job", Refusal("test.no", "no")),
        Hung("c1"),
        # Nobody waits for these any more.
        Returned("s1", NO, last=True),
        Durable("j"),
        Hung("c1"),
    ):
        meter.step(event, NOW)
    ended = lines_of(meter)
    for line in ("conversations 0", "calls 0", "jobs 0", "writes 0"):
        assert f"probatum_open_{line}" in ended
    for line in (
        'probatum_requests_total{message="GetStatus",outcome="hung-up"} 1',
        'probatum_calls_total{message="GetStatus",outcome="refused"} 1',
        'probatum_calls_total{message="GetStatus",outcome="unreachable"} 1',
        'probatum_call_first_reply_seconds_count{message="GetStatus"} 1',
        'probatum_call_seconds_count{message="GetStatus"} 1',
        'probatum_compute_seconds_count{outcome="failed"} 1',
        "probatum_durable_seconds_count 1",
    ):
        assert line in ended


def test_the_journal_is_measured_and_written_all_the_same():
    written = []

    class Sink:
        def append(self, records):
            written.append(records)

        def is_brief(self, size_bytes):
            return size_bytes < 10

    world = World(clock_ms=lambda: 0, entropy=bytes, report=print, journal=Sink())
    meter = Meter(Script())
    meter.watch(world).journal.append((b"a", b"b", b"c"))
    assert written == [(b"a", b"b", b"c")]
    assert meter.watch(world).journal.is_brief(9)
    assert not meter.watch(world).journal.is_brief(10)
    lines = lines_of(meter)
    assert "probatum_flush_seconds_count 1" in lines
    assert 'probatum_flush_records_bucket{le="2"} 0' in lines
    assert 'probatum_flush_records_bucket{le="4"} 1' in lines


@pytest.mark.parametrize(
    ("client", "anyone", "shown"),
    [
        (("127.0.0.1", 5), False, True),
        (("::1", 5), False, True),
        (("192.0.2.7", 5), False, False),
        (None, False, False),
        (("192.0.2.7", 5), True, True),
    ],
)
def test_figures_are_for_callers_on_this_machine(client, anyone, shown):
    async def party(scope, receive, send):
        await send({"type": "http.response.start", "status": 404, "headers": []})

    sent = []

    async def send(message):
        sent.append(message)

    door = MetricsDoor(party, Meter(Script()), anyone=anyone)
    scope = {"type": "http", "path": "/metrics", "method": "GET", "client": client}
    asyncio.run(door(scope, None, send))
    assert sent[0]["status"] == (200 if shown else 404)
    if shown:
        assert b"process_resident_memory_bytes" in sent[1]["body"]
        assert b"process_cpu_seconds_total" in sent[1]["body"]
