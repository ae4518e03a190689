"""How likely a model held the tokens of a text, as messages carry it (`TEXT-1`).

Of each token the natural logarithm of its probability among all tokens of the vocabulary, before
temperature, candidates and noise, and those of the likeliest tokens beside it. Nobody signs these
numbers: they are no outputs of the canonical graph. Must not know how they are computed.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.manifests import LanguageModel, UpstreamModel

__all__ = [
    "MOST_LOGPROBS",
    "TokenLogprobs",
    "TopLogprobs",
    "check_logprobs_room",
    "check_logprobs_told",
    "compute_logprobs_bytes",
    "pack_logprobs",
    "round_logprob",
    "unpack_logprobs",
]

MOST_LOGPROBS: Final = 20
"""Alternatives at one place."""
TopLogprobs: TypeAlias = Annotated[int, Meta(ge=0, le=MOST_LOGPROBS)]
_NOBODY: Final = (1 << 32) - 1
"""Stands where a vocabulary, or an engine, has fewer alternatives than were asked for."""
_HEAD: Final = struct.Struct("<f")
_ENTRY: Final = struct.Struct("<If")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogprobs:
    """What is said of one place of an answer.

    Attributes:
        chosen: Of the answer's token; a float32, finite, not positive.
        top: The likeliest tokens and theirs, likeliest first.
    """

    chosen: float
    top: tuple[tuple[int, float], ...]


def compute_logprobs_bytes(top: int, tokens: int) -> int:
    """Compute the bytes of so many tokens' logprobs with so many alternatives each."""
    return tokens * (_HEAD.size + top * _ENTRY.size)


def check_logprobs_room(top: int, limit: int) -> None:
    """Check that the logprobs of an answer's greatest length can be held.

    Raises:
        Refusal: `text.too-many-logprobs`.
    """
    need = compute_logprobs_bytes(top, limit)
    if need > limits.LOGPROBS_BYTES:
        raise Refusal(
            "text.too-many-logprobs",
            f"logprobs of up to {limit} tokens take {need} bytes; {limits.LOGPROBS_BYTES} are held",
            hint="ask for fewer tokens, or for fewer alternatives",
        )


def check_logprobs_told(model: LanguageModel, top: int, limit: int) -> None:
    """Check that a model can tell the logprobs that a request wants.

    Raises:
        Refusal: `text.no-logprobs`, `text.too-many-logprobs`.
    """
    if isinstance(model, UpstreamModel) and model.engine == "relay":
        raise Refusal(
            "text.no-logprobs",
            "this model is a closed service: its tokens here are bytes, and it weighs none of them",
            hint="ask without logprobs",
        )
    check_logprobs_room(top, limit)


def round_logprob(value: float) -> float:
    """Round to float32; what an engine's rounding made positive is 0.

    Raises:
        Refusal: `text.bad-logprobs` for what is not finite.
    """
    if not math.isfinite(value) or value < -1e30:
        raise _refuse("one is not finite")
    rounded: float = _HEAD.unpack(_HEAD.pack(value))[0]
    return rounded if rounded < 0 else 0.0


def pack_logprobs(places: tuple[TokenLogprobs, ...], top: int) -> bytes:
    """Pack logprobs for a message: at each place as many alternatives.

    Args:
        places: Each has at most `top` alternatives.
        top: How many were asked for.
    """
    packed = bytearray()
    for place in places:
        packed += _HEAD.pack(place.chosen)
        for token, logprob in place.top:
            packed += _ENTRY.pack(token, logprob)
        packed += _ENTRY.pack(_NOBODY, 0.0) * (top - len(place.top))
    return bytes(packed)


def unpack_logprobs(data: bytes, ids: tuple[int, ...], top: int) -> tuple[TokenLogprobs, ...]:
    """Unpack logprobs, and check that they can be those of these tokens.

    Raises:
        Refusal: `text.bad-logprobs`.
    """
    size = compute_logprobs_bytes(top, 1)
    if len(data) != len(ids) * size:
        raise _refuse(f"{len(data)} bytes where {len(ids)} tokens with {top} alternatives are")
    return tuple(
        _unpack_place(data[at * size : (at + 1) * size], token) for at, token in enumerate(ids)
    )


def _unpack_place(data: bytes, token: int) -> TokenLogprobs:
    (chosen,) = _HEAD.unpack_from(data)
    entries = tuple(_ENTRY.iter_unpack(data[_HEAD.size :]))
    top = tuple(entry for entry in entries if entry[0] != _NOBODY)
    values = (chosen, *(logprob for _, logprob in entries))
    if not all(math.isfinite(one) and one <= 0 for one in values):
        raise _refuse("one is positive, or not finite")
    if entries[: len(top)] != top or any(logprob for _, logprob in entries[len(top) :]):
        raise _refuse("an alternative that is none stands before others")
    if any(one[1] < other[1] for one, other in pairwise(top)) or len(dict(top)) < len(top):
        raise _refuse("alternatives are not in order, or doubled")
    # Who is not among the likeliest is no likelier than the last of them.
    most = dict(top).get(token, top[-1][1] if len(top) == len(entries) and top else 0.0)
    if chosen > most or (token in dict(top) and chosen != most):
        raise _refuse("a token has another one than among the alternatives")
    return TokenLogprobs(chosen=chosen, top=top)


def _refuse(why: str) -> Refusal:
    return Refusal("text.bad-logprobs", f"these are no logprobs of such tokens: {why}")
