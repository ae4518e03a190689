"""Serving: a response's head leaves with what follows it at once, and never stays behind."""

import asyncio

import pytest

from probatum.nodes.shell.serve import HeadJoiner

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


class Wire:
    """A transport that keeps each write."""

    def __init__(self):
        self.writes = []
        self.closed_after = None

    def write(self, data):
        self.writes.append(data)

    def writelines(self, parts):
        self.writes.append(b"".join(parts))

    def close(self):
        self.closed_after = list(self.writes)

    def abort(self):
        self.closed_after = []

    def is_closing(self):
        return self.closed_after is not None


def join(during):
    wire = Wire()

    async def live():
        during(HeadJoiner(wire, asyncio.get_running_loop()))
        now = list(wire.writes)
        await asyncio.sleep(0)
        return now

    return asyncio.run(live()), wire


@pytest.mark.parametrize("body", [b"body", b"", HEAD])
def test_a_head_and_what_follows_are_one_write(body):
    def during(line):
        line.write(HEAD)
        line.write(body)
        line.write(b"more")

    now, wire = join(during)
    assert now == wire.writes == [HEAD + body, b"more"]


def test_a_head_that_nothing_follows_leaves_in_the_same_turn_of_the_loop():
    now, wire = join(lambda line: line.write(HEAD))
    assert now == []
    assert wire.writes == [HEAD]


def test_closing_sends_the_head_before():
    def during(line):
        line.write(HEAD)
        assert not line.is_closing()
        line.close()
        assert line.is_closing()

    _, wire = join(during)
    assert wire.writes == wire.closed_after == [HEAD]


def test_a_head_for_who_is_gone_is_dropped():
    def during(line):
        line.write(HEAD)
        line.abort()

    _, wire = join(during)
    assert wire.writes == []
