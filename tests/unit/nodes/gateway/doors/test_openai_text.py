"""Chats and completions at the door of a gateway in the little world."""

import asyncio
import contextlib
import json

import msgspec
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from probatum.errors import Refusal
from probatum.evidence.receipt import check_contents, check_pending
from probatum.machine.events import Enough, Hung
from probatum.machine.wishes import Reply
from probatum.nodes.gateway.doors.asking import DoorParts
from probatum.nodes.gateway.doors.models import Catalogue
from probatum.nodes.gateway.doors.openai_text import make_routes
from probatum.nodes.shell.conversations import Conversation
from probatum.nodes.shell.front import ON_HANG_UP, FrontDoor
from probatum.nodes.shell.gate import Gate
from probatum.nodes.shell.intake import Intake
from probatum.protocol.manifests import UpstreamModel
from probatum.protocol.messages import Answer, Answered, Produced
from probatum.protocol.openai_text import make_seed_nonce
from probatum.protocol.primitives import make_salt
from probatum.protocol.texts import (
    Text,
    TextQuestion,
    make_answer,
    make_question,
    pack_ids,
)
from probatum.runtime.text.chat import ChatTokenizer
from probatum.storm import text_model
from tests.unit.nodes.network import GATEWAY, MANIFEST, Network

WORDS = ["<|end|>", *(chr(code) for code in range(ord("A"), ord("z") + 1))][:58]
WORDS += [char for char in sorted(pre_tokenizers.ByteLevel.alphabet()) if char in "ÃÂâĤ¬©"]
TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"
CHAT = "/v1/chat/completions"
COMPLETION = "/v1/completions"
SEED = 5


def make_chat_tokenizer():
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|end|>"])
    return ChatTokenizer(tokenizer.to_str().encode(), TEMPLATE)


TOKENIZER = make_chat_tokenizer()


class Shelf:
    """Has the tokenizer; what a real one does is tried where there are real processes."""

    async def get(self, *_):
        return TOKENIZER

    async def run(self, work):
        return work()

    async def encode_texts(self, tokenizer, texts):
        return tuple(map(tokenizer.encode_text, texts))

    async def encode_chat(self, tokenizer, turns):
        return tokenizer.encode_text("".join(content for _, content in turns))


class Bridge:
    """What a door has for a driver: conversations with the world's gateway."""

    def __init__(self, network):
        self.world = network.world
        self.open_conversations = {}
        self.opened = 0

    def open(self, message, caller=""):
        self.opened += 1
        name = self.world.ask(GATEWAY, message)
        hang_up = lambda _: self.tell(Hung(name))  # noqa: E731
        enough = lambda _: self.tell(Enough(name))  # noqa: E731
        conversation = Conversation(name, hang_up, enough)
        self.open_conversations[name] = (conversation, 0)
        return conversation

    def tell(self, event):
        self.world.tell(GATEWAY, event)

    async def live(self):
        """Let a millisecond pass, over and over, and pass on what was replied."""
        while True:
            self.world.run(1)
            for name, (conversation, seen) in list(self.open_conversations.items()):
                replies = self.world.replies[name]
                for message in replies[seen:]:
                    last = not isinstance(message, Produced)
                    conversation.put(Reply(name, message, last))
                self.open_conversations[name] = (conversation, len(replies))
            await asyncio.sleep(0)


class Door:
    """The door, and the world behind it."""

    def __init__(
        self, nodes=("a", "b"), manifest=text_model.MANIFEST, pen=text_model.write, **more
    ):
        self.network = Network(nodes, manifest=manifest)
        self.network.register("gateway", "gateway")
        for name in nodes:
            self.network.start_ready_node(name, pen=pen)
        party = self.network.start_gateway(**more)
        self.network.world.run(500)
        self.bridge = Bridge(self.network)
        self.intake = Intake()
        parts = DoorParts(
            driver=self.bridge,
            models=Catalogue(self.bridge, party.machine),
            intake=self.intake,
            gate=Gate(),
            limit_bytes=1 << 20,
        )
        self.app = FrontDoor(exact={}, routes=make_routes(parts, Shelf()))

    def ask(self, path, body, *, headers=(), reader=None):
        """One exchange; returns status, headers and the body's pieces."""
        return asyncio.run(self._ask(path, body, headers, reader))

    async def _ask(self, path, body, headers, reader):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = [(name.lower().encode(), value.encode()) for name, value in headers]
        scope = {"type": "http", "method": "POST", "path": path, "headers": head}
        sent = []

        async def receive():
            return {"type": "http.request", "body": data, "more_body": False}

        async def send(message):
            sent.append(message)
            if reader is not None:
                await reader(scope, message)

        living = asyncio.create_task(self.bridge.live())
        try:
            async with asyncio.timeout(20):
                await self.app(scope, receive, send)
        finally:
            living.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await living
        start, *bodies = sent
        found = {name.decode(): value.decode() for name, value in start["headers"]}
        return start["status"], found, [piece["body"] for piece in bodies]

    def chat(self, content="hello", *, headers=(), reader=None, **more):
        wishes = {"model": "hasher", "messages": [{"role": "user", "content": content}]}
        body = wishes | {"seed": SEED, "max_tokens": 40} | more
        return self.ask(CHAT, body, headers=headers, reader=reader)


@pytest.fixture(scope="module")
def door():
    return Door()


def write(prompt, choice=0, limit=40, seed=SEED):
    question = TextQuestion(prompt=prompt, limit=limit, temperature=1.0, top_k=8, choice=choice)
    nonce = make_seed_nonce(seed)
    return question, text_model.write(text_model.PACKAGE, make_question(question), nonce, ())


def choose_content(least=30):
    """Find something that is answered at length."""
    for first in range(ord("a"), ord("z")):
        content = chr(first) + "ello"
        ids = write(TOKENIZER.encode_text(content))[1]
        if len(ids) >= least:
            return content, ids
    raise AssertionError


CONTENT, IDS = choose_content()
SAID = TOKENIZER.decode(IDS)


def read_events(pieces):
    """Read a stream; each event is one line of data between blank lines."""
    events = b"".join(pieces).decode().split("\n\n")
    assert events.pop() == ""
    assert all(event.startswith("data: ") and "\n" not in event for event in events)
    assert events[-1] == "data: [DONE]"
    return [json.loads(event.removeprefix("data: ")) for event in events[:-1]]


def join(events, place=0):
    chosen = [one for event in events for one in event["choices"] if one["index"] == place]
    return "".join(one["delta"].get("content") or "" for one in chosen)


def test_a_chat_is_answered_whole_with_its_evidence(door):
    status, headers, pieces = door.chat(CONTENT)
    made = json.loads(b"".join(pieces))
    assert status == 200
    assert made["choices"][0]["message"]["content"] == SAID
    prompt = TOKENIZER.encode_text(CONTENT)
    count = {"prompt_tokens": len(prompt), "completion_tokens": len(IDS)}
    assert made["usage"] == {**count, "total_tokens": len(prompt) + len(IDS)}
    assert made["system_fingerprint"] == f"{text_model.PACKAGE.hex()[:8]}-text-exact-GUMBEL-1"
    (said,) = made["probatum"]
    assert (tuple(said["prompt_tokens"]), tuple(said["tokens"])) == (prompt, IDS)
    assert (said["nonce"], said["nonce_by"]) == (make_seed_nonce(SEED).hex(), "client")
    assert (said["class"], said["rule"], said["ended"]) == ("text-exact", "GUMBEL-1", True)
    assert headers["probatum-receipt"] == said["receipt"]
    assert made["id"] == "chatcmpl-" + said["receipt"]
    reason = "stop" if IDS[-1] == 0 else "length"
    assert made["choices"][0]["finish_reason"] == reason


def test_the_receipt_holds_the_answer_to_its_tokens(door):
    _, _, pieces = door.chat(CONTENT)
    (said,) = json.loads(b"".join(pieces))["probatum"]
    bundle = next(
        message.bundle
        for _, _, message in door.network.world.said
        if isinstance(message, Answer) and message.request_id == said["receipt"]
    )
    question = write(tuple(said["prompt_tokens"]))[0]
    outputs = make_answer(Text(ids=tuple(said["tokens"]), ended=said["ended"]))
    salt = make_salt(bytes.fromhex(said["salt"]))
    check_contents(check_pending(bundle), salt, make_question(question), outputs)
    other = make_answer(Text(ids=(*said["tokens"][:-1], 1), ended=said["ended"]))
    with pytest.raises(Refusal):
        check_contents(check_pending(bundle), salt, make_question(question), other)


def test_a_stream_says_the_same_piece_by_piece(door):
    status, headers, pieces = door.chat(
        CONTENT, stream=True, stream_options={"include_usage": True}
    )
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    events = read_events(pieces)
    assert join(events) == SAID
    assert len(events) > 5
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["completion_tokens"] == len(IDS)
    assert all(event["usage"] is None for event in events[:-1])
    ending = events[-2]
    assert ending["choices"][0]["finish_reason"] in {"stop", "length"}
    assert tuple(ending["probatum"][0]["tokens"]) == IDS
    assert headers["probatum-receipt"] == ending["probatum"][0]["receipt"]
    assert not any("probatum" in event for event in events[:-2])


def test_several_answers_are_several_requests_side_by_side(door):
    _, headers, pieces = door.chat(CONTENT, n=3)
    made = json.loads(b"".join(pieces))
    prompt = TOKENIZER.encode_text(CONTENT)
    rights = [write(prompt, choice)[1] for choice in range(3)]
    assert [one["message"]["content"] for one in made["choices"]] == [
        TOKENIZER.decode(ids) for ids in rights
    ]
    receipts = [one["receipt"] for one in made["probatum"]]
    assert len(set(receipts)) == 3
    assert headers["probatum-receipt"] == ", ".join(receipts)
    assert made["usage"]["prompt_tokens"] == len(prompt)
    assert made["usage"]["completion_tokens"] == sum(map(len, rights))
    events = read_events(door.chat(CONTENT, n=3, stream=True)[2])
    assert [join(events, place) for place in range(3)] == [TOKENIZER.decode(ids) for ids in rights]


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_cuts_the_text_and_ends_it(door, stream):
    at = next(at for at in range(5, 12) if SAID[at : at + 3].isascii())
    stop = SAID[at : at + 3]
    _, _, pieces = door.chat(CONTENT, stop=["#never#", stop], stream=stream)
    if stream:
        events = read_events(pieces)
        text, (said,) = join(events), events[-1]["probatum"]
        reason = events[-1]["choices"][0]["finish_reason"]
    else:
        made = json.loads(b"".join(pieces))
        text, (said,) = made["choices"][0]["message"]["content"], made["probatum"]
        reason = made["choices"][0]["finish_reason"]
    assert text == SAID[: SAID.index(stop)]
    assert reason == "stop"
    assert not said["ended"]
    assert len(said["tokens"]) < len(IDS)
    assert tuple(said["tokens"]) == IDS[: len(said["tokens"])]


def test_prompts_are_gone_on_with(door):
    prompt = TOKENIZER.encode_text(CONTENT)
    for given in (CONTENT, list(prompt), [list(prompt)], [CONTENT]):
        wishes = {"model": "hasher", "prompt": given, "seed": SEED, "max_tokens": 40}
        _, _, pieces = door.ask(COMPLETION, wishes)
        made = json.loads(b"".join(pieces))
        assert made["object"] == "text_completion"
        assert made["choices"][0]["text"] == SAID
    wishes = {"model": "hasher", "prompt": [CONTENT, "xyz"], "n": 2, "seed": SEED, "stream": True}
    events = read_events(door.ask(COMPLETION, wishes)[2])
    for place in range(4):
        text = "".join(
            one["text"] for event in events for one in event["choices"] if one["index"] == place
        )
        asked = TOKENIZER.encode_text((CONTENT, "xyz")[place // 2])
        assert text == TOKENIZER.decode(write(asked, place % 2, limit=16)[1])


def test_without_a_seed_the_gateway_draws_chance(door):
    said = [json.loads(b"".join(door.chat(CONTENT, seed=None)[2]))["probatum"][0] for _ in range(2)]
    assert {one["nonce_by"] for one in said} == {"gateway"}
    assert said[0]["nonce"] != said[1]["nonce"]


def test_what_is_left_open_is_as_much_as_the_package_admits(door):
    prompt = TOKENIZER.encode_text(CONTENT)
    _, _, pieces = door.chat(CONTENT, max_tokens=None)
    said = json.loads(b"".join(pieces))["probatum"][0]["tokens"]
    assert tuple(said) == write(prompt, limit=120)[1]


def test_another_node_goes_on_and_the_reader_does_not_notice():
    door = Door()
    world = door.network.world
    killed = []

    def kill(sender, message):
        late = isinstance(message, Produced) and message.start > 20
        if late and not killed and sender != GATEWAY:
            killed.append(sender)
            world.kill(sender)
            return None
        return message

    world.meddle = kill
    events = read_events(door.chat(CONTENT, stream=True)[2])
    assert killed
    assert join(events) == SAID


def test_a_failure_in_mid_stream_is_an_event_and_the_end():
    door = Door(nodes=("a",), request_timeout_ms=2_000, text_timeout_ms=2_000)
    world = door.network.world

    def fall_silent(sender, message):
        late = isinstance(message, Produced) and message.start > 10
        return None if sender == "http://a" and (late or isinstance(message, Answered)) else message

    world.meddle = fall_silent
    status, _, pieces = door.chat(CONTENT, stream=True)
    assert status == 200
    *_, last, end = b"".join(pieces).decode().split("\n\n")
    assert end == ""
    kind, data = last.split("\n")
    assert kind == "event: error"
    error = json.loads(data.removeprefix("data: "))["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"].startswith("gateway.")
    assert b"[DONE]" not in b"".join(pieces)


def test_who_hangs_up_ends_the_text(door):
    opened = door.bridge.opened

    async def leave(scope, message):
        if b"content" in message.get("body", b""):
            scope[ON_HANG_UP]()

    _, _, pieces = door.chat(CONTENT, reader=leave, stream=True, n=2)
    assert door.bridge.opened == opened + 2
    assert b"[DONE]" not in b"".join(pieces)
    world = door.network.world
    world.run(5_000)
    (first, second) = list(door.bridge.open_conversations)[-2:]
    assert not any(isinstance(message, Answer) for message in world.replies[first])
    assert not any(isinstance(message, Answer) for message in world.replies[second])
    assert door.intake._held == 0


def test_who_reads_slowly_gets_the_rest_in_few_pieces(door):
    """While an event waits to be sent, tokens are joined: nothing is lost, nothing piles up."""
    waits = []

    async def read_slowly(_, message):
        if message.get("body") and len(waits) < 3:
            waits.append(message)
            await asyncio.sleep(0.2)

    _, _, pieces = door.chat(CONTENT, reader=read_slowly, stream=True)
    events = read_events(pieces)
    assert join(events) == SAID
    assert len(events) < 10


@pytest.mark.parametrize(
    ("changes", "headers", "code", "status"),
    [
        ({"model": "nobody"}, (), "gateway.unknown-model", 404),
        ({"max_tokens": 500}, (), "text.too-long", 400),
        ({"messages": [{"role": "user", "content": "a" * 300}]}, (), "text.too-long", 400),
        ({"messages": [{"role": "user", "content": ""}]}, (), "text.no-prompt", 400),
        ({"messages": [{"role": "judge", "content": "a"}]}, (), "openai.unknown-role", 400),
        ({"messages": []}, (), "openai.malformed", 400),
        ({"tools": [{"type": "function"}]}, (), "openai.unsupported", 400),
        ({"top_logprobs": 1}, (), "openai.malformed", 400),
        ({"probatum": {"top_k": 9}}, (), "text.bad-top-k", 400),
        ({"n": 2}, (("Probatum-Request", "0" * 26),), "door.bad-header", 400),
        ({}, (("Probatum-Nonce", "00" * 32),), "door.bad-header", 400),
        ({"stream": True, "max_tokens": 500}, (), "text.too-long", 400),
    ],
)
def test_what_cannot_be_done_is_refused_in_this_apis_form(door, changes, headers, code, status):
    found, _, pieces = door.chat(headers=headers, **changes)
    error = json.loads(b"".join(pieces))["error"]
    assert (found, error["code"]) == (status, code)
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "body",
    [b"\xff\xfe", b'{"model":"hasher","messages":[{"role":"user","content":"\xff"}]}'],
)
def test_bytes_that_are_no_text_are_refused(door, body):
    status, _, pieces = door.ask(CHAT, body)
    assert status == 400
    assert json.loads(b"".join(pieces))["error"]["code"] == "openai.malformed"


def test_a_model_that_writes_no_text_is_named():
    door = Door(manifest=MANIFEST)
    status, _, pieces = door.chat(model="doubler")
    assert status == 400
    assert json.loads(b"".join(pieces))["error"]["code"] == "openai.no-text"


def test_what_another_program_writes_is_labelled_as_signed_alone():
    upstream = UpstreamModel(
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
    manifest = msgspec.structs.replace(
        text_model.MANIFEST, text=None, canonical=None, upstream=upstream
    )
    door = Door(manifest=manifest, pen=lambda *_: IDS)
    _, _, pieces = door.chat(CONTENT)
    made = json.loads(b"".join(pieces))
    assert made["choices"][0]["message"]["content"] == SAID
    (said,) = made["probatum"]
    assert (said["class"], said["rule"]) == ("text-signed", "engine")
    assert made["system_fingerprint"].endswith("-text-signed-engine")


@pytest.mark.parametrize("seed", [0, 7, 2**63 - 1, -1, -(2**63)])
def test_a_seed_is_zero_extended(seed):
    nonce = make_seed_nonce(seed)
    assert int.from_bytes(nonce, "little") == seed % 2**64
    assert len(nonce) == 32


def test_an_answer_that_begins_otherwise_than_was_told_is_an_error():
    """Tokens are no promise: where another node wrote another text, the reader is told so."""
    door = Door(nodes=("a",))
    world = door.network.world

    def alter(sender, message):
        if sender == GATEWAY and isinstance(message, Produced) and message.start == 3:
            return Produced(start=3, ids=pack_ids((IDS[3] % 50 + 1,)))
        return message

    world.meddle = alter
    _, _, pieces = door.chat(CONTENT, stream=True)
    assert b"openai.altered-text" in b"".join(pieces)
