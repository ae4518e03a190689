"""Computes an answer of class `exact` again and says where another one differs first (`EXACT-1`).

Must not know receipts' stores or networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from probatum.errors import Refusal
from probatum.protocol.manifests import Manifest
from probatum.protocol.primitives import Salt
from probatum.protocol.receipts import Receipt
from probatum.protocol.tensors import Tensor, make_tensor_head
from probatum.runtime.exact import ExactSession

__all__ = ["Difference", "Recheck", "find_difference", "recheck_answer"]

_HEX: Final = {1: "02x", 2: "04x", 4: "08x", 8: "016x"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Where an answer differs first.

    Attributes:
        tensor: The output's name.
        element: Its place in the tensor, an index an axis; None where only roots are known, or
            type or shape differ.
        right: The canonical value, as a number and as its bits; empty without an element.
        given: The node's.
    """

    tensor: str
    element: tuple[int, ...] | None = None
    right: str = ""
    given: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recheck:
    """The outcome of computing an answer again.

    Attributes:
        outputs: The canonical answer.
        difference: None if the receipt's answer is it, bit for bit.
    """

    outputs: tuple[Tensor, ...]
    difference: Difference | None


def recheck_answer(
    receipt: Receipt,
    manifest: Manifest,
    model: bytes,
    salt: Salt,
    inputs: tuple[Tensor, ...],
    outputs: tuple[Tensor, ...] | None,
) -> Recheck:
    """Compute an answer again.

    Args:
        receipt: Of class `exact`, about these inputs under this salt.
        manifest: Its package's.
        model: Its package's ONNX file; it was examined in a sandbox.
        salt: The request's.
        inputs: What was asked.
        outputs: What was answered, held to the receipt; None if only the receipt is at hand.

    Raises:
        Refusal: `receipt.not-exact`, `receipt.other-meaning` if receipt and package name different
            canonical digests, and those of `ExactSession`.
    """
    request = receipt.request
    if request.arithmetic != "exact":
        raise Refusal(
            "receipt.not-exact",
            f"the answer is of class {request.arithmetic}: which bits are right is not defined",
            hint="ask with --exact",
        )
    stated = manifest.canonical.digest if manifest.canonical is not None else None
    if request.model.canonical != stated:
        raise Refusal(
            "receipt.other-meaning", "the receipt names another canonical digest than its package"
        )
    found = ExactSession(manifest, model).run(inputs)
    heads = tuple(make_tensor_head(salt, tensor) for tensor in found)
    if heads == receipt.outputs:
        return Recheck(outputs=found, difference=None)
    if outputs is not None:
        return Recheck(outputs=found, difference=find_difference(found, outputs))
    given = (*receipt.outputs, *(None for _ in heads))
    name = next(
        (mine.name for mine, other in zip(heads, given, strict=False) if mine != other),
        receipt.outputs[-1].name if receipt.outputs else "",
    )
    return Recheck(outputs=found, difference=Difference(tensor=name))


def find_difference(right: tuple[Tensor, ...], given: tuple[Tensor, ...]) -> Difference | None:
    """Find the first tensor, and in it the first element, that differs; bits count."""
    for mine, other in zip(right, (*given, *(None for _ in right)), strict=False):
        if other is None or (mine.name, mine.dtype, mine.shape) != (
            other.name,
            other.dtype,
            other.shape,
        ):
            return Difference(tensor=mine.name)
        if mine.data == other.data:
            continue
        dtype = np.dtype(mine.dtype).newbyteorder("<")
        bits = np.dtype(f"<u{dtype.itemsize}")
        differs = np.frombuffer(mine.data, bits) != np.frombuffer(other.data, bits)
        place = int(np.argmax(differs))
        element = tuple(int(at) for at in np.unravel_index(place, mine.shape)) if mine.shape else ()
        return Difference(
            tensor=mine.name,
            element=element,
            right=_show(mine.data, dtype, bits, place),
            given=_show(other.data, dtype, bits, place),
        )
    return Difference(tensor=given[len(right)].name) if len(given) > len(right) else None


def _show(data: bytes, dtype: np.dtype[np.generic], bits: np.dtype[np.generic], place: int) -> str:
    value = np.frombuffer(data, dtype)[place].item()
    word = int(np.frombuffer(data, bits)[place].item())
    return f"{value!r} (0x{word:{_HEX[dtype.itemsize]}})"
