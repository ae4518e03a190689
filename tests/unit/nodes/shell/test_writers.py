"""The writer: order, groups, when it waits for more, and on whose thread it writes."""

import asyncio
import threading

import pytest

from probatum.nodes.shell.writers import GroupWriter, Pace


class Paper:
    """Remembers what was written, by whom, and what was said of it."""

    def __init__(self):
        self.groups, self.here, self.done, self.failed = [], [], [], []
        self.error = None

    def write(self, pieces):
        self.here.append(threading.current_thread() is threading.main_thread())
        if self.error:
            raise self.error
        self.groups.append(pieces)


def write_with(pace, during):
    """Let something happen to a writer of some pace; return what it wrote."""
    paper = Paper()

    async def live():
        writer = GroupWriter(
            write=paper.write, done=paper.done.append, failed=paper.failed.append, pace=pace
        )
        await during(writer, paper)
        writer.close()

    asyncio.run(live())
    return paper


async def idle(writer):
    async with asyncio.timeout(5):
        while not writer.is_idle():  # noqa: ASYNC110 - a writer tells nobody that it is idle
            await asyncio.sleep(0.001)


def test_what_is_expected_is_waited_for_and_written_along():
    expecting = [True]

    async def during(writer, paper):
        writer.add("a", 1)
        writer.kick()
        writer.kick()
        assert not writer.is_idle()
        assert paper.groups == []
        writer.add("b", 2)
        expecting[0] = False
        writer.kick()
        await idle(writer)
        # Two are no crowd here: nothing lingers for a minute now.
        writer.add("c", 3)
        writer.kick()
        await idle(writer)

    pace = Pace(
        group_pieces=9,
        linger_s=60,
        are_many=lambda size: size > 2,
        hold_s=60,
        expects_more=lambda _: expecting[0],
    )
    paper = write_with(pace, during)
    assert paper.groups == [[1, 2], [3]]
    assert paper.done == ["a", "b", "c"]


def test_what_is_expected_and_does_not_come_is_waited_for_a_moment_only():
    async def during(writer, paper):
        writer.add("a", 1)
        writer.kick()
        await idle(writer)
        assert paper.done == ["a"]

    write_with(Pace(group_pieces=9, hold_s=0.01, expects_more=lambda _: True), during)


def test_a_brief_write_is_done_before_kick_returns_and_in_no_thread():
    async def during(writer, paper):
        writer.add("a", 1)
        writer.add("b", 2)
        assert paper.done == []
        writer.kick()
        assert paper.done == ["a", "b"]
        assert writer.is_idle()

    paper = write_with(Pace(group_pieces=2, is_brief=lambda pieces: pieces == [1, 2]), during)
    assert paper.here == [True]


def test_more_than_a_group_is_written_in_the_thread():
    async def during(writer, _):
        for number in range(3):
            writer.add(str(number), number)
        writer.kick()
        await idle(writer)

    paper = write_with(Pace(group_pieces=2, is_brief=lambda _: True), during)
    assert paper.groups == [[0, 1], [2]]
    assert paper.here == [False, False]
    assert paper.done == ["0", "1", "2"]


@pytest.mark.parametrize("brief", [True, False])
def test_after_a_write_that_failed_nothing_is_written(brief):
    error = OSError("gone")

    async def during(writer, paper):
        paper.error = error
        writer.add("a", 1)
        writer.kick()
        await asyncio.sleep(0.05)
        assert paper.failed == [error]
        paper.error = None
        writer.add("b", 2)
        writer.kick()
        await asyncio.sleep(0.01)

    paper = write_with(Pace(group_pieces=9, is_brief=lambda _: brief), during)
    assert paper.failed == [error]
    assert (paper.groups, paper.done) == ([], [])


def test_closing_forgets_what_is_held_back():
    async def during(writer, _):
        writer.add("a", 1)
        writer.kick()

    paper = write_with(Pace(group_pieces=9, hold_s=0.01, expects_more=lambda _: True), during)
    assert paper.groups == []
