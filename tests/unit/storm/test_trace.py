"""What is remembered of a storm depends on every event and on nothing else."""

from __future__ import annotations

from probatum.storm.loop import Loop, derive_chance
from probatum.storm.report import StormReport, format_report
from probatum.storm.trace import LINES_KEPT, Finding, Trace


def test_the_digest_takes_in_time_text_and_payload():
    digests = set()
    for note in ((1, "a", b""), (2, "a", b""), (1, "b", b""), (1, "a", b"x")):
        trace = Trace()
        trace.note(*note)
        digests.add(trace.digest)
    assert len(digests) == 4


def test_only_the_last_lines_are_kept():
    trace = Trace()
    for at in range(LINES_KEPT + 5):
        trace.note(at, "tick")
    assert len(trace.lines) == LINES_KEPT
    assert trace.lines[-1] == f"{LINES_KEPT + 4} tick"


def test_actions_of_one_moment_happen_in_order_of_planning():
    loop, done = Loop(), []
    loop.at(5, lambda: done.append("late"))
    for word in "abc":
        loop.at(3, lambda word=word: done.append(word))
    loop.at(3, lambda: loop.after(0, lambda: done.append("d")))
    loop.run_until(4)
    assert (done, loop.now_ms, len(loop)) == (["a", "b", "c", "d"], 4, 1)
    loop.run_until(9)
    assert (done[-1], loop.now_ms) == ("late", 9)


def test_the_past_is_now():
    loop, done = Loop(start_ms=10), []
    loop.at(3, lambda: done.append(loop.now_ms))
    loop.run_until(20)
    assert done == [10]


def test_waiting_ends_as_soon_as_it_is_enough():
    loop, done = Loop(), []
    for at in (1, 2, 3):
        loop.at(at, lambda at=at: done.append(at))
    loop.run_until(10, is_enough=lambda: len(done) == 2)
    assert (done, loop.now_ms) == ([1, 2], 2)


def test_purposes_draw_from_streams_of_their_own():
    assert derive_chance(1, "a").random() == derive_chance(1, "a").random()
    assert derive_chance(1, "a").random() != derive_chance(1, "b").random()
    assert derive_chance(1, "a").random() != derive_chance(2, "a").random()


def make_report(*findings):
    return StormReport(
        seed=7,
        plan="toy",
        digest="ab",
        virtual_ms=1_500,
        counts={"x": 2},
        findings=findings,
        lines=("1 a",),
    )


def test_a_report_of_failure_says_how_to_see_it_again():
    finding = Finding(code="toy.broken", party="a", message="it broke")
    text = format_report(make_report(finding), lines=5)
    assert "FINDING toy.broken a: it broke" in text
    assert "python -m probatum.storm.run toy:7" in text
    assert "1 a" in text


def test_a_report_of_success_has_no_command():
    assert "again" not in format_report(make_report())
