"""How rows of what each primitive computes depend on rows of what it reads (`EXACT-2`).

A rule answers with the axis on which the result's rows lie, if row i of the result is made of row
i of what has rows, and of what has none, in a way that depends on neither i nor n. It refuses
whenever that is not plain. Who calls it has checked that no attribute but the result's own shape
depends on n, and checks that the axis holds rows of the same size. Must not know whole graphs.
Read `proving` next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from probatum.canon.graph.sizes import divide_by_dim, multiply_sizes
from probatum.canon.primitives.joining.layouts import Step, refuse_rows

__all__ = ["RESHAPE", "RULES", "follow_broadcast"]

Rule: TypeAlias = Callable[[Step], int]


def follow_broadcast(step: Step) -> int:
    """Follow rows through maps: axes are aligned on the right, and all rows lie on one.

    What has no rows is stretched along it: its size there is 1, for it cannot name n.
    """
    rank = len(step.output.shape)
    return _agree(
        {
            rank - len(kind.shape) + rows.axis
            for kind, rows in zip(step.inputs, step.rows, strict=True)
            if rows is not None
        }
    )


def _agree(axes: set[int]) -> int:
    if len(axes) != 1:
        raise refuse_rows("it joins rows that lie on different axes")
    return axes.pop()


def _follow_reshape(step: Step) -> int:
    """Follow rows through row-major numbers: as much before them, as much in each."""
    (rows,), (kind,) = step.rows, step.inputs
    assert rows is not None, "who calls a rule has found rows"
    before = multiply_sizes(kind.shape[: rows.axis])
    inside = rows.each * multiply_sizes(kind.shape[rows.axis + 1 :])
    shape = step.output.shape
    for axis, size in enumerate(shape):
        each = divide_by_dim(size, step.dim)
        if each is not None:
            if multiply_sizes(shape[:axis]) != before:
                break
            if each * multiply_sizes(shape[axis + 1 :]) != inside:
                break
            return axis
    raise refuse_rows("it merges rows with an axis before them, or cuts them")


def _follow_transpose(step: Step) -> int:
    axis = step.get_axis(0)
    assert axis is not None, "who calls a rule has found rows"
    return step.get_sizes("perm").index(axis)


def _follow_slice(step: Step) -> int:
    """Follow rows through a slice that takes all of them, in order."""
    axis = step.get_axis(0)
    assert axis is not None, "who calls a rule has found rows"
    if (step.get_sizes("starts")[axis], step.get_sizes("steps")[axis]) != (0, 1):
        raise refuse_rows("it takes some rows, or moves them")
    return _keep_size(step, axis)


def _keep_size(step: Step, axis: int) -> int:
    if step.output.shape[axis] != step.inputs[0].shape[axis]:
        raise refuse_rows("it takes some rows, or adds some")
    return axis


def _follow_concat(step: Step) -> int:
    """Follow rows that lie on another axis than the one that is joined."""
    axis = _all_on_one(step)
    if (axis,) == step.get_sizes("axis"):
        raise refuse_rows("it puts rows one behind another")
    return axis


def _all_on_one(step: Step) -> int:
    """Demand that everything that is read has rows, on one axis."""
    if any(rows is None for rows in step.rows):
        raise refuse_rows("rows meet what has none")
    return _agree({rows.axis for rows in step.rows if rows is not None})


def _follow_expand(step: Step) -> int:
    """Follow rows, or make the same row n times of what has none."""
    shape = step.output.shape
    if step.rows[0] is not None:
        return follow_broadcast(step)
    axes = [at for at, size in enumerate(shape) if divide_by_dim(size, step.dim) is not None]
    if not axes:
        raise refuse_rows("it stretches something to a size that rows do not make")
    return axes[0]


def _follow_pad(step: Step) -> int:
    """Follow rows that nothing is put around."""
    axis = step.get_axis(0)
    if axis is None or step.rows[1] is not None:
        raise refuse_rows("it pads with rows")
    if step.get_sizes("begins")[axis] != 0:
        raise refuse_rows("it moves rows")
    return _keep_size(step, axis)


def _follow_gather(step: Step) -> int:
    """Follow rows of indices into what has none, or rows of what is not gathered along them."""
    (axis,) = step.get_sizes("axis")
    assert isinstance(axis, int), "an admitted axis is an integer"
    data, indices = step.get_axis(0), step.get_axis(1)
    if data is None and indices is not None:
        return axis + indices
    if data is None or indices is not None or data == axis:
        raise refuse_rows("its indices choose among rows")
    return data if data < axis else data + len(step.inputs[1].shape) - 1


def _follow_gather_elements(step: Step) -> int:
    (axis,) = step.get_sizes("axis")
    assert isinstance(axis, int), "an admitted axis is an integer"
    data, indices = step.get_axis(0), step.get_axis(1)
    if data is None and indices == axis:
        return axis
    if data is None or data != indices or data == axis:
        raise refuse_rows("its indices choose among rows")
    return data


def _follow_dot(step: Step) -> int:
    """Follow rows of the left operand's rows, the right one's, or of the axes before."""
    rank = len(step.output.shape)
    axes = set()
    for source, (kind, rows) in enumerate(zip(step.inputs, step.rows, strict=True)):
        if rows is None:
            continue
        place = rows.axis - len(kind.shape)
        if place == -1:
            raise refuse_rows("it sums over rows")
        # b[..., N, K] gives the result's last axis, a[..., M, K] the one before.
        axes.add(rank - 1 if (source, place) == (1, -2) else rank + place)
    return _agree(axes)


def _follow_batch(step: Step) -> int:
    """Follow rows on the first axis of the first operand; the others have none."""
    if step.get_axis(0) != 0 or any(rows is not None for rows in step.rows[1:]):
        raise refuse_rows("rows are not the first axis of what it reads first, or not there alone")
    return 0


def _follow_fold(step: Step) -> int:
    """Follow rows on any axis but the last, which is folded."""
    axis = _all_on_one(step)
    if axis == len(step.inputs[0].shape) - 1:
        raise refuse_rows("it folds over rows")
    return axis


def _follow_scatter_nd(step: Step) -> int:
    """Follow rows within the slices that are written, at indices that are the same for all."""
    data, indices, updates = (step.get_axis(source) for source in range(3))
    *before, depth = step.inputs[1].shape
    assert isinstance(depth, int), "an admitted depth is an integer"
    if data is None or indices is not None or data < depth:
        raise refuse_rows("its indices choose among rows, or are rows")
    if updates != len(before) + data - depth:
        raise refuse_rows("its updates lie otherwise than the data's rows")
    return data


RESHAPE: Final = "Reshape"
"""The one primitive that may change how many places a row has."""

RULES: Final[Mapping[tuple[str, int], Rule]] = MappingProxyType(
    {
        (RESHAPE, 1): _follow_reshape,
        ("Transpose", 1): _follow_transpose,
        ("Slice", 1): _follow_slice,
        ("Concat", 1): _follow_concat,
        ("Expand", 1): _follow_expand,
        ("Pad", 1): _follow_pad,
        ("Gather", 1): _follow_gather,
        ("GatherElements", 1): _follow_gather_elements,
        ("Where", 1): follow_broadcast,
        ("Cast", 1): follow_broadcast,
        ("Dot", 1): _follow_dot,
        ("Conv", 1): _follow_batch,
        ("ReduceSum", 1): _follow_fold,
        ("ReduceMean", 1): _follow_fold,
        ("ReduceMax", 1): _follow_fold,
        ("ReduceMin", 1): _follow_fold,
        ("WindowMax", 1): _follow_batch,
        ("WindowMean", 1): _follow_batch,
        ("ArgMax", 1): _follow_fold,
        ("ArgMin", 1): _follow_fold,
        ("TopK", 1): _follow_fold,
        ("ScatterElements", 1): _follow_fold,
        ("ScatterND", 1): _follow_scatter_nd,
        ("TreeEnsemble", 1): _follow_batch,
        ("TreeEnsemble", 2): _follow_batch,
    }
)
"""By operator and version. Maps have `follow_broadcast`; what has no rule keeps no rows apart."""
