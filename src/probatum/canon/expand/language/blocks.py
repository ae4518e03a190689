"""The forms in which a file may hold a llama's weights: float32, or blocks born quantised.

A block is 32 neighbours of a row, as ggml stores them, and stands for float32 that follow from it:
the graph knows those alone (`TEXT-1`). Must not know disks. Source: the `gguf` library's reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from probatum.canon.expand.language.weights import WeightSpec, list_llama_weights
from probatum.errors import ProbatumError
from probatum.protocol.manifests import TextModel
from probatum.protocol.safetensors import StoredTensor

__all__ = [
    "BLOCK_TERMS",
    "WeightForm",
    "decode_blocks",
    "describe_weight",
    "group_weights",
    "is_form_taken",
    "match_weights",
]

BLOCK_TERMS: Final = 32
"""Elements of a block."""

Blocks: TypeAlias = NDArray[np.uint8]
Floats: TypeAlias = NDArray[np.float32]

_JOINED: Final = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    (
        "mlp.gate_proj",
        "mlp.up_proj",
    ),
)
"""Neighbours that are multiplied with the same rows."""


class WeightForm(Enum):
    """How a weight is stored; named as ggml names it.

    FLOAT32: Its elements.
    Q4_1: Of a block, scale d and offset m, both float16, then 16 bytes: the low halves are the
        first 16 elements' q, the high ones the others'. An element is RN32(RN32(d·q) + m).
    Q8_0: Scale d, float16, then 32 signed bytes q. An element is q·d, which is exact.
    """

    FLOAT32 = 0
    Q4_1 = 1
    Q8_0 = 2

    @property
    def block_bytes(self) -> int:
        """Bytes of a block; of float32 those of 32 elements."""
        return {WeightForm.FLOAT32: 128, WeightForm.Q4_1: 20, WeightForm.Q8_0: 34}[self]


def is_form_taken(form: WeightForm, shape: tuple[int, ...]) -> bool:
    """Tell whether a weight of a shape can be stored so: blocks fill the rows of a matrix."""
    return form is WeightForm.FLOAT32 or (len(shape) == 2 and shape[1] % BLOCK_TERMS == 0)


def describe_weight(spec: WeightSpec, form: WeightForm) -> tuple[str, str, tuple[int, ...]]:
    """Give name, dtype and shape under which a file of weights holds one of a form."""
    if form is WeightForm.FLOAT32:
        return spec.name, "F32", spec.shape
    rows, terms = spec.shape
    return f"{spec.name}.{form.name}", "U8", (rows, terms // BLOCK_TERMS * form.block_bytes)


def group_weights(text: TextModel) -> tuple[tuple[WeightSpec, ...], ...]:
    """List the weights in order; those that have one form because they are read as one together."""
    groups: list[list[WeightSpec]] = []
    last = ""
    for spec in list_llama_weights(text):
        joined = next(
            (one for one in _JOINED for part in one if spec.name.endswith(f".{part}.weight")), None
        )
        # Neighbours of one layer: the group's name has the layer's number in it.
        key = "" if joined is None else f"{spec.name.split('.')[2]} {joined[0]}"
        if key and key == last:
            groups[-1].append(spec)
        else:
            groups.append([spec])
        last = key
    return tuple(tuple(group) for group in groups)


def match_weights(
    text: TextModel, stored: Sequence[StoredTensor], refuse: Callable[[str], ProbatumError]
) -> tuple[WeightForm, ...]:
    """Check that a file holds what the graph reads, in its order, and nothing else.

    Args:
        text: The sizes.
        stored: The file's tensors, in the order of their bytes.
        refuse: Makes the error of a reason.

    Returns:
        The form of each.

    Raises:
        ProbatumError: What `refuse` makes.
    """
    want = list_llama_weights(text)
    forms: dict[str, WeightForm] = {}
    for place, (have, spec) in enumerate(zip(stored, want, strict=False)):
        said = (have.name, have.dtype, have.shape)
        form = next(
            (
                one
                for one in WeightForm
                if is_form_taken(one, spec.shape) and describe_weight(spec, one) == said
            ),
            None,
        )
        if form is None:
            raise refuse(
                f"tensor {place} is {_show(*said)}, and should be "
                f"{_show(*describe_weight(spec, WeightForm.FLOAT32))}, or its blocks"
            )
        forms[spec.name] = form
    if len(stored) != len(want):
        raise refuse(f"there are {len(stored)} tensors, and should be {len(want)}")
    if any(one.begin % 4 for one in stored):
        raise refuse("tensors do not begin at multiples of four bytes")
    for group in group_weights(text):
        if len({forms[spec.name] for spec in group}) > 1:
            raise refuse(f"{group[0].name[:60]!r} and its neighbours are stored in several forms")
    return tuple(forms.values())


def decode_blocks(form: WeightForm, blocks: Blocks) -> Floats:
    """Decode rows of blocks: each float32 operation is rounded on its own, in this order.

    Args:
        form: Of the blocks.
        blocks: [.., bytes of a row].

    Returns:
        [.., terms]; not finite where a scale or an offset is not.
    """
    if form is WeightForm.FLOAT32:
        return np.ascontiguousarray(blocks).view("<f4")
    split = blocks.reshape(*blocks.shape[:-1], -1, form.block_bytes)
    out = np.empty((*split.shape[:-1], BLOCK_TERMS), np.float32)
    half = BLOCK_TERMS // 2
    with np.errstate(all="ignore"):
        if form is WeightForm.Q4_1:
            scales = _read_halves(split[..., :4])
            np.copyto(out[..., :half], split[..., 4:] & 15)
            np.copyto(out[..., half:], split[..., 4:] >> 4)
            out *= scales[..., :1]
            out += scales[..., 1:]
        else:
            np.copyto(out, split[..., 2:].view(np.int8))
            out *= _read_halves(split[..., :2])
    return out.reshape(*blocks.shape[:-1], -1)


def _read_halves(some: Blocks) -> NDArray[Any]:
    return np.ascontiguousarray(some).view("<f2").astype(np.float32)


def _show(name: str, dtype: str, shape: tuple[int, ...]) -> str:
    return f"{name[:60]!r} {dtype} {list(shape)}"
