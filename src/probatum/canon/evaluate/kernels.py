"""Which kernel computes which primitive, by name and version.

A new primitive is a page of its own and a row here. Read `plan` next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from probatum.canon.evaluate import comparing, maps, moves, orders, scatter
from probatum.canon.evaluate.bitwise import compute_bitwise
from probatum.canon.evaluate.conv import compute_conv
from probatum.canon.evaluate.dot import compute_dot
from probatum.canon.evaluate.extremes import compute_extreme
from probatum.canon.evaluate.noise import compute_gumbel_noise
from probatum.canon.evaluate.sums import compute_sum
from probatum.canon.evaluate.trees import compute_trees
from probatum.canon.evaluate.values import Value
from probatum.canon.evaluate.workspace import Workspace
from probatum.canon.graph.binding import BoundNode
from probatum.errors import Misuse

__all__ = ["KERNELS", "Kernel", "get_kernel"]

Kernel: TypeAlias = Callable[[BoundNode, tuple[Value, ...], Workspace], Value]

_BY_KERNEL: Final[Mapping[Kernel, str]] = {
    moves.compute_reshape: "Reshape",
    moves.compute_transpose: "Transpose",
    moves.compute_slice: "Slice",
    moves.compute_concat: "Concat",
    moves.compute_expand: "Expand",
    moves.compute_pad: "Pad",
    moves.compute_gather: "Gather",
    moves.compute_gather_elements: "GatherElements",
    moves.compute_where: "Where",
    moves.compute_iota: "Iota",
    comparing.compute_cast: "Cast",
    comparing.compute_comparison: "Equal Less LessOrEqual Greater GreaterOrEqual And Or Xor Not",
    comparing.compute_is_nan: "IsNan",
    compute_bitwise: "BitAnd BitOr BitXor BitNot",
    maps.compute_arithmetic: "Add Sub Mul Div Min Max Mod",
    maps.compute_unary: "Neg Abs Sign Floor Ceil Round Relu Sqrt",
    maps.compute_function: "Exp Log Erf Tanh Sigmoid Sin Cos",
    maps.compute_power: "Pow",
    compute_gumbel_noise: "Gumbel",
    compute_dot: "Dot",
    compute_conv: "Conv",
    orders.compute_window_max: "WindowMax",
    orders.compute_window_mean: "WindowMean",
    orders.compute_arg: "ArgMax ArgMin",
    orders.compute_top: "TopK",
    scatter.compute_scatter_elements: "ScatterElements",
    scatter.compute_scatter_nd: "ScatterND",
    compute_trees: "TreeEnsemble",
    compute_sum: "ReduceSum ReduceMean",
    compute_extreme: "ReduceMax ReduceMin",
}

KERNELS: Final[Mapping[tuple[str, int], Kernel]] = MappingProxyType(
    {(name, 1): kernel for kernel, names in _BY_KERNEL.items() for name in names.split()}
    | {("TreeEnsemble", 2): compute_trees}
)
"""By operator and version."""


def get_kernel(operator: str, version: int) -> Kernel:
    """Get what computes a primitive. Raises Misuse `canon.no-kernel`."""
    kernel = KERNELS.get((operator, version))
    if kernel is None:
        raise Misuse("canon.no-kernel", f"nothing computes {operator} version {version}")
    return kernel
