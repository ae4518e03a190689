"""Nodes and their elements for tests: made by inference, read from plain lists."""

from math import prod
from types import MappingProxyType

from probatum.canon.graph.binding import BoundNode, BoundType
from probatum.canon.graph.types import DTYPES, TensorType
from probatum.canon.primitives.judging import judge_element
from probatum.canon.primitives.registry import get_primitive

F32 = {
    "+0": 0x00000000,
    "-0": 0x80000000,
    "tiny": 0x00000001,
    "-tiny": 0x80000001,
    "1": 0x3F800000,
    "-1": 0xBF800000,
    "1.5": 0x3FC00000,
    "2": 0x40000000,
    "-2": 0xC0000000,
    "0.5": 0x3F000000,
    "-0.5": 0xBF000000,
    "2.5": 0x40200000,
    "3": 0x40400000,
    "max": 0x7F7FFFFF,
    "-max": 0xFF7FFFFF,
    "inf": 0x7F800000,
    "-inf": 0xFF800000,
    "nan": 0x7FC00000,
    "-nan": 0xFFC00001,
    "snan": 0x7F800001,
}
"""Bits of float32 values by what people call them."""


def f32(*names):
    return [F32[name] for name in names]


def make_node(operator, inputs, dtype=None, *, version=1, **attributes):
    """Make a bound node; inputs are (dtype, shape) pairs."""
    kinds = tuple(TensorType(kind, tuple(shape)) for kind, shape in inputs)
    values = {
        name: value if isinstance(value, str | tuple) else (value,)
        for name, value in attributes.items()
    }
    primitive = get_primitive(operator, version)
    output = primitive.infer(kinds, values, dtype)
    assert all(size >= 0 for size in primitive.list_conditions(kinds, values))
    return BoundNode(
        operator=operator,
        version=version,
        attributes=MappingProxyType(values),
        reads=(),
        inputs=tuple(BoundType(one.dtype, one.shape) for one in kinds),
        output=BoundType(output.dtype, output.shape),
    )


def make_fetch(node, tensors):
    """Answer reads out of flat lists of bits, one list an operand."""
    assert [len(one) for one in tensors] == [one.count for one in node.inputs]

    def fetch(read):
        return tensors[read.source][read.first : read.first + read.length]

    return fetch


def judge_all(node, *tensors, claims=None):
    """Judge every element of a node."""
    fetch = make_fetch(node, tensors)
    count = prod(node.output.shape)
    return [judge_element(node, at, fetch, claims[at] if claims else 0) for at in range(count)]


def run(operator, *operands, dtype=None, **attributes):
    """Judge a node of operands (dtype, shape, flat bits)."""
    node = make_node(operator, [(kind, shape) for kind, shape, _ in operands], dtype, **attributes)
    return judge_all(node, *(list(bits) for _, _, bits in operands))


def width(dtype):
    return 8 * DTYPES[dtype].size_bytes
