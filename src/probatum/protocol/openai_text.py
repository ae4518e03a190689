"""The OpenAI API's chats and completions, as far as a gateway speaks them: JSON bodies as values.

What the exact classes cannot do is refused by name, never ignored: a client that asked for a
nucleus, a penalty or a tool must not believe that it got one. Field names are that API's. Must not
know HTTP, nor how text becomes tokens. Read next: `openai`, `texts`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.logprobs import TopLogprobs
from probatum.protocol.openai import BODY_BYTES, Body, ErrorBody
from probatum.protocol.openai_logprobs import ChatLogprobs, CompletionLogprobs
from probatum.protocol.primitives import Nonce, make_nonce
from probatum.protocol.texts import TextClass

__all__ = [
    "CHOICES",
    "Chat",
    "ChatChoice",
    "ChatCompletion",
    "ChatDelta",
    "ChatMessage",
    "Chunk",
    "ChunkChoice",
    "ChunkKind",
    "Completion",
    "CompletionChoice",
    "Drawing",
    "FinishReason",
    "Prompts",
    "TextEvidence",
    "TextUsage",
    "decode_chat",
    "decode_prompts",
    "decode_text_evidence",
    "encode_error_event",
    "encode_event",
    "make_chat_choice",
    "make_seed_nonce",
]

CHOICES: Final = 8
"""Answers to one prompt: each is a request of its own, with its own receipt."""
MESSAGES: Final = 1_024
STOPS: Final = 4
_STOP_CHARS: Final = 256
_PROMPTS: Final = 8
_TEMPERATURE: Final = 2.0

FinishReason: TypeAlias = Literal["stop", "length"]
ChunkKind: TypeAlias = Literal["chat.completion.chunk", "text_completion"]
_TokenId: TypeAlias = Annotated[int, Meta(ge=0, lt=1 << 31)]
_Count: TypeAlias = Annotated[int, Meta(ge=1, lt=1 << 31)]


class _Wishes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said under ``probatum`` in a request: a word mistaken there is refused."""

    top_k: _Count | None = None


class _StreamOptions(Body, frozen=True, kw_only=True):
    include_usage: bool = False


class _Common(Body, frozen=True, kw_only=True):
    """What both kinds of request have on the wire; what cannot be done comes as `Any`."""

    model: Annotated[str, Meta(min_length=1, max_length=limits.NAME_CHARS)]
    temperature: float | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: _Count | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, Any] | None = None
    probatum: _Wishes = _Wishes()


class _Part(Body, frozen=True, kw_only=True):
    type: str
    text: str = ""


class _MessageOnWire(Body, frozen=True, kw_only=True):
    role: str
    content: str | list[_Part] | None = None
    tool_calls: Any = None
    function_call: Any = None


class _ChatOnWire(_Common, frozen=True, kw_only=True):
    messages: Annotated[list[_MessageOnWire], Meta(min_length=1, max_length=MESSAGES)]
    max_completion_tokens: _Count | None = None
    logprobs: bool | None = None
    top_logprobs: TopLogprobs | None = None
    tools: Any = None
    functions: Any = None
    tool_choice: Any = None
    response_format: Any = None
    modalities: Any = None
    audio: Any = None


class _CompletionOnWire(_Common, frozen=True, kw_only=True):
    prompt: str | list[str | _TokenId | list[_TokenId]]
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    echo: bool | None = None
    suffix: str | None = None
    best_of: int | None = None


class ChatMessage(Body, frozen=True, kw_only=True):
    """One message."""

    role: str
    content: str


class Drawing(Body, frozen=True, kw_only=True):
    """How answers are to be drawn.

    Attributes:
        temperature: What noise is multiplied by.
        seed: Makes the nonce; None lets the gateway draw one.
        choices: How many answers to each prompt.
        stops: Texts at which an answer is cut.
        limit: Tokens at most; None for what the model's context leaves.
        top_k: Candidates; None for as many as the package admits.
        stream: Whether the answer comes in pieces.
        include_usage: Whether a stream tells at its end what was counted.
        logprobs: How many of the likeliest tokens are told beside each token's logprob; None where
            no logprobs are.
    """

    temperature: float = 1.0
    seed: int | None = None
    choices: int = 1
    stops: tuple[str, ...] = ()
    limit: int | None = None
    top_k: int | None = None
    stream: bool = False
    include_usage: bool = False
    logprobs: int | None = None


class Chat(Body, frozen=True, kw_only=True):
    """``POST /v1/chat/completions``, decoded."""

    model: str
    messages: tuple[ChatMessage, ...]
    drawing: Drawing


class Prompts(Body, frozen=True, kw_only=True):
    """``POST /v1/completions``, decoded: texts, or lists of token ids."""

    model: str
    prompts: tuple[str | tuple[int, ...], ...]
    drawing: Drawing


_chat_decoder = msgspec.json.Decoder(_ChatOnWire)
_completion_decoder = msgspec.json.Decoder(_CompletionOnWire)
_encoder = msgspec.json.Encoder()


def decode_chat(body: bytes) -> Chat:
    """Decode the body of ``POST /v1/chat/completions``.

    Raises:
        Refusal: `openai.too-large`, `openai.malformed`, `openai.unsupported`,
            `openai.unknown-role`.
    """
    wire: _ChatOnWire = _decode(_chat_decoder, body)
    for name in ("tools", "functions", "tool_choice", "modalities", "audio"):
        said = getattr(wire, name)
        if said and said not in ("none", "auto", ["text"]):
            raise _unsupported(name, "this network's models call no tools and write text alone")
    kind = wire.response_format
    if kind is not None and kind != {"type": "text"}:
        raise _unsupported("response_format", "nothing holds an answer to a form")
    if wire.top_logprobs and not wire.logprobs:
        raise Refusal("openai.malformed", "top_logprobs without logprobs: true")
    return Chat(
        model=wire.model,
        messages=tuple(_read_message(message) for message in wire.messages),
        drawing=_read_drawing(
            wire,
            wire.max_completion_tokens or wire.max_tokens,
            (wire.top_logprobs or 0) if wire.logprobs else None,
        ),
    )


def decode_prompts(body: bytes) -> Prompts:
    """Decode the body of ``POST /v1/completions``.

    Raises:
        Refusal: `openai.too-large`, `openai.malformed`, `openai.unsupported`,
            `openai.empty-input`.
    """
    wire: _CompletionOnWire = _decode(_completion_decoder, body)
    if wire.echo or wire.suffix:
        raise _unsupported("echo" if wire.echo else "suffix", "the answer alone is given")
    if wire.best_of not in {None, 1, wire.n}:
        raise _unsupported("best_of", "no answer is thrown away; ask for n")
    prompts = _sort_out(wire.prompt)
    if not prompts or "" in prompts or () in prompts:
        raise Refusal("openai.empty-input", "there is nothing to go on from, in one of the prompts")
    drawing = _read_drawing(wire, wire.max_tokens or 16, wire.logprobs)  # that API's own default
    if len(prompts) * drawing.choices > _PROMPTS:
        raise Refusal("openai.too-large", f"at most {_PROMPTS} answers in one request")
    return Prompts(model=wire.model, prompts=prompts, drawing=drawing)


def _decode(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    if len(body) > BODY_BYTES:
        raise Refusal("openai.too-large", f"{len(body)} bytes where at most {BODY_BYTES} are taken")
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal("openai.malformed", f"not a request of this API: {error}") from None


def _read_drawing(wire: _Common, limit: int | None, logprobs: int | None) -> Drawing:
    if wire.top_p not in {None, 1}:
        raise _unsupported("top_p", "candidates are cut by number: probatum.top_k")
    for name in ("presence_penalty", "frequency_penalty", "logit_bias"):
        if getattr(wire, name):
            raise _unsupported(name, "the rule GUMBEL-1 knows temperature and top_k")
    temperature = 1.0 if wire.temperature is None else wire.temperature
    if not 0 <= temperature <= _TEMPERATURE:
        raise Refusal("openai.malformed", f"temperature is {temperature}; 0 to 2 are taken")
    stops = (wire.stop,) if isinstance(wire.stop, str) else tuple(wire.stop or ())
    if len(stops) > STOPS or any(not 0 < len(stop) <= _STOP_CHARS for stop in stops):
        raise Refusal(
            "openai.malformed", f"at most {STOPS} stops, of 1 to {_STOP_CHARS} characters each"
        )
    choices = wire.n or 1
    if choices > CHOICES:
        raise Refusal("openai.too-large", f"n is {choices}; at most {CHOICES} answers at one time")
    return Drawing(
        temperature=temperature,
        seed=wire.seed,
        choices=choices,
        stops=stops,
        limit=limit,
        top_k=wire.probatum.top_k,
        stream=bool(wire.stream),
        include_usage=wire.stream_options is not None and wire.stream_options.include_usage,
        logprobs=logprobs,
    )


def _read_message(message: _MessageOnWire) -> ChatMessage:
    if message.role in {"tool", "function"} or message.tool_calls or message.function_call:
        raise _unsupported("messages", "this network's models call no tools")
    role = "system" if message.role == "developer" else message.role
    if role not in {"system", "user", "assistant"}:
        raise Refusal(
            "openai.unknown-role",
            f"nobody has the role {role[:40]!r}",
            hint="system, developer, user and assistant are known",
        )
    if isinstance(message.content, str):
        return ChatMessage(role=role, content=message.content)
    parts = message.content or []
    if any(part.type != "text" for part in parts):
        raise _unsupported("messages", "a message is text")
    return ChatMessage(role=role, content="".join(part.text for part in parts))


def _sort_out(given: str | list[str | int | list[int]]) -> tuple[str | tuple[int, ...], ...]:
    """Tell a text, texts, one list of tokens and lists of tokens apart; they do not mix."""
    if isinstance(given, str):
        return (given,)
    if given and all(isinstance(one, int) for one in given):
        return (tuple(one for one in given if isinstance(one, int)),)
    prompts: list[str | tuple[int, ...]] = []
    for one in given:
        if isinstance(one, int) or isinstance(one, str) is not isinstance(given[0], str):
            raise Refusal("openai.malformed", "prompts are all texts, or all tokens")
        prompts.append(one if isinstance(one, str) else tuple(one))
    return tuple(prompts)


def _unsupported(what: str, why: str) -> Refusal:
    return Refusal(
        "openai.unsupported", f"{what} cannot be served: {why}", hint=f"leave {what} out"
    )


class TextEvidence(Body, frozen=True, kw_only=True):
    """What a client needs to hold one answer to its receipt (`TEXT-1`, `RECEIPT-1`).

    Attributes:
        index: Which of the answers.
        receipt: The request's id: ``GET /receipts/<id>`` gives the bundle.
        salt: Opens the receipt's roots.
        package: The package's digest.
        text_class: What the answer proves (docs/spec/text.md).
        rule: How tokens were chosen.
        nonce: The chance in it, in hex.
        nonce_by: Who chose that.
        prompt_tokens: The ids that the model read.
        limit: Tokens of the answer at most.
        temperature: What noise was multiplied by.
        top_k: Candidates.
        choice: Number of the answer among those to its prompt.
        tokens: The ids that it chose.
        ended: Whether the answer ended of itself; else it was cancelled.
        logprobs: What those are worth that come with the answer, if some do.
    """

    index: int
    receipt: str
    salt: str
    package: str
    text_class: TextClass = msgspec.field(name="class")
    rule: str
    nonce: str
    nonce_by: str
    prompt_tokens: tuple[_TokenId, ...]
    limit: int
    temperature: float
    top_k: int
    choice: int
    tokens: tuple[_TokenId, ...]
    ended: bool
    logprobs: str | UnsetType = UNSET


class _Answer(Body, frozen=True, kw_only=True):
    """What of an answer holds its texts to their receipts."""

    probatum: Annotated[tuple[TextEvidence, ...], Meta(max_length=_PROMPTS * CHOICES)]


_answer_decoder = msgspec.json.Decoder(_Answer)


def decode_text_evidence(answer: bytes) -> tuple[TextEvidence, ...]:
    """Decode what holds an answer of this API to its receipts; all else in it is ignored.

    Raises:
        Refusal: `openai.malformed`.
    """
    try:
        return _answer_decoder.decode(answer).probatum
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(
            "openai.malformed",
            f"not an answer with evidence: {error}",
            hint="keep a chat's or a completion's answer as the gateway sent it, not streamed",
        ) from None


class TextUsage(Body, frozen=True, kw_only=True):
    """Tokens that were read and chosen."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class _AnswerMessage(Body, frozen=True, kw_only=True):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(Body, frozen=True, kw_only=True):
    """One answer of a chat."""

    index: int
    message: _AnswerMessage
    logprobs: ChatLogprobs | None = None
    finish_reason: FinishReason


class ChatDelta(Body, frozen=True, kw_only=True, omit_defaults=True):
    """What a stream adds to an answer."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType = UNSET


class ChunkChoice(Body, frozen=True, kw_only=True):
    """One answer's part of a stream's piece; of a completion, `text` stands for `delta`."""

    index: int
    delta: ChatDelta | UnsetType = UNSET
    text: str | UnsetType = UNSET
    logprobs: ChatLogprobs | CompletionLogprobs | None = None
    finish_reason: FinishReason | None = None


class CompletionChoice(Body, frozen=True, kw_only=True):
    """One answer of a completion."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: FinishReason


class _Answered(Body, frozen=True, kw_only=True):
    id: str
    created: int
    model: str
    system_fingerprint: str


class ChatCompletion(_Answered, frozen=True, kw_only=True):
    """The answer of a chat."""

    object: Literal["chat.completion"] = "chat.completion"
    choices: tuple[ChatChoice, ...]
    usage: TextUsage
    probatum: tuple[TextEvidence, ...]


class Completion(_Answered, frozen=True, kw_only=True):
    """The answer of a completion."""

    object: Literal["text_completion"] = "text_completion"
    choices: tuple[CompletionChoice, ...]
    usage: TextUsage
    probatum: tuple[TextEvidence, ...]


class Chunk(_Answered, frozen=True, kw_only=True):
    """A piece of a stream: of an answer, or at its end what was counted, and the evidence."""

    object: ChunkKind
    choices: tuple[ChunkChoice, ...]
    usage: TextUsage | UnsetType | None = UNSET
    probatum: tuple[TextEvidence, ...] | UnsetType = UNSET


def make_chat_choice(
    index: int, content: str, finish_reason: FinishReason, logprobs: ChatLogprobs | None = None
) -> ChatChoice:
    """Make one answer of a chat."""
    message = _AnswerMessage(content=content)
    return ChatChoice(index=index, message=message, logprobs=logprobs, finish_reason=finish_reason)


def encode_event(body: Body | None) -> bytes:
    """Encode one event of a stream (`text/event-stream`); None is the end of all."""
    return b"data: %b\n\n" % (b"[DONE]" if body is None else _encoder.encode(body))


def encode_error_event(error: ErrorBody) -> bytes:
    """Encode what ends a stream that cannot go on: clients of this API look for ``error``."""
    return b"event: error\ndata: %b\n\n" % _encoder.encode(error)


def make_seed_nonce(seed: int) -> Nonce:
    """Make the nonce of a seed: 64 bits, little-endian, two's complement; then zeros (`TEXT-1`)."""
    return make_nonce(seed.to_bytes(8, "little", signed=True) + bytes(24))
