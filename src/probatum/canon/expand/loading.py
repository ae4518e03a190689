"""Reads an admitted ONNX file: opsets, inlined functions, constants, declared inputs and outputs.

Must not know what operators mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import onnx
import onnx.inliner
from onnx import numpy_helper

from probatum.canon.expand.values import Known, pack
from probatum.canon.graph.records import DimRecord, InputRecord
from probatum.canon.graph.sizes import Size, make_dim
from probatum.canon.graph.types import CanonDtype
from probatum.errors import Refusal

__all__ = ["BODIES", "Loaded", "Node", "load_model", "make_dim_name", "read_constant", "read_dtype"]

BODIES: Final = (
    "Elu", "HardSwish", "LeakyRelu", "LogSoftmax", "Mish", "PRelu", "ReduceL1", "ReduceL2",
    "ReduceSumSquare", "Selu", "Softsign", "Swish", "ThresholdedRelu",
)  # fmt: skip
"""Operators of which the standard's own body is numerically sound (`CANON-1`)."""

_DTYPES: Final[Mapping[int, CanonDtype]] = MappingProxyType(
    {
        onnx.TensorProto.BOOL: "bool",
        onnx.TensorProto.UINT8: "uint8",
        onnx.TensorProto.UINT16: "uint16",
        onnx.TensorProto.UINT32: "uint32",
        onnx.TensorProto.UINT64: "uint64",
        onnx.TensorProto.INT8: "int8",
        onnx.TensorProto.INT16: "int16",
        onnx.TensorProto.INT32: "int32",
        onnx.TensorProto.INT64: "int64",
        onnx.TensorProto.FLOAT16: "float16",
        onnx.TensorProto.BFLOAT16: "bfloat16",
        onnx.TensorProto.FLOAT: "float32",
        onnx.TensorProto.DOUBLE: "float64",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One operator of the file.

    Attributes:
        domain: ``ai.onnx`` or ``ai.onnx.ml``.
        operator: Its name.
        since: The version of its definition that the file's operator set names.
        inputs: Names; empty for an input that is left out.
        outputs: Names; empty for an output that nobody reads.
        attributes: Python values; tensors as `Known`, graphs as they are.
        label: How a message names it.
    """

    domain: str
    operator: str
    since: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A file as the expansion needs it."""

    graph: onnx.GraphProto
    opsets: Mapping[str, int]
    inputs: tuple[onnx.ValueInfoProto, ...]
    dims: tuple[DimRecord, ...]
    records: tuple[InputRecord, ...]


def read_dtype(number: int, what: str) -> CanonDtype:
    """Read an ONNX element type. Raises Refusal `canon.bad-dtype`."""
    dtype = _DTYPES.get(number)
    if dtype is None:
        name = onnx.TensorProto.DataType.Name(number) if number in range(1, 24) else str(number)
        raise Refusal(
            "canon.bad-dtype", f"{what} has the type {name}, which canonical graphs do not have"
        )
    return dtype


def read_constant(proto: onnx.TensorProto) -> Known:
    """Read a tensor of the file. Raises Refusal `canon.bad-dtype`, `canon.external-data`."""
    dtype = read_dtype(proto.data_type, f"the constant {proto.name!r}")
    if proto.data_location == onnx.TensorProto.EXTERNAL:
        raise Refusal("canon.external-data", "a package's model holds its weights itself")
    array = numpy_helper.to_array(proto)
    if dtype == "bfloat16":
        array = array.view(np.uint16)
    return Known(dtype, pack(array))


def load_model(
    data: bytes,
    ranges: Mapping[str, tuple[int, int]],
    bound: frozenset[str],
) -> Loaded:
    """Read a file whose form was admitted (`PUB-1`).

    Args:
        data: The file.
        ranges: Least and greatest value of each named dim.
        bound: Names of the inputs that the package binds to constants.

    Raises:
        Refusal: `canon.*`.
    """
    try:
        model = onnx.load_model_from_string(data)
        # Inlining copies all weights three times over: only where there is something to inline.
        if len(model.functions):
            model = onnx.inliner.inline_local_functions(model)
        if _has_bodies(model.graph):
            _fill_defaults(model.graph, {one.domain: one.version for one in model.opset_import})
            model = onnx.inliner.inline_selected_functions(
                model, [("", name) for name in BODIES], exclude=False, inline_schema_functions=True
            )
    except Exception as error:  # noqa: BLE001 - the library raises what it likes
        raise Refusal("canon.bad-model", f"the file cannot be read: {error}"[:500]) from None
    opsets = {one.domain or "ai.onnx": one.version for one in model.opset_import}
    known = {one.name for one in model.graph.initializer}
    inputs = tuple(
        one for one in model.graph.input if one.name not in known and one.name not in bound
    )
    names: dict[str, None] = {}
    records = tuple(_read_input(one, names, ranges) for one in inputs)
    dims = tuple(
        DimRecord(name=name, least=ranges[name][0], greatest=ranges[name][1])
        for name in sorted(names)
    )
    return Loaded(
        graph=model.graph,
        opsets=MappingProxyType(opsets),
        inputs=inputs,
        dims=dims,
        records=records,
    )


def _has_bodies(graph: onnx.GraphProto) -> bool:
    """Tell whether an operator stands in a graph or its inner ones that goes by its own body."""
    return any(
        (node.op_type in BODIES and node.domain in {"", "ai.onnx"})
        or any(
            one.type == onnx.AttributeProto.GRAPH and _has_bodies(one.g) for one in node.attribute
        )
        for node in graph.node
    )


def _fill_defaults(graph: onnx.GraphProto, opsets: Mapping[str, int]) -> None:
    """Write out what attributes are where they are left out: inlining forgets the defaults."""
    for node in graph.node:
        if node.op_type in BODIES and not node.domain:
            given = {one.name for one in node.attribute}
            schema = onnx.defs.get_schema(node.op_type, opsets.get("", 1), "")
            node.attribute.extend(
                told.default_value
                for name, told in sorted(schema.attributes.items())
                if name not in given and told.default_value.name
            )
        for one in node.attribute:
            if one.type == onnx.AttributeProto.GRAPH:
                _fill_defaults(one.g, opsets)


def _read_input(
    proto: onnx.ValueInfoProto, names: dict[str, None], ranges: Mapping[str, tuple[int, int]]
) -> InputRecord:
    kind = proto.type.tensor_type
    if not proto.type.HasField("tensor_type") or not kind.HasField("shape"):
        raise Refusal("canon.bad-input", f"the input {proto.name!r} is no tensor of known rank")
    dtype = read_dtype(kind.elem_type, f"the input {proto.name!r}")
    if dtype == "bfloat16":
        raise Refusal("canon.bad-dtype", f"the input {proto.name!r} is bfloat16")
    shape: list[Size] = []
    for axis, dim in enumerate(kind.shape.dim):
        if dim.HasField("dim_value"):
            shape.append(int(dim.dim_value))
            continue
        name = make_dim_name(dim.dim_param, proto.name, axis)
        low, high = ranges.get(name, (None, None))
        if low is None or high is None:
            raise Refusal(
                "canon.dim-without-range",
                f"the dim {name!r} of {proto.name!r} has no range",
                hint=f"say which values are admitted, as in {name}=1..16",
            )
        if low == high:
            shape.append(low)
        else:
            names[name] = None
            shape.append(make_dim(name))
    return InputRecord(name=proto.name, dtype=dtype, shape=tuple(shape))


def make_dim_name(param: str, tensor: str, axis: int) -> str:
    """Make the name of a dim: the file's own where it is a name, else of tensor and axis."""
    text = param or f"{tensor}_{axis}"
    cleaned = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in text)[:32]
    return cleaned if cleaned[:1].isalpha() or cleaned[:1] == "_" else f"_{cleaned}"[:32]
