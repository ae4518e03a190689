"""Chats and completions as the OpenAI API says them: whole, or piece by piece.

The two differ in what a client sends, and in where the text stands in what it gets. Must not know
HTTP, tokens' text, or who answers. Read next: `openai_text`, `probatum.protocol.openai_text`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from msgspec import UNSET, UnsetType

from probatum.nodes.gateway.doors.openai_logprobs import Piece
from probatum.protocol import openai
from probatum.protocol.openai_logprobs import (
    ChatLogprobs,
    CompletionLogprobs,
    make_chat_logprobs,
    make_completion_logprobs,
)
from probatum.protocol.openai_text import (
    Chat,
    ChatCompletion,
    ChatDelta,
    Chunk,
    ChunkChoice,
    ChunkKind,
    Completion,
    CompletionChoice,
    FinishReason,
    Prompts,
    TextEvidence,
    TextUsage,
    decode_chat,
    decode_prompts,
    encode_event,
    make_chat_choice,
)
from probatum.protocol.texts import TextClass

__all__ = ["ChatForm", "CompletionForm", "Ending", "Form", "Head", "Pieces"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What every part of one response says.

    Attributes:
        id: The first answer's receipt.
        created: Seconds since 1970.
        model: As the client named it.
        package: The package's digest, in hex.
        text_class: What its answers prove (docs/spec/text.md).
        rule: How tokens are chosen.
    """

    id: str
    created: int
    model: str
    package: str
    text_class: TextClass
    rule: str

    @property
    def fingerprint(self) -> str:
        """What answers equal by seed have in common: weights, class, rule."""
        return f"{self.package[:8]}-{self.text_class}-{self.rule}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How one answer ended, and what holds its text to a receipt."""

    reason: FinishReason
    evidence: TextEvidence


class Form(Protocol):
    """One of the two."""

    def decode(self, body: bytes) -> Chat | Prompts:
        """Read a request. Raises Refusal `openai.*`."""
        ...

    def encode_whole(
        self, head: Head, texts: Sequence[Piece], endings: Sequence[Ending], usage: TextUsage
    ) -> bytes:
        """Write all answers."""
        ...

    def make_pieces(self, head: Head, *, tells_usage: bool) -> Pieces:
        """Begin to write them piece by piece."""
        ...


class Pieces(Protocol):
    """Events of one stream."""

    def encode_text(self, place: int, piece: Piece) -> bytes:
        """Write more of an answer."""
        ...

    def encode_ending(self, place: int, ending: Ending) -> bytes:
        """Write that an answer has ended."""
        ...

    def encode_last(self, usage: TextUsage) -> bytes:
        """Write what comes after all answers."""
        ...


class ChatForm:
    """``POST /v1/chat/completions``."""

    def decode(self, body: bytes) -> Chat:
        """Read a request. Raises Refusal `openai.*`."""
        return decode_chat(body)

    def encode_whole(
        self, head: Head, texts: Sequence[Piece], endings: Sequence[Ending], usage: TextUsage
    ) -> bytes:
        """Write all answers."""
        choices = tuple(
            make_chat_choice(place, piece.text, ending.reason, _say_chat(piece))
            for place, (piece, ending) in enumerate(zip(texts, endings, strict=True))
        )
        return openai.encode_body(
            ChatCompletion(
                id=f"chatcmpl-{head.id}",
                created=head.created,
                model=head.model,
                system_fingerprint=head.fingerprint,
                choices=choices,
                usage=usage,
                probatum=tuple(ending.evidence for ending in endings),
            )
        )

    def make_pieces(self, head: Head, *, tells_usage: bool) -> Pieces:
        """Begin to write them piece by piece."""
        return _ChatPieces(head, tells_usage=tells_usage)


class CompletionForm:
    """``POST /v1/completions``."""

    def decode(self, body: bytes) -> Prompts:
        """Read a request. Raises Refusal `openai.*`."""
        return decode_prompts(body)

    def encode_whole(
        self, head: Head, texts: Sequence[Piece], endings: Sequence[Ending], usage: TextUsage
    ) -> bytes:
        """Write all answers."""
        choices = tuple(
            CompletionChoice(
                index=place,
                text=piece.text,
                logprobs=_say_completion(piece),
                finish_reason=ending.reason,
            )
            for place, (piece, ending) in enumerate(zip(texts, endings, strict=True))
        )
        return openai.encode_body(
            Completion(
                id=f"cmpl-{head.id}",
                created=head.created,
                model=head.model,
                system_fingerprint=head.fingerprint,
                choices=choices,
                usage=usage,
                probatum=tuple(ending.evidence for ending in endings),
            )
        )

    def make_pieces(self, head: Head, *, tells_usage: bool) -> Pieces:
        """Begin to write them piece by piece."""
        return _CompletionPieces(head, tells_usage=tells_usage)


class _Events:
    """What the events of both have in common.

    The evidence comes with an answer's end, not in an event of its own: many a client looks at the
    first choice of every event, and takes one without choices only where it asked for usage.
    """

    kind: ClassVar[ChunkKind]
    prefix: ClassVar[str]

    def __init__(self, head: Head, *, tells_usage: bool) -> None:
        self._head = head
        self._tells_usage = tells_usage

    def encode_last(self, usage: TextUsage) -> bytes:
        """Write what comes after all answers."""
        told = self._encode((), usage=usage) if self._tells_usage else b""
        return told + encode_event(None)

    def _encode(
        self,
        choices: tuple[ChunkChoice, ...],
        *,
        evidence: tuple[TextEvidence, ...] | UnsetType = UNSET,
        usage: TextUsage | UnsetType | None = UNSET,
    ) -> bytes:
        head = self._head
        # Where usage is told at the end, all other events say that they do not tell it.
        told = None if usage is UNSET and self._tells_usage else usage
        chunk = Chunk(
            id=self.prefix + head.id,
            object=self.kind,
            created=head.created,
            model=head.model,
            system_fingerprint=head.fingerprint,
            choices=choices,
            usage=told,
            probatum=evidence,
        )
        return encode_event(chunk)


class _ChatPieces(_Events):
    kind = "chat.completion.chunk"
    prefix = "chatcmpl-"

    def __init__(self, head: Head, *, tells_usage: bool) -> None:
        super().__init__(head, tells_usage=tells_usage)
        self._begun: set[int] = set()

    def encode_text(self, place: int, piece: Piece) -> bytes:
        delta = ChatDelta(content=piece.text)
        choice = ChunkChoice(index=place, delta=delta, logprobs=_say_chat(piece))
        return self._begin(place) + self._encode((choice,))

    def encode_ending(self, place: int, ending: Ending) -> bytes:
        last = ChunkChoice(index=place, delta=ChatDelta(), finish_reason=ending.reason)
        return self._begin(place) + self._encode((last,), evidence=(ending.evidence,))

    def _begin(self, place: int) -> bytes:
        """Say once whose words follow."""
        if place in self._begun:
            return b""
        self._begun.add(place)
        delta = ChatDelta(role="assistant", content="")
        return self._encode((ChunkChoice(index=place, delta=delta),))


class _CompletionPieces(_Events):
    kind = "text_completion"
    prefix = "cmpl-"

    def encode_text(self, place: int, piece: Piece) -> bytes:
        choice = ChunkChoice(index=place, text=piece.text, logprobs=_say_completion(piece))
        return self._encode((choice,))

    def encode_ending(self, place: int, ending: Ending) -> bytes:
        last = ChunkChoice(index=place, text="", finish_reason=ending.reason)
        return self._encode((last,), evidence=(ending.evidence,))


def _say_chat(piece: Piece) -> ChatLogprobs | None:
    return None if piece.tokens is None else make_chat_logprobs(piece.tokens)


def _say_completion(piece: Piece) -> CompletionLogprobs | None:
    return None if piece.tokens is None else make_completion_logprobs(piece.tokens)
