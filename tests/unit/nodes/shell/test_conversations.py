"""What a conversation holds for who reads slowly (`TEXT-1`)."""

import asyncio

import pytest

from probatum.machine.wishes import Reply
from probatum.nodes.shell.conversations import Conversation
from probatum.protocol.messages import Accepted, Noted, Produced, ProducedLogprobs
from probatum.protocol.texts import pack_ids, unpack_ids


def put(conversation, start, *ids, prefix=b""):
    message = Produced(start=start, ids=pack_ids(ids), prefix=prefix)
    conversation.put(Reply("c", message, last=False))


def test_tokens_that_nobody_reads_are_one_run():
    async def run():
        conversation = Conversation("c", lambda _: None)
        conversation.put(Reply("c", Accepted(record=b"r"), last=False))
        for place in range(1000):
            put(conversation, place, place, prefix=b"p%d" % place if place % 16 == 15 else b"")
            put(conversation, place + 1, prefix=b"q")
        conversation.put(Reply("c", Noted()))
        return await conversation.take()

    accepted, told, noted = asyncio.run(run())
    assert isinstance(accepted.message, Accepted)
    assert unpack_ids(told.message.ids) == tuple(range(1000))
    assert told.message.prefix == b"q"
    assert not told.last
    assert noted.message == Noted()


def test_runs_that_do_not_follow_one_another_stay_apart():
    async def run():
        conversation = Conversation("c", lambda _: None)
        put(conversation, 0, 1, 2)
        put(conversation, 0, 1, 2, 3)
        return await conversation.take()

    assert [unpack_ids(one.message.ids) for one in asyncio.run(run())] == [(1, 2), (1, 2, 3)]


def test_what_was_read_is_not_joined_to():
    async def run():
        conversation = Conversation("c", lambda _: None)
        put(conversation, 0, 1)
        first = await conversation.take()
        put(conversation, 1, 2)
        return first, await conversation.take()

    first, second = asyncio.run(run())
    assert [unpack_ids(one.message.ids) for one in (*first, *second)] == [(1,), (2,)]


def test_enough_is_said_while_somebody_listens():
    said = []
    conversation = Conversation("c", lambda _: None, said.append)
    conversation.say_enough()
    conversation.cut()
    conversation.say_enough()
    assert said == [conversation]


def weigh(start, *ids, prefix=b""):
    said = b"".join(b"%04d" % one for one in ids)
    return ProducedLogprobs(start=start, ids=pack_ids(ids), prefix=prefix, logprobs=said)


def plain(start, *ids, prefix=b""):
    return Produced(start=start, ids=pack_ids(ids), prefix=prefix)


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([weigh(0, 1), weigh(1, 2, prefix=b"p")], [weigh(0, 1, 2, prefix=b"p")]),
        ([weigh(0, 1), plain(1, prefix=b"p"), weigh(1, 2)], [weigh(0, 1, 2, prefix=b"p")]),
        ([plain(1, prefix=b"p"), weigh(1, 2)], [weigh(1, 2, prefix=b"p")]),
        ([plain(0, 1), weigh(1, 2)], [plain(0, 1), weigh(1, 2)]),
        ([weigh(0, 1), plain(1, 2)], [weigh(0, 1), plain(1, 2)]),
    ],
)
def test_logprobs_stay_with_their_tokens(messages, told):
    async def run():
        conversation = Conversation("c", lambda _: None)
        for message in messages:
            conversation.put(Reply("c", message, last=False))
        return await conversation.take()

    assert [one.message for one in asyncio.run(run())] == told


def test_long_logprobs_are_not_joined_for_ever():
    """Else every token would cost a copy of all those before it."""

    async def run():
        conversation = Conversation("c", lambda _: None)
        for place in range(200):
            long = ProducedLogprobs(start=place, ids=pack_ids((place,)), logprobs=bytes(1000))
            conversation.put(Reply("c", long, last=False))
        return await conversation.take()

    told = [one.message for one in asyncio.run(run())]
    assert 2 <= len(told) <= 4
    assert sum((unpack_ids(one.ids) for one in told), ()) == tuple(range(200))
    assert sum(len(one.logprobs) for one in told) == 200_000
