"""Logprobs at the door: with the text, piece by piece, and never invented."""

import asyncio
import json

import msgspec
import pytest

from probatum.nodes.gateway.doors.openai_logprobs import Weighing
from probatum.protocol.logprobs import TokenLogprobs, unpack_logprobs
from probatum.protocol.manifests import UpstreamModel
from probatum.protocol.messages import Answered, Produced, ProducedLogprobs
from probatum.storm import text_model
from tests.unit.nodes.gateway.doors.test_openai_text import (
    COMPLETION,
    CONTENT,
    GATEWAY,
    IDS,
    SAID,
    SEED,
    TOKENIZER,
    Door,
    join,
    read_events,
)
from tests.unit.nodes.world import World
from tests.upstream_packages import RELAY

TOLD = IDS[:-1] if IDS[-1] == 0 else IDS


@pytest.fixture(scope="module")
def door():
    return Door()


def expect(top):
    """What the world's engines say of the text, as chats say it."""
    places = unpack_logprobs(World.weigh(TOLD, top), TOLD, top)
    return [
        {
            **show(token, place.chosen),
            "top_logprobs": [show(one, logprob) for one, logprob in place.top],
        }
        for token, place in zip(TOLD, places, strict=True)
    ]


def show(token, logprob):
    data = TOKENIZER.spell(token)
    text = data.decode("utf-8", "backslashreplace")
    return {"token": text, "logprob": logprob, "bytes": list(data)}


def spell_all(tokens):
    return b"".join(bytes(one["bytes"]) for one in tokens).decode("utf-8", "replace")


@pytest.mark.parametrize("top", [None, 0, 4, 20])
def test_a_whole_answer_has_them_all(door, top):
    more = {} if top is None else {"top_logprobs": top}
    _, _, pieces = door.chat(CONTENT, logprobs=True, **more)
    made = json.loads(b"".join(pieces))
    (choice,) = made["choices"]
    assert choice["message"]["content"] == SAID
    assert choice["logprobs"] == {"content": expect(top or 0), "refusal": None}
    assert (
        b"".join(bytes(one["bytes"]) for one in choice["logprobs"]["content"]).decode(
            "utf-8", "replace"
        )
        == SAID
    )
    assert made["probatum"][0]["logprobs"].startswith("not signed: ")
    plain = json.loads(b"".join(door.chat(CONTENT)[2]))
    assert plain["choices"][0]["logprobs"] is None
    assert "logprobs" not in plain["probatum"][0]


def read_streamed(events):
    said = [one["logprobs"] for event in events for one in event["choices"]]
    return [token for one in said if one for token in one["content"]]


def test_a_stream_tells_them_with_the_text_of_their_tokens(door):
    events = read_events(door.chat(CONTENT, stream=True, logprobs=True, top_logprobs=2)[2])
    assert join(events) == SAID
    assert read_streamed(events) == expect(2)
    # The role comes without any, and so does the end.
    assert events[0]["choices"][0]["logprobs"] is None
    assert events[-1]["choices"][0]["logprobs"] is None
    text = tokens = b""
    for event in events:
        (choice,) = event["choices"]
        text += (choice["delta"].get("content") or "").encode()
        said = choice["logprobs"]
        tokens += b"".join(bytes(one["bytes"]) for one in said["content"]) if said else b""
        # A token comes with its first character, so tokens are never behind the text.
        assert len(tokens.decode("utf-8", "replace")) >= len(text.decode())


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_cuts_them_too(door, stream):
    at = next(at for at in range(5, 12) if SAID[at : at + 3].isascii())
    stop = SAID[at : at + 3]
    right = SAID[: SAID.index(stop)]
    _, _, pieces = door.chat(CONTENT, stop=stop, stream=stream, logprobs=True)
    if stream:
        events = read_events(pieces)
        text, found = join(events), read_streamed(events)
    else:
        (choice,) = json.loads(b"".join(pieces))["choices"]
        text, found = choice["message"]["content"], choice["logprobs"]["content"]
    assert text == right
    assert found == expect(0)[: len(found)]
    assert spell_all(found) == right


def test_completions_have_lists(door):
    wishes = {"model": "hasher", "prompt": CONTENT, "seed": SEED, "max_tokens": 40, "logprobs": 2}
    made = json.loads(b"".join(door.ask(COMPLETION, wishes)[2]))
    (choice,) = made["choices"]
    said, right = choice["logprobs"], expect(2)
    assert choice["text"] == SAID
    assert said["tokens"] == [one["token"] for one in right]
    assert said["token_logprobs"] == [one["logprob"] for one in right]
    for at, one in enumerate(right):
        likeliest = {two["token"]: two["logprob"] for two in one["top_logprobs"]}
        assert said["top_logprobs"][at] == {**likeliest, one["token"]: one["logprob"]}
        before = spell_all(right[:at])
        # Behind a part of a character a token begins where that character does.
        if not before.endswith("\ufffd"):
            assert said["text_offset"][at] == len(before)
    assert said["text_offset"] == sorted(said["text_offset"])
    events = read_events(door.ask(COMPLETION, wishes | {"stream": True})[2])
    streamed = [one["logprobs"] for event in events for one in event["choices"] if one["logprobs"]]
    assert {name: [each for one in streamed for each in one[name]] for name in said} == said


def test_every_answer_has_its_own(door):
    made = json.loads(b"".join(door.chat(CONTENT, n=3, logprobs=True)[2]))
    for choice, said in zip(made["choices"], made["probatum"], strict=True):
        tokens = [one for one in said["tokens"] if one]
        assert len(choice["logprobs"]["content"]) == len(tokens)
    assert made["choices"][0]["logprobs"]["content"] == expect(0)


def test_another_node_goes_on_and_the_reader_does_not_notice():
    door = Door()
    killed = []

    def kill(sender, message):
        late = isinstance(message, Produced) and message.start > 20
        if late and not killed and sender != GATEWAY:
            killed.append(sender)
            door.network.world.kill(sender)
            return None
        return message

    door.network.world.meddle = kill
    events = read_events(door.chat(CONTENT, stream=True, logprobs=True, top_logprobs=3)[2])
    assert killed
    assert join(events) == SAID
    assert read_streamed(events) == expect(3)


def test_who_reads_slowly_gets_them_all(door):
    waits = []

    async def read_slowly(_, message):
        if message.get("body") and len(waits) < 3:
            waits.append(message)
            await asyncio.sleep(0.2)

    events = read_events(
        door.chat(CONTENT, reader=read_slowly, stream=True, logprobs=True, top_logprobs=1)[2]
    )
    assert len(events) < 10
    assert read_streamed(events) == expect(1)


def test_an_answer_told_again_has_none_and_says_so(door):
    """Nobody keeps them: what comes back under the same id is the answer alone."""
    again = (("Probatum-Request", "0" * 26), ("Probatum-Salt", "ab" * 32))
    first = door.chat(CONTENT, headers=again, logprobs=True)
    assert first[0] == 200
    status, headers, pieces = door.chat(CONTENT, headers=again, logprobs=True)
    error = json.loads(b"".join(pieces))["error"]
    assert (status, error["code"]) == (400, "openai.no-logprobs")
    assert headers["probatum-receipt"] == first[1]["probatum-receipt"]
    status, _, pieces = door.chat(CONTENT, headers=again)
    assert json.loads(b"".join(pieces))["error"]["code"] == "gateway.other-request"


def test_a_gateway_that_tells_tokens_without_them_is_not_believed():
    door = Door(nodes=("a",))

    def strip(sender, message):
        if sender == GATEWAY and isinstance(message, ProducedLogprobs):
            return Produced(start=message.start, ids=message.ids, prefix=message.prefix)
        return message

    door.network.world.meddle = strip
    status, _, pieces = door.chat(CONTENT, logprobs=True)
    assert json.loads(b"".join(pieces))["error"]["code"] == "openai.no-logprobs"
    assert status == 400


UPSTREAM = UpstreamModel(
    engine="llama.cpp",
    served_as="hasher",
    numeric="F",
    weights="ab" * 32,
    vocabulary=64,
    context=192,
    stop_ids=(0,),
    rule="engine",
    top_k=8,
)


def make_upstream(upstream):
    return msgspec.structs.replace(
        text_model.MANIFEST, text=None, canonical=None, upstream=upstream
    )


def test_those_of_another_program_are_its_word():
    door = Door(manifest=make_upstream(UPSTREAM), pen=lambda *_: IDS)
    made = json.loads(b"".join(door.chat(CONTENT, logprobs=True, top_logprobs=2)[2]))
    assert made["choices"][0]["logprobs"]["content"] == expect(2)
    assert (
        made["probatum"][0]["logprobs"] == "not signed: the word of the program that wrote the text"
    )


def test_a_closed_service_has_none():
    door = Door(manifest=make_upstream(RELAY), pen=lambda *_: IDS)
    before = len(door.network.world.sent)
    status, _, pieces = door.chat(CONTENT, logprobs=True)
    error = json.loads(b"".join(pieces))["error"]
    assert (status, error["code"]) == (400, "text.no-logprobs")
    assert not any(
        isinstance(message, Answered) for *_, message in door.network.world.sent[before:]
    )


def test_a_token_that_nobody_can_spell_has_no_bytes():
    weighing = Weighing(lambda token: None if token else b"\xe2")
    weighing.take((0, 5), (TokenLogprobs(chosen=-1.0, top=((5, -0.5),)),) * 2)
    first, second = weighing.release((0, 0))
    assert (first.said.token, first.said.bytes) == ("\\xe2", (0xE2,))
    assert (second.said.token, second.said.bytes) == ("", None)
    assert first.said.top_logprobs[0].bytes is None
