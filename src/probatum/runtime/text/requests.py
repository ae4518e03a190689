"""What is asked of a language model, and what it gives: values and their bounds (`TEXT-1`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from probatum.errors import Refusal
from probatum.protocol.logprobs import MOST_LOGPROBS, TokenLogprobs, check_logprobs_room
from probatum.protocol.manifests import Manifest, TextModel, check_dims_admitted

__all__ = [
    "TextAnswer",
    "TextLimits",
    "TextRequest",
    "TextScore",
    "check_text_request",
    "get_text_model",
    "has_ended",
]

_NONCE_BYTES: Final = 32
_CHOICES: Final = 1 << 63


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRequest:
    """One text to be continued.

    Attributes:
        prompt: Tokens.
        limit: Most tokens of the answer.
        temperature: Finite, not negative; rounded to float32.
        top_k: Candidates at each place.
        choice: Number of the answer among those of one request.
        nonce: 32 bytes that the noise is made of.
        prefix: Of the answer, as another chose it: checked before anything new is chosen.
        top_logprobs: How many alternatives are wanted beside each new token's logprob; None where
            no logprobs are.
    """

    prompt: tuple[int, ...]
    limit: int
    temperature: float
    top_k: int
    choice: int
    nonce: bytes
    prefix: tuple[int, ...] = ()
    top_logprobs: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextAnswer:
    """The tokens of an answer, those of the prefix among them.

    Attributes:
        ids: Tokens; a stop token that ends it is one of them.
        ended: Whether by a stop token or the limit; False where it was cancelled.
    """

    ids: tuple[int, ...]
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TextScore:
    """What the canonical graph says of an answer: its two outputs.

    Attributes:
        chosen: The rule's choice at each place, after the answer's tokens before it.
        ended: Whether the answer ends where it may, and not before.
        logprobs: Of the answer's own tokens; empty where none were asked for.
    """

    chosen: tuple[int, ...]
    ended: bool
    logprobs: tuple[TokenLogprobs, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TextLimits:
    """What an engine takes on.

    Attributes:
        cache_bytes: Of keys and values, for prompts and limits of all texts.
        texts: At a time.
        chunk: Tokens of prompts that one step reads.
        chunk_beside: Likewise, while answers grow beside them, which wait as long.
    """

    cache_bytes: int = 1 << 30
    texts: int = 64
    chunk: int = 128
    chunk_beside: int = 16


def get_text_model(manifest: Manifest) -> TextModel:
    """Get a package's language model.

    Raises:
        Refusal: `text.no-model`.
    """
    if manifest.text is None:
        raise Refusal(
            "text.no-model",
            f"{manifest.name} is no language model",
            hint="send it tensors instead of a prompt",
        )
    return manifest.text


def check_text_request(manifest: Manifest, request: TextRequest) -> None:
    """Check a request against a package: sizes, tokens, rule.

    Raises:
        Refusal: `text.no-model`, `text.too-long`, `text.bad-token`, `text.bad-rule`,
            `text.bad-logprobs`, `text.too-many-logprobs`, `text.wrong-prefix`, and those of
            `check_dims_admitted`.
    """
    text = get_text_model(manifest)
    prompt, prefix, limit = request.prompt, request.prefix, request.limit
    if not prompt or limit < 1 or len(prompt) + limit > text.context:
        raise Refusal(
            "text.too-long",
            f"{len(prompt)} tokens of prompt and {limit} of answer; both at least 1, and "
            f"{text.context} together at most",
            hint="shorten the prompt, or ask for fewer tokens",
        )
    check_dims_admitted(manifest, {"p": len(prompt), "a": limit})
    if not all(0 <= token < text.vocabulary for token in (*prompt, *prefix)):
        raise Refusal(
            "text.bad-token",
            f"tokens are 0 to {text.vocabulary - 1}",
            hint="use the package's own tokenizer",
        )
    with np.errstate(over="ignore"):
        temperature = np.float32(request.temperature)
    if (
        not (np.isfinite(temperature) and temperature >= 0)
        or not 1 <= request.top_k <= text.top_k
        or not 0 <= request.choice < _CHOICES
        or len(request.nonce) != _NONCE_BYTES
    ):
        raise Refusal(
            "text.bad-rule",
            f"temperature is finite and not negative, top_k 1 to {text.top_k}, choice a number "
            f"from 0, the nonce {_NONCE_BYTES} bytes",
        )
    if request.top_logprobs is not None:
        if not 0 <= request.top_logprobs <= MOST_LOGPROBS:
            raise Refusal("text.bad-logprobs", f"0 to {MOST_LOGPROBS} alternatives can be told")
        check_logprobs_room(request.top_logprobs, limit)
    stop = next((place for place, one in enumerate(prefix[:-1]) if one in text.stop_ids), None)
    if stop is not None or len(prefix) > limit:
        place = limit if stop is None else stop + 1
        raise Refusal("text.wrong-prefix", f"the answer had ended before place {place}")


def has_ended(text: TextModel, ids: tuple[int, ...], limit: int) -> bool:
    """Tell whether an answer ends with its last token, and not before (`TEXT-1`)."""
    if not ids or any(one in text.stop_ids for one in ids[:-1]):
        return False
    return ids[-1] in text.stop_ids or len(ids) == limit
