"""Streams of events: begun by the first, ended with the last."""

import asyncio

from probatum.nodes.shell.side_by_side import EventStream


def test_the_last_events_end_the_response():
    sent = []

    async def send(message):
        sent.append(message)

    async def live():
        stream = EventStream(send, ((b"a", b"b"),))
        await stream.say(b"one")
        await stream.end(b"two")

    asyncio.run(live())
    assert [one["type"] for one in sent] == ["http.response.start", *["http.response.body"] * 2]
    assert [(one["body"], one["more_body"]) for one in sent[1:]] == [
        (b"one", True),
        (b"two", False),
    ]
