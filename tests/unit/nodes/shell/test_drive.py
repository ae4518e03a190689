"""The driver: every kind of wish is granted, in order; bugs and broken disks end it."""

import asyncio
import threading
import time

import pytest

from probatum.errors import Fault, Refusal
from probatum.machine import events, wishes
from probatum.nodes.shell.drive import Driver, World
from probatum.nodes.shell.recording import BRIEF_BYTES
from probatum.protocol.messages import Accepted, GetHeader, GetStatus, Produced, Refused
from probatum.protocol.primitives import make_digest

PACKAGE = make_digest(bytes(32))
NO = Refused(code="test.no", message="no")


class Script:
    """A machine that answers each event by what a function of it says."""

    def __init__(self, say):
        self.say = say
        self.seen = []
        self.moments = []

    def step(self, event, moment):
        self.seen.append(event)
        self.moments.append(moment)
        return tuple(self.say(event) or ())


class Disk:
    def __init__(self, pause_s=0.0, error=None, *, brief=True):
        self.pause_s, self.error, self.brief = pause_s, error, brief
        self.groups = []
        self.threads = set()
        self.order = []

    def append(self, records):
        self.threads.add(threading.get_ident())
        self.order.append(threading.get_ident())
        time.sleep(self.pause_s)
        if self.error:
            raise self.error
        self.groups.append(records)

    def is_brief(self, size_bytes):
        return self.brief

    commit = append


class Wire:
    def __init__(self, replies):
        self.replies = replies

    async def converse(self, endpoint, message, timeout_s):
        for reply in self.replies[endpoint]:
            if isinstance(reply, Exception):
                raise reply
            yield reply

    async def close(self):
        pass


def drive(say, during=None, *, timeout_s=60, **parts):
    """Run a scripted machine until it halts; return how it ended and what it saw."""
    machine = Script(say)
    reports = []

    async def live():
        driver = Driver(
            machine,
            World(clock_ms=lambda: 77, entropy=lambda: b"e" * 32, report=reports.append, **parts),
        )
        running = asyncio.create_task(driver.run())
        if during:
            await during(driver)
        async with asyncio.timeout(timeout_s):
            return await running

    return asyncio.run(live()), machine, reports


HALT = wishes.Halt("test.done", "done")


def test_it_starts_reports_and_halts():
    report = wishes.Report("info", "test.hello", "hello")
    ended, machine, reports = drive(lambda _: [report, HALT])
    assert ended.halt == HALT
    assert machine.seen == [events.Started()]
    assert machine.moments == [events.Moment(77, b"e" * 32)]
    assert reports == [report]


def test_a_halted_machine_is_not_stepped_again():
    def say(event):
        if event == events.Started():
            return [wishes.SetTimer("a", 0), wishes.SetTimer("b", 0)]
        return [HALT]

    _, machine, _ = drive(say)
    assert machine.seen == [events.Started(), events.Fired("a")]


def test_journal_wishes_become_durable_in_order_and_share_flushes():
    disk = Disk(pause_s=0.01)
    wanted = [wishes.Journal(f"t{n}", (b"%d" % n, b"x")) for n in range(200)]

    def say(event):
        match event:
            case events.Started():
                return [*wanted[:1], wishes.SetTimer("rest", 1)]
            case events.Fired():
                return wanted[1:]
            case events.Durable(ticket="t199"):
                return [HALT]

    _, machine, _ = drive(say, journal=disk)
    tickets = [event.ticket for event in machine.seen if isinstance(event, events.Durable)]
    assert tickets == [wish.ticket for wish in wanted]
    assert sum(disk.groups, ()) == sum((wish.records for wish in wanted), ())
    assert len(disk.groups) <= 3
    assert threading.get_ident() not in disk.threads


def test_while_there_are_many_a_flush_waits_for_more():
    disk = Disk()

    def say(event):
        match event:
            case events.Started():
                return [wishes.Journal("a", (b"a",)), wishes.Journal("b", (b"b",))]
            case events.Durable(ticket="b"):
                return [wishes.Journal("c", (b"c",)), wishes.SetTimer("soon", 0)]
            case events.Fired():
                return [wishes.Journal("d", (b"d",))]
            case events.Durable(ticket="d"):
                return [wishes.Journal("alone", (b"e",))]
            case events.Durable(ticket="alone"):
                return [HALT]

    drive(say, journal=disk)
    assert disk.groups == [(b"a", b"b"), (b"c", b"d"), (b"e",)]


def drive_one_after_the_other(disk, count=4, size=1, *, askers=1):
    """Journal record after record, each once the one before is on disk; return their threads."""

    def say(event):
        match event:
            case events.Arrived(conversation="c1"):
                return [wishes.Journal("0", (bytes(size),))]
            case events.Durable(ticket=ticket) if int(ticket) < count - 1:
                return [wishes.Journal(str(int(ticket) + 1), (bytes(size),))]
            case events.Durable():
                return [HALT]

    async def during(driver):
        for _ in range(askers):
            driver.open(GetStatus())

    drive(say, during, journal=disk)
    assert disk.groups == [(bytes(size),)] * count
    return [thread == threading.get_ident() for thread in disk.order]


def test_a_short_flush_that_one_asker_waits_for_is_done_on_the_spot():
    # The first one shows how long they take.
    assert drive_one_after_the_other(Disk()) == [False, True, True, True]


@pytest.mark.parametrize(
    ("disk", "size", "askers"),
    [
        (Disk(pause_s=0.008), 1, 1),
        (Disk(brief=False), 1, 1),
        (Disk(), BRIEF_BYTES + 1, 1),
        (Disk(), 1, 2),
    ],
)
def test_a_flush_that_would_keep_somebody_waiting_has_a_thread(disk, size, askers):
    assert drive_one_after_the_other(disk, size=size, askers=askers) == [False] * 4


def test_what_was_said_leaves_before_a_flush_on_the_spot():
    order = []

    class Slow(Disk):
        def append(self, records):
            super().append(records)
            order.append((records, threading.get_ident() == self.home))

    disk = Slow()
    disk.home = threading.get_ident()
    told = Produced(start=0, ids=b"\x01\x00\x00\x00")

    def say(event):
        match event:
            case events.Arrived():
                return [wishes.Journal("a", (b"a",))]
            case events.Durable(ticket="a"):  # how long a flush takes is known now
                return [wishes.Reply("c1", told, last=False), wishes.Journal("b", (b"b",))]
            case events.Durable(ticket="b"):
                return [wishes.Reply("c1", NO), wishes.Journal("c", (b"c",)), HALT]

    async def during(driver):
        talk = driver.open(GetStatus())
        while reply := await talk.next():
            order.append(reply.message)

    drive(say, during, journal=disk)
    # Who ends writes down first: nothing runs after that.
    assert order == [((b"a",), False), told, ((b"b",), True), ((b"c",), True), NO]


@pytest.mark.parametrize(("quick_s", "groups"), [(1.0, 1), (0.002, 2)])
def test_what_a_quick_model_brings_goes_to_the_disk_with_what_was_written_before(
    monkeypatch, quick_s, groups
):
    monkeypatch.setattr("probatum.nodes.shell.recording.QUICK_S", quick_s)
    disk = Disk()

    def say(event):
        match event:
            case events.Started() | events.Durable(ticket="answer-1"):
                number = 1 if event == events.Started() else 2
                job = wishes.Compute(str(number), PACKAGE, ())
                return [wishes.Journal(f"accept-{number}", (b"accept",)), job]
            case events.Computed(job=job):
                return [wishes.Journal(f"answer-{job}", (b"answer",))]
            case events.Durable(ticket="answer-2"):
                return [HALT]

    _, machine, _ = drive(say, journal=disk, compute=Pool((), pause_s=0.02))
    # How quick the model is shows the first time.
    assert len(disk.groups[2:] or disk.groups[1:]) == groups
    assert sum(disk.groups, ()) == (b"accept", b"answer") * 2
    tickets = [event.ticket for event in machine.seen if isinstance(event, events.Durable)]
    assert tickets == ["accept-1", "answer-1", "accept-2", "answer-2"]


def test_commits_are_made_one_by_one():
    disk = Disk()
    rows = [((f"table{n}", b"k", None),) for n in range(5)]

    def say(event):
        if event == events.Started():
            return [wishes.Commit(f"c{n}", row) for n, row in enumerate(rows)]
        return [HALT] if event == events.Durable("c4") else []

    drive(say, tables=disk)
    assert disk.groups == rows


@pytest.mark.parametrize("error", [Fault("journal.write-failed", "full"), OSError("gone")])
def test_a_disk_that_fails_ends_the_party(error):
    def say(event):
        return [wishes.Journal("t", (b"x",))] if event == events.Started() else [HALT]

    with pytest.raises(type(error)):
        drive(say, journal=Disk(error=error))


def test_a_bug_in_a_step_ends_the_party():
    with pytest.raises(ZeroDivisionError):
        drive(lambda _: 1 / 0)


def test_a_refusal_that_leaves_a_step_is_a_bug():
    def say(_):
        raise Refusal("test.leaked", "leaked")

    with pytest.raises(Refusal):
        drive(say)


ACCEPTED = Accepted(record=b"r")


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ([NO], [events.Returned("call", NO, True)]),
        ([ACCEPTED, NO], [events.Returned("call", ACCEPTED, False)]),
        ([ACCEPTED], [events.Returned("call", ACCEPTED, False)]),
        ([], []),
        ([Fault("transport.cut", "cut")], []),
        ([Refusal("frame.too-large", "large")], []),
        ([ACCEPTED] * 40, [events.Returned("call", ACCEPTED, False)] * 16),
    ],
)
def test_replies_come_back_and_what_has_no_last_one_is_unreachable(replies, expected):
    def say(event):
        if event == events.Started():
            return [wishes.Send("call", "http://x", GetStatus(), 1000)]
        ended = isinstance(event, events.Unreachable) or event.last
        return [HALT] if ended else []

    _, machine, _ = drive(say, transport=Wire({"http://x": replies}))
    seen = machine.seen[1:]
    assert seen[: len(expected)] == expected
    if NO not in replies:
        assert isinstance(seen[-1], events.Unreachable)
        assert seen[-1].call == "call"


class Pool:
    def __init__(self, outcome, pause_s=0.0):
        self.outcome, self.pause_s = outcome, pause_s

    def answer(self, package, tensors):
        return None

    def submit(self, package, tensors, done):
        if isinstance(self.outcome, Refusal) and self.outcome.code == "runtime.busy":
            raise self.outcome
        threading.Timer(self.pause_s, done, args=(self.outcome,)).start()


@pytest.mark.parametrize(
    "outcome",
    [(), Refusal("runtime.busy", "busy"), Refusal("schema.x", "x"), Fault("runtime.broken", "x")],
)
def test_what_was_computed_comes_back(outcome):
    def say(event):
        if event == events.Started():
            return [wishes.Compute("job", PACKAGE, ())]
        return [HALT]

    _, machine, _ = drive(say, compute=Pool(outcome))
    assert machine.seen[1].job == "job"
    assert machine.seen[1].outcome is outcome


@pytest.mark.parametrize("outcome", [(), Refusal("schema.x", "x"), Fault("runtime.broken", "x")])
def test_what_takes_moments_is_computed_on_the_spot(outcome):
    class Quick(Pool):
        def answer(self, package, tensors):
            assert package == PACKAGE
            return self.outcome

        def submit(self, package, tensors, done):
            raise AssertionError

    disk = Disk()

    def say(event):
        match event:
            case events.Arrived():
                job = wishes.Compute("job", PACKAGE, ())
                return [wishes.Journal("accept", (b"accept",)), job]
            case events.Computed():
                return [wishes.Journal("answer", (b"answer",))]
            case events.Durable(ticket="accept"):
                return [wishes.Reply("c1", ACCEPTED, last=False)]
            case events.Durable(ticket="answer"):
                return [wishes.Reply("c1", NO), HALT]

    async def during(driver):
        talk = driver.open(GetStatus())
        assert await talk.take() == (wishes.Reply("c1", ACCEPTED, last=False), talk_end)

    talk_end = wishes.Reply("c1", NO)
    _, machine, _ = drive(say, during, journal=disk, compute=Quick(outcome))
    assert machine.seen[1].outcome is outcome
    assert disk.groups == [(b"accept", b"answer")]


def test_an_event_that_comes_alone_is_stepped_at_once():
    def say(event):
        return [wishes.Reply("c1", NO), HALT] if isinstance(event, events.Arrived) else []

    async def during(driver):
        talk = driver.open(GetStatus())
        assert talk.has_ended
        assert (await talk.next()).message == NO

    drive(say, during)


def test_a_timer_set_again_is_replaced():
    def say(event):
        if event == events.Started():
            return [wishes.SetTimer("t", 5), wishes.SetTimer("t", 30), wishes.SetTimer("end", 60)]
        return [HALT] if event == events.Fired("end") else []

    _, machine, _ = drive(say)
    assert machine.seen == [events.Started(), events.Fired("t"), events.Fired("end")]


def test_a_timer_can_be_taken_back():
    def say(event):
        if event == events.Started():
            taken_back = (wishes.CancelTimer("t"), wishes.CancelTimer("never set"))
            return [wishes.SetTimer("t", 5), *taken_back, wishes.SetTimer("end", 30)]
        return [HALT] if event == events.Fired("end") else []

    _, machine, _ = drive(say)
    assert machine.seen == [events.Started(), events.Fired("end")]


def test_a_conversation_goes_both_ways_and_can_be_hung_up():
    waiting = GetHeader(height=1)

    def say(event):
        match event:
            case events.Arrived(conversation=name, message=GetStatus()):
                return [
                    wishes.Reply(name, ACCEPTED, last=False),
                    wishes.Reply(name, NO),
                    wishes.Reply(name, NO),
                ]
            case events.Hung(conversation=name):
                return [wishes.Reply(name, NO), HALT]

    async def during(driver):
        talk = driver.open(GetStatus())
        assert (await talk.next()).message == ACCEPTED
        assert (await talk.next()).message == NO
        assert await talk.next() is None
        talk.hang_up()
        other = driver.open(waiting)
        asyncio.get_running_loop().call_later(0.01, other.hang_up)
        assert await other.next() is None

    _, machine, _ = drive(say, during)
    assert [e for e in machine.seen if isinstance(e, events.Hung)] == [events.Hung("c2")]


def test_an_ending_party_lets_go_of_its_conversations():
    async def during(driver):
        talk = driver.open(GetStatus())
        assert await talk.next() is None
        with pytest.raises(Refusal) as refused:
            driver.open(GetStatus())
        assert refused.value.code == "door.stopping"

    drive(lambda event: [HALT] if isinstance(event, events.Arrived) else [], during)


def test_too_many_conversations_are_refused(monkeypatch):
    monkeypatch.setattr("probatum.nodes.shell.drive.OPEN_CONVERSATIONS", 3)

    async def during(driver):
        talks = [driver.open(GetStatus()) for _ in range(3)]
        with pytest.raises(Refusal) as refused:
            driver.open(GetStatus())
        assert refused.value.code == "door.busy"
        talks[0].hang_up()
        driver.open(GetStatus())
        await driver.stop(grace_s=0, when_quiet=True)

    drive(lambda _: [], during)


def test_stopping_waits_for_what_is_held():
    disk = Disk(pause_s=0.05)

    def say(event):
        match event:
            case events.Arrived(conversation=name):
                return [wishes.Journal(name, (b"x",))]
            case events.Durable(ticket=name):
                return [wishes.Reply(name, NO)]

    async def during(driver):
        talk = driver.open(GetStatus())
        await asyncio.sleep(0.01)
        await driver.stop(grace_s=5, when_quiet=True)
        assert (await talk.next()).message == NO

    ended, machine, _ = drive(say, during, journal=disk)
    assert ended.halt is None
    assert events.Stopping() in machine.seen
    assert disk.groups == [(b"x",)]


def test_a_machine_that_halts_itself_is_waited_for():
    def say(event):
        if event == events.Stopping():
            return [wishes.SetTimer("settled", 50)]
        return [HALT] if event == events.Fired("settled") else []

    ended, _, _ = drive(say, lambda driver: driver.stop(grace_s=5, when_quiet=False))
    assert ended.halt == HALT


def test_slow_steps_do_not_keep_sockets_waiting():
    """Between slow steps the loop comes round, so that others get their turn."""
    turns = []

    def say(event):
        if event == events.Started():
            return [wishes.SetTimer(f"t{n}", 0) for n in range(5)] + [wishes.SetTimer("end", 1)]
        time.sleep(0.01)
        turns.append(event.timer)
        return [HALT] if event == events.Fired("end") else []

    async def during(driver):
        while "t4" not in turns:
            turns.append("others")
            await asyncio.sleep(0)

    drive(say, during)
    assert turns[turns.index("t0") :].count("others") >= 3
