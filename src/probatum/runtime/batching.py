"""Joins requests along a model's batch dimension and splits the answers again.

Pure: bytes are joined and cut, since rows of row-major tensors lie one behind another. Requests
join only where the manifest says that rows do not depend on one another. What is joined computes
the same function, but in class `float` the last bits may differ from a run alone: the engine
chooses its kernels by shape. Must not know engines or threads.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import accumulate

from probatum.errors import Fault
from probatum.protocol.manifests import Manifest
from probatum.protocol.tensors import Tensor

__all__ = ["choose_rows", "compute_batch_key", "count_rows", "is_batchable", "join", "split"]


def is_batchable(manifest: Manifest) -> bool:
    """Whether requests may be joined: the batch dimension is first everywhere, and only there."""
    name = manifest.batch_dim
    specs = manifest.inputs + manifest.outputs
    return name is not None and all(
        spec.shape[:1] == (name,) and name not in spec.shape[1:] for spec in specs
    )


def compute_batch_key(tensors: tuple[Tensor, ...]) -> Hashable | None:
    """Compute what requests must have in common to be joined; None joins with nothing.

    Requests without rows are left alone: nothing of theirs would be found in a joint answer.
    """
    rows = {tensor.shape[0] if tensor.shape else 0 for tensor in tensors}
    if len(rows) != 1 or 0 in rows:
        return None
    return tuple((tensor.name, tensor.dtype, tensor.shape[1:]) for tensor in tensors)


def count_rows(tensors: tuple[Tensor, ...]) -> int:
    """Count the rows of a request that has a batch key."""
    return tensors[0].shape[0]


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


def join(requests: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    """Join requests of one batch key, in order."""
    return tuple(
        Tensor(
            name=parts[0].name,
            dtype=parts[0].dtype,
            shape=(sum(part.shape[0] for part in parts), *parts[0].shape[1:]),
            data=b"".join(part.data for part in parts),
        )
        for parts in zip(*requests, strict=True)
    )


def split(outputs: tuple[Tensor, ...], rows: Sequence[int]) -> tuple[tuple[Tensor, ...], ...]:
    """Split a joint answer into those of its requests.

    Args:
        outputs: Every output of the joint run.
        rows: How many rows each request brought, in order.

    Raises:
        Fault: `runtime.broken-schema` if the outputs have another number of rows.
    """
    total = sum(rows)
    if any(output.shape[:1] != (total,) for output in outputs):
        raise Fault(
            "runtime.broken-schema", f"a joint answer has not {total} rows", retryable=False
        )
    ends = tuple(accumulate(rows))
    return tuple(
        tuple(_cut(output, end - count, end) for output in outputs)
        for count, end in zip(rows, ends, strict=True)
    )


def _cut(output: Tensor, start: int, end: int) -> Tensor:
    row_bytes = len(output.data) // output.shape[0]
    return Tensor(
        name=output.name,
        dtype=output.dtype,
        shape=(end - start, *output.shape[1:]),
        data=output.data[start * row_bytes : end * row_bytes],
    )
