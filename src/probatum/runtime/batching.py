"""Joins requests along their rows and splits the answers again.

Pure: bytes are joined and cut, since rows of row-major tensors lie one behind another. In class
`float` requests join where the manifest says that rows do not depend on one another; what is
joined computes the same function, but the last bits may differ from a run alone: the engine
chooses its kernels by shape. In class `exact` they join where that is proven, and no bit differs
(`EXACT-2`). Must not know engines or threads.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod

from probatum.errors import Fault
from probatum.protocol.manifests import Manifest
from probatum.protocol.tensors import Tensor

__all__ = [
    "Joining",
    "choose_rows",
    "compute_batch_key",
    "find_joining",
    "is_batchable",
    "join",
    "split",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Joining:
    """How requests of one model are joined.

    Attributes:
        dim: The name of the dimension of rows.
        inputs: The axis of rows of each input.
        outputs: The axis of rows of each output.
        most_rows: Of one run.
    """

    dim: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    most_rows: int


def is_batchable(manifest: Manifest) -> bool:
    """Whether requests may be joined: the batch dimension is first everywhere, and only there."""
    name = manifest.batch_dim
    specs = manifest.inputs + manifest.outputs
    return name is not None and all(
        spec.shape[:1] == (name,) and name not in spec.shape[1:] for spec in specs
    )


def find_joining(manifest: Manifest, most_rows: int) -> Joining | None:
    """Find how requests are joined if the manifest is believed; None if they are not."""
    if manifest.batch_dim is None or not is_batchable(manifest):
        return None
    return Joining(
        dim=manifest.batch_dim,
        inputs=(0,) * len(manifest.inputs),
        outputs=(0,) * len(manifest.outputs),
        most_rows=most_rows,
    )


def compute_batch_key(tensors: tuple[Tensor, ...], axes: Sequence[int]) -> Hashable | None:
    """Compute what requests must have in common to be joined; None joins with nothing.

    Requests without rows are left alone: nothing of theirs would be found in a joint answer.

    Args:
        tensors: Every input; unchecked.
        axes: The axis of rows of each.
    """
    if len(tensors) != len(axes):
        return None
    pairs = tuple(zip(tensors, axes, strict=True))
    rows = {tensor.shape[axis] if axis < len(tensor.shape) else 0 for tensor, axis in pairs}
    if len(rows) != 1 or 0 in rows:
        return None
    return tuple(
        (tensor.name, tensor.dtype, tensor.shape[:axis], tensor.shape[axis + 1 :])
        for tensor, axis in pairs
    )


def choose_rows(row_seconds: float | None, *, most_rows: int, most_seconds: float) -> int:
    """Choose how many rows to join into one run.

    Args:
        row_seconds: What a row has been seen to take; None if none was seen yet.
        most_rows: Never more than this.
        most_seconds: How long a joint run should take at most.
    """
    if row_seconds is None:
        return 1
    return max(1, min(most_rows, int(most_seconds / max(row_seconds, 1e-9))))


def join(requests: Sequence[tuple[Tensor, ...]], axes: Sequence[int]) -> tuple[Tensor, ...]:
    """Join requests of one batch key, in order.

    Args:
        requests: The inputs of each.
        axes: The axis of rows of each input.
    """
    return tuple(
        _join_parts(parts, axis)
        for parts, axis in zip(zip(*requests, strict=True), axes, strict=True)
    )


def _join_parts(parts: tuple[Tensor, ...], axis: int) -> Tensor:
    shape = parts[0].shape
    total = sum(part.shape[axis] for part in parts)
    outer = prod(shape[:axis])
    return Tensor(
        name=parts[0].name,
        dtype=parts[0].dtype,
        shape=(*shape[:axis], total, *shape[axis + 1 :]),
        data=b"".join(_take(part, outer, at) for at in range(outer) for part in parts),
    )


def _take(part: Tensor, outer: int, at: int) -> bytes:
    """Take what lies under one choice of the axes before the rows."""
    if outer == 1:
        return part.data
    size = len(part.data) // outer
    return part.data[at * size : (at + 1) * size]


def split(
    outputs: tuple[Tensor, ...], rows: Sequence[int], axes: Sequence[int]
) -> tuple[tuple[Tensor, ...], ...]:
    """Split a joint answer into those of its requests.

    Args:
        outputs: Every output of the joint run.
        rows: How many rows each request brought, in order.
        axes: The axis of rows of each output.

    Raises:
        Fault: `runtime.broken-schema` if the outputs have another number of rows.
    """
    total = sum(rows)
    pairs = tuple(zip(outputs, axes, strict=True))
    if any(output.shape[axis : axis + 1] != (total,) for output, axis in pairs):
        raise Fault(
            "runtime.broken-schema", f"a joint answer has not {total} rows", retryable=False
        )
    ends = tuple(accumulate(rows))
    return tuple(
        tuple(_cut(output, axis, end - count, end) for output, axis in pairs)
        for count, end in zip(rows, ends, strict=True)
    )


def _cut(output: Tensor, axis: int, start: int, end: int) -> Tensor:
    shape = output.shape
    outer = prod(shape[:axis])
    # Without anything under them, rows have no bytes.
    row_bytes = len(output.data) // max(1, outer * shape[axis])
    steps = range(0, len(output.data), max(1, row_bytes * shape[axis]))
    parts = (output.data[at + start * row_bytes : at + end * row_bytes] for at in steps)
    return Tensor(
        name=output.name,
        dtype=output.dtype,
        shape=(*shape[:axis], end - start, *shape[axis + 1 :]),
        data=b"".join(parts),
    )
