"""What a request for text says, and what an answer to it is, as tensors (`TEXT-1`).

A text is token ids. A request brings its prompt, how many tokens it wants at most, and the rule's
settings; an answer is ids and whether it has ended. Everything that can be said of them without
computing anything is checked here, once for gateway, node and client. Must not know weights.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.manifests import (
    TEXT_INPUTS,
    LanguageModel,
    Manifest,
    TextModel,
    check_dims_admitted,
    check_tensors_match,
)
from probatum.protocol.parties import ArithmeticClass
from probatum.protocol.tensors import Tensor

__all__ = [
    "Text",
    "TextClass",
    "TextQuestion",
    "check_text",
    "get_text",
    "get_text_arithmetic",
    "get_text_class",
    "is_ended",
    "make_answer",
    "make_ids",
    "make_question",
    "pack_ids",
    "read_answer",
    "read_question",
    "unpack_ids",
]

TextClass: TypeAlias = Literal["text-exact", "text-signed", "text-relayed"]
_CHOICES: Final = 1 << 31


@dataclass(frozen=True, slots=True, kw_only=True)
class TextQuestion:
    """A request for text.

    Attributes:
        prompt: Token ids, at least one.
        limit: Tokens of the answer at most.
        temperature: What noise is multiplied by; a float32.
        top_k: How many candidates the rule looks at.
        choice: Which of several answers to one prompt this is.
    """

    prompt: tuple[int, ...]
    limit: int
    temperature: float
    top_k: int
    choice: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """An answer: token ids, and whether it has ended."""

    ids: tuple[int, ...]
    ended: bool


def pack_ids(ids: tuple[int, ...]) -> bytes:
    """Pack token ids for a message: 32 bits each, little-endian."""
    return struct.pack(f"<{len(ids)}I", *ids)


def unpack_ids(data: bytes) -> tuple[int, ...]:
    """Unpack token ids. Raises Refusal `text.bad-ids`."""
    if len(data) % 4:
        raise Refusal("text.bad-ids", f"{len(data)} bytes are no 32-bit token ids")
    return struct.unpack(f"<{len(data) // 4}I", data)


def make_ids(name: str, ids: tuple[int, ...]) -> Tensor:
    """Make the tensor of token ids: int64[n]."""
    data = struct.pack(f"<{len(ids)}q", *ids)
    return Tensor(name=name, dtype="int64", shape=(len(ids),), data=data)


def make_question(question: TextQuestion) -> tuple[Tensor, ...]:
    """Make the tensors that a request for text brings, in the manifest's order.

    Raises:
        Refusal: `text.bad-request` for a number that no tensor of these types can hold.
    """
    try:
        return (
            make_ids("prompt", question.prompt),
            make_ids("limit", (question.limit,)),
            Tensor(
                name="temperature",
                dtype="float32",
                shape=(1,),
                data=struct.pack("<f", question.temperature),
            ),
            make_ids("top_k", (question.top_k,)),
            make_ids("choice", (question.choice,)),
        )
    except (struct.error, OverflowError) as error:
        raise Refusal("text.bad-request", f"a number is out of range: {error}") from None


def read_question(manifest: Manifest, tensors: tuple[Tensor, ...]) -> TextQuestion:
    """Read a request for text and hold it to the model's bounds (`CANON-8`).

    Args:
        manifest: The model's; it is a language model.
        tensors: The request's; `check_tensor` has passed each.

    Raises:
        Refusal: `schema.*`, `text.no-prompt`, `text.too-long`, `text.bad-token`,
            `text.bad-temperature`, `text.bad-top-k`, `text.bad-choice`.
    """
    text = get_text(manifest)
    dims = check_tensors_match(TEXT_INPUTS, tensors)
    if dims["p"] < 1:
        raise Refusal("text.no-prompt", "the prompt has no token", hint="one at least")
    limit, top_k, choice = (_read_ids(tensors[at])[0] for at in (1, 3, 4))
    if limit < 1 or dims["p"] + limit > text.context:
        raise Refusal(
            "text.too-long",
            f"a prompt of {dims['p']} tokens and {limit} more; the model reads {text.context}",
            hint="shorten the prompt, or ask for fewer tokens",
        )
    if manifest.canonical is not None:
        check_dims_admitted(manifest, {**dims, "a": limit})
    prompt = _read_ids(tensors[0])
    unknown = next((one for one in prompt if not 0 <= one < text.vocabulary), None)
    if unknown is not None:
        raise Refusal("text.bad-token", f"{unknown} is no token; there are {text.vocabulary}")
    (temperature,) = struct.unpack("<f", tensors[2].data)
    if not (math.isfinite(temperature) and temperature >= 0):
        raise Refusal("text.bad-temperature", "a temperature is finite and not negative")
    if not 1 <= top_k <= text.top_k:
        raise Refusal("text.bad-top-k", f"top_k is {top_k}; 1 to {text.top_k} are admitted")
    if not 0 <= choice < _CHOICES:
        raise Refusal("text.bad-choice", "answers are numbered from 0")
    return TextQuestion(
        prompt=prompt, limit=limit, temperature=temperature, top_k=top_k, choice=choice
    )


def make_answer(text: Text) -> tuple[Tensor, ...]:
    """Make the tensors of an answer, in the manifest's order."""
    ended = Tensor(name="ended", dtype="bool", shape=(1,), data=bytes((text.ended,)))
    return (make_ids("answer", text.ids), ended)


def read_answer(tensors: tuple[Tensor, ...]) -> Text:
    """Read an answer that `check_tensors_match` and `check_tensor` have passed."""
    answer, ended = tensors
    return Text(ids=_read_ids(answer), ended=ended.data == b"\x01")


def is_ended(text: LanguageModel, limit: int, ids: tuple[int, ...]) -> bool:
    """Tell whether an answer has ended: its last token stops or is the last (`TEXT-1`)."""
    return len(ids) == limit or (bool(ids) and ids[-1] in text.stop_ids)


def check_text(model: LanguageModel, limit: int, answer: Text, *, cancelled: bool) -> None:
    """Check what of an answer shows without the model's weights.

    It has a token, none outside the vocabulary; none before the last one stops; it has ended
    exactly if it says so; and if it has not, somebody asked for that.

    Args:
        model: The model.
        limit: Tokens that were asked for at most.
        answer: What was answered.
        cancelled: Whether the answer was cancelled (`TEXT-1`).

    Raises:
        Refusal: `text.bad-answer`, `text.ended-late`, `text.ended-early`, `text.not-ended`.
    """
    ids = answer.ids
    if not 1 <= len(ids) <= limit or not all(0 <= one < model.vocabulary for one in ids):
        raise Refusal("text.bad-answer", f"the answer has {len(ids)} tokens, or one that is none")
    late = next((at for at, one in enumerate(ids[:-1]) if one in model.stop_ids), None)
    if late is not None:
        raise Refusal("text.ended-late", f"token {late} ends the text, {len(ids)} were given")
    if is_ended(model, limit, ids) is not answer.ended:
        if answer.ended:
            raise Refusal(
                "text.ended-early", f"the text ends after {len(ids)} tokens; it has not ended"
            )
        raise Refusal("text.ended-late", "the text has ended, and its node says that it has not")
    if not (answer.ended or cancelled):
        raise Refusal(
            "text.not-ended", f"the text breaks off after {len(ids)} tokens; nobody asked for that"
        )


def get_text(manifest: Manifest) -> LanguageModel:
    """Get the language model that a package is. Raises Refusal `text.no-model`."""
    if manifest.language is None:
        raise Refusal("text.no-model", f"{manifest.name} {manifest.version} writes no text")
    return manifest.language


def get_text_class(model: LanguageModel) -> TextClass:
    """Get what a model's texts are called in what people read: by what a receipt proves."""
    if isinstance(model, TextModel):
        return "text-exact"
    return "text-relayed" if model.engine == "relay" else "text-signed"


def get_text_arithmetic(model: LanguageModel) -> ArithmeticClass:
    """Get the one class in which a model writes: `exact`, or `float` if it is another program's."""
    return "exact" if isinstance(model, TextModel) else "float"


def _read_ids(tensor: Tensor) -> tuple[int, ...]:
    return struct.unpack(f"<{len(tensor.data) // 8}q", tensor.data)


TEXT_BYTES: Final = 4 * limits.TEXT_TOKENS
"""Packed ids of one message."""
