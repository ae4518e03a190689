"""What the network does to conversations, and what each side of one then sees."""

from __future__ import annotations

import pytest

from probatum.machine.events import Arrived, Fired, Hung, Returned, Started, Unreachable
from probatum.machine.wishes import Journal, Reply, Send, SetTimer
from probatum.protocol.messages import GetBundle, GotBundle, Refused
from probatum.storm.kernel import START_MS
from probatum.storm.network import Weather
from tests.unit.storm.toys import World, answer, on_start, question


def ask(call="q", to="http://b", timeout_ms=200, number=1):
    return Send(call, to, question(number), timeout_ms)


def reply_twice(event):
    return (
        Reply(event.conversation, answer(event.message.session), last=False),
        Reply(event.conversation, answer(99), last=True),
    )


CHECKED_QUESTION = GotBundle(settled=True, bundle=b"ab")
"""Stands for any message of a kind that its receiver checks."""
ECHO = {Arrived: lambda event: (Reply(event.conversation, answer(event.message.session)),)}
SILENT = {}


def talk(weather=None, callee=ECHO, caller=None, seed=1):
    world = World(seed=seed, **({} if weather is None else {"weather": weather}))
    b = world.add("b", callee)
    a = world.add("a", on_start(ask()) if caller is None else caller)
    return world, a, b


def test_a_question_arrives_and_its_answer_returns():
    world, a, b = talk()
    world.run()
    assert [event.message for event in b.of(Arrived)] == [question()]
    assert a.of(Returned) == [Returned("q", answer(), True)]
    assert a.of(Unreachable) == b.of(Hung) == []
    assert world.kernel.network._open == {}


def test_replies_stream_in_order_and_the_last_one_ends_it():
    for seed in range(30):
        world, a, _b = talk(Weather(delay_ms=(1, 90)), {Arrived: reply_twice}, seed=seed)
        world.run()
        assert a.of(Returned) == [Returned("q", answer(), False), Returned("q", answer(99), True)]


def test_different_conversations_overtake_one_another():
    orders = set()
    for seed in range(30):
        asks = on_start(ask("1", number=1), ask("2", number=2))
        world, a, b = talk(Weather(delay_ms=(1, 50)), caller=asks, seed=seed)
        world.run()
        orders.add(tuple(event.message.session for event in b.of(Arrived)))
        assert {event.call for event in a.of(Returned)} == {"1", "2"}
    assert orders == {(1, 2), (2, 1)}


def test_a_lost_question_ends_at_its_timeout_and_not_before():
    world, a, b = talk(Weather(loss=1.0))
    world.run()
    assert b.seen == [(START_MS, Started())]
    assert [(at - START_MS, event) for at, event in a.seen[1:]] == [
        (200, Unreachable("q", "timeout"))
    ]
    assert world.counts("messages lost") == 1


def test_silence_ends_at_the_timeout_and_the_silent_one_learns_it():
    world, a, b = talk(callee=SILENT)
    world.run()
    assert a.of(Unreachable) == [Unreachable("q", "timeout")]
    assert len(b.of(Hung)) == 1
    assert b.of(Hung)[0].conversation == b.of(Arrived)[0].conversation


def test_a_cut_lets_the_first_frame_through_and_loses_the_answer():
    reasons = set()
    for seed in range(60):
        world, a, _b = talk(Weather(cut=0.5), {Arrived: reply_twice}, seed=seed)
        world.run()
        returned = [event.message for event in a.of(Returned)]
        assert returned == [answer(), answer(99)][: len(returned)]
        assert (len(returned) == 2) == (a.of(Unreachable) == [])
        reasons |= {(len(returned), event.reason) for event in a.of(Unreachable)}
    assert reasons == {(0, "reset"), (0, "timeout"), (1, "reset"), (1, "timeout")}


def test_nobody_there_is_refused_soon():
    world, a, _ = talk(caller=on_start(ask(to="http://nowhere")))
    world.run()
    assert a.of(Unreachable) == [Unreachable("q", "refused")]
    assert world.counts("connections refused") == 1


def test_a_duplicate_arrives_as_a_conversation_of_its_own():
    world, a, b = talk(Weather(duplicate=1.0))
    world.run(60_000)
    first, second = b.of(Arrived)
    assert first.message == second.message
    assert first.conversation != second.conversation
    assert a.of(Returned) == [Returned("q", answer(), True)]
    assert world.counts("messages duplicated") == 1
    assert world.kernel.network._open == {}


def test_a_duplicate_may_come_long_after():
    gaps = set()
    for seed in range(30):
        world, _, b = talk(Weather(duplicate=1.0), seed=seed)
        world.run(60_000)
        times = [at for at, event in b.seen if isinstance(event, Arrived)]
        gaps.add((times[1] - times[0]) // 1_000)
    assert {0, 2} <= gaps
    assert any(gap >= 29 for gap in gaps)


def test_when_the_taker_dies_the_asker_learns_it():
    world, a, _b = talk(callee=SILENT)
    world.kernel.plan(50, lambda: world.kernel.crash("b"))
    world.run()
    assert a.of(Unreachable) == [Unreachable("q", "reset")]


def test_when_the_asker_dies_the_taker_hears_a_hang_up_and_replies_go_nowhere():
    late = {
        Arrived: lambda event: (SetTimer(event.conversation, 100),),
        Fired: lambda event: (Reply(event.timer, answer()),),
    }
    world, _a, b = talk(callee=late)
    world.kernel.plan(50, lambda: world.kernel.crash("a"))
    world.kernel.plan(60, lambda: world.kernel.start("a"))
    world.run()
    assert len(b.of(Hung)) == 1
    assert world.lives["a"][0].of(Returned) == []
    assert len(world.lives["a"][1].of(Returned)) == 1
    assert world.counts("replies to nobody") == 1


def test_a_restarted_taker_does_not_answer_for_its_earlier_life():
    world, a, _b = talk(callee=SILENT)
    world.kernel.plan(50, lambda: world.kernel.crash("b"))
    world.kernel.plan(51, lambda: world.kernel.start("b"))
    world.run()
    assert a.of(Returned) == []
    assert a.of(Unreachable) == [Unreachable("q", "reset")]


def test_a_partition_is_silence_until_it_heals():
    again = on_start(ask("1")) | {Unreachable: (ask("2"),)}
    world = World()
    b = world.add("b", ECHO)
    world.kernel.network.partition((frozenset({"b"}),))
    a = world.add("a", again)
    world.kernel.plan(100, world.kernel.network.heal)
    world.run()
    assert a.of(Unreachable) == [Unreachable("1", "timeout")]
    assert [event.call for event in a.of(Returned)] == ["2"]
    assert len(b.of(Arrived)) == 1
    assert world.counts("messages lost to partitions") == 1


def test_those_of_one_group_hear_each_other():
    world = World()
    world.add("b", ECHO)
    world.kernel.network.partition((frozenset({"a", "b"}), frozenset({"c"})))
    a = world.add("a", on_start(ask()))
    world.run()
    assert len(a.of(Returned)) == 1


def test_an_answer_into_a_partition_is_lost():
    world = World()
    b = world.add(
        "b",
        {Arrived: lambda e: (SetTimer(e.conversation, 50),)}
        | {Fired: lambda e: (Reply(e.timer, answer()),)},
    )
    a = world.add("a", on_start(ask()))
    world.kernel.plan(20, lambda: world.kernel.network.partition((frozenset({"b"}),)))
    world.run()
    assert len(b.of(Arrived)) == 1
    assert a.of(Unreachable) == [Unreachable("q", "timeout")]


def test_corruption_of_what_is_checked_is_refused_cut_or_delivered_altered():
    seen = set()
    for seed in range(120):
        ask_for = GetBundle(request_id="0" * 26) if seed % 2 else CHECKED_QUESTION
        caller = on_start(Send("q", "http://b", ask_for, 200))
        reply = {Arrived: lambda event: (Reply(event.conversation, answer()),)}
        world, a, b = talk(Weather(corrupt=0.5), reply, caller, seed=seed)
        world.run()
        assert world.kernel.trace.findings == []
        (outcome,) = a.of(Returned) + a.of(Unreachable)
        heard = [event.message for event in b.of(Arrived)]
        match outcome:
            case Returned(message=Refused(code=code)):
                seen.add(code.split(".")[0])
                assert ask_for is CHECKED_QUESTION
            case Unreachable(reason=reason):
                seen.add(reason)
            case Returned(message=message):
                seen.add("same" if message == answer() else "altered")
        if heard and heard[0] != ask_for:
            assert ask_for is CHECKED_QUESTION
            seen.add("altered question")
    assert seen == {"encoding", "corrupt", "reset", "same", "altered", "altered question"}


def test_one_call_may_not_be_used_twice_at_a_time():
    world, _a, _ = talk(callee=SILENT, caller=on_start(ask("q"), ask("q")))
    assert [finding.code for finding in world.kernel.trace.findings] == ["kernel.call-reused"]


def test_taps_hear_what_is_said_even_if_it_is_lost():
    world = World(weather=Weather(loss=1.0))
    heard = []
    world.kernel.network.taps.append(lambda *words: heard.append(words))
    world.add("b")
    world.add("a", on_start(ask()))
    assert heard == [("a", "http://b", question())]


def run_a_busy_day(seed):
    weather = Weather(
        delay_ms=(1, 40), slow_rate=0.1, loss=0.1, cut=0.1, duplicate=0.2, corrupt=0.1
    )
    world = World(seed=seed, weather=weather)

    def chat(name):
        others = [f"http://{other}" for other in "abc" if other != name]
        return {
            Started: (SetTimer("t", 5),),
            Fired: lambda _: (
                SetTimer("t", 20),
                Journal("j", (name.encode(),)),
                *(ask(f"{to}/{world.kernel.loop.now_ms}", to, 60) for to in others),
            ),
            Arrived: reply_twice,
        }

    for name in "abc":
        world.add(name, chat(name))
    for at in range(100, 1_000, 100):
        name = "abc"[at // 100 % 3]
        world.kernel.plan(at, lambda name=name: world.kernel.crash(name))
        world.kernel.plan(at + 30, lambda name=name: world.kernel.start(name))
    world.run()
    return world


@pytest.mark.parametrize("seed", range(5))
def test_a_busy_day_repeats_itself_and_every_kind_of_trouble_happens(seed):
    one, two = run_a_busy_day(seed), run_a_busy_day(seed)
    assert one.kernel.trace.digest == two.kernel.trace.digest
    assert one.kernel.trace.counts == two.kernel.trace.counts
    assert one.kernel.trace.findings == []
    for what in ("messages lost", "conversations cut", "messages duplicated", "crashes"):
        assert one.counts(what) > 0
    assert one.kernel.trace.digest != run_a_busy_day(seed + 100).kernel.trace.digest
