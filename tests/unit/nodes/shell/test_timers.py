"""Timers: each fires once, in order, unless it was taken back or set again."""

import asyncio

import pytest
import uvloop

from probatum.nodes.shell import timers
from probatum.nodes.shell.timers import Timers


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop])
def run(request):
    """Run something with timers until some have fired; return those."""

    def run_timers(during, wanted):
        async def live():
            fired = []
            loop = asyncio.get_running_loop()
            told = asyncio.Event()

            def fire(timer):
                fired.append((timer, loop.time() - begun))
                if len(fired) >= wanted:
                    told.set()

            begun = loop.time()
            mine = Timers(loop, fire)
            during(mine, fired)
            async with asyncio.timeout(10):
                await told.wait()
            await asyncio.sleep(0.05)
            mine.close()
            return fired

        with asyncio.Runner(loop_factory=request.param) as runner:
            return runner.run(live())

    return run_timers


def test_they_fire_in_order_of_time_and_then_of_being_set(run):
    def during(mine, _):
        mine.set("late", 0.06)
        for name in ("d", "a", "c"):
            mine.set(name, 0.02)
        mine.set("now", 0)

    fired = run(during, 5)
    assert [name for name, _ in fired] == ["now", "d", "a", "c", "late"]
    assert all(after >= 0.017 for _, after in fired[1:])
    assert fired[-1][1] >= 0.057


def test_what_is_taken_back_or_set_again_does_not_fire(run):
    def during(mine, _):
        mine.set("a", 0.01)
        mine.set("b", 0.01)
        mine.set("a", 0.04)
        mine.cancel("b")
        mine.cancel("nobody's")
        mine.set("c", 0.02)
        mine.set("b", 0.03)

    assert [name for name, _ in run(during, 3)] == ["c", "b", "a"]


def test_one_that_fires_may_be_set_again_by_whoever_hears_it(run):
    def during(mine, fired):
        first = mine._fire

        def fire(timer):
            first(timer)
            if len(fired) < 4:
                mine.set(timer, 0)

        mine._fire = fire
        mine.set("a", 0)

    assert len(run(during, 4)) == 4


def test_one_that_fires_may_take_back_another_that_is_due(run):
    def during(mine, _):
        first = mine._fire

        def fire(timer):
            first(timer)
            mine.cancel("b")

        mine._fire = fire
        mine.set("a", 0.01)
        mine.set("b", 0.01)
        mine.set("c", 0.01)

    assert [name for name, _ in run(during, 2)] == ["a", "c"]


def test_those_taken_back_are_not_kept_for_ever(monkeypatch, run):
    monkeypatch.setattr(timers, "_FEW", 8)
    sizes = []

    def during(mine, _):
        mine.set("stays", 0.05)
        for number in range(1_000):
            mine.set(f"t{number}", 60)
            mine.cancel(f"t{number}")
            sizes.append(len(mine._queue))

    assert [name for name, _ in run(during, 1)] == ["stays"]
    assert max(sizes) < 16


def test_after_closing_none_fires(run):
    def during(mine, fired):
        mine.set("a", 0.01)
        mine.close()
        fired.append(("nothing", 0.0))
        asyncio.get_running_loop().call_later(0.1, mine._fire, "end")

    assert [name for name, _ in run(during, 2)] == ["nothing", "end"]
