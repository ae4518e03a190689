"""What an examination found: a small document that crosses a pipe and can be kept (`PUB-1`).

`CHECKER` names what was checked, and by which engine: a verdict of another checker says nothing.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import Annotated, Final, Literal

from msgspec import Meta

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.encoding import Document, decode_document, encode_document
from probatum.protocol.hexes import HexDigest
from probatum.protocol.manifests import TensorSpec
from probatum.runtime.admission import bounds

__all__ = [
    "VERDICT_BYTES",
    "Reason",
    "Verdict",
    "decode_verdict",
    "encode_verdict",
    "get_checker",
    "refuse",
]

VERDICT_BYTES: Final = 64 * limits.KIB
_RULES: Final = 2
"""Grows whenever a rule of admission changes."""


class Reason(Document, frozen=True, kw_only=True):
    """Why a file is not admitted: a refusal, written down."""

    code: Annotated[str, Meta(max_length=100)]
    message: Annotated[str, Meta(max_length=1_000)]
    hint: Annotated[str, Meta(max_length=500)] = ""


class Verdict(Document, frozen=True, kw_only=True):
    """What was found of one file.

    Attributes:
        sha256: Of the file that was examined.
        size: Its bytes.
        reasons: Why it is not admitted; none if it is.
        inputs: What the engine says that it takes; none unless it is admitted.
        outputs: What the engine says that it gives.
        load_ms: How long the engine took to load it.
        run_us: How many microseconds a sample run took, absent if there was none that worked.
        run_note: Why there was none.
        network: Whether the process had a network of its own (an empty one) or had merely lost
            the means to open anything.
        peak_bytes: The most memory that the examining process held; 0 if that is not known.
    """

    sha256: HexDigest
    size: Annotated[int, Meta(ge=0)]
    reasons: Annotated[tuple[Reason, ...], Meta(max_length=bounds.REASONS)] = ()
    inputs: Annotated[tuple[TensorSpec, ...], Meta(max_length=limits.TENSORS_PER_REQUEST)] = ()
    outputs: Annotated[tuple[TensorSpec, ...], Meta(max_length=limits.TENSORS_PER_REQUEST)] = ()
    load_ms: int = 0
    run_us: int | None = None
    run_note: Annotated[str, Meta(max_length=1_000)] = ""
    network: Literal["empty", "unopenable"] = "unopenable"
    peak_bytes: Annotated[int, Meta(ge=0)] = 0

    @property
    def is_admitted(self) -> bool:
        """Whether there is no reason to refuse the file."""
        return not self.reasons

    def check_admitted(self) -> None:
        """Raise the first reason, saying how many there are more."""
        if not self.reasons:
            return
        first, more = self.reasons[0], len(self.reasons) - 1
        message = first.message + (f" (and {more} more reasons)" if more else "")
        raise Refusal(first.code, message, hint=first.hint)


def refuse(reasons: Sequence[Refusal]) -> tuple[Reason, ...]:
    """Write refusals down as a verdict's reasons."""
    return tuple(
        Reason(code=each.code[:100], message=each.message[:1_000], hint=each.hint[:500])
        for each in reasons[: bounds.REASONS]
    )


def encode_verdict(verdict: Verdict) -> bytes:
    """Encode a verdict."""
    return encode_document(verdict)


def decode_verdict(data: bytes) -> Verdict:
    """Decode a verdict. Raises Refusal `encoding.*`."""
    return decode_document(Verdict, data, limit_bytes=VERDICT_BYTES)


def get_checker() -> str:
    """Name the rules and the engine that verdicts of this installation come from."""
    return f"{_RULES}-ort-{importlib.metadata.version('onnxruntime')}"
