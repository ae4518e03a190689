"""Goes through an ONNX file's nodes in its order and expands each (`CANON-1`, `NODE-1`).

`If` must be decided and `Loop` counted by what is known (`NODE-1`): the branch or the rounds are
written out. Must not know what operators mean. Read next: `builder`, `operators.table`.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

import onnx

from probatum.canon.expand.builder import Builder
from probatum.canon.expand.loading import Loaded, Node, read_constant
from probatum.canon.expand.operators.table import get_expansion
from probatum.canon.expand.scopes import Scope
from probatum.canon.expand.site import Site
from probatum.canon.expand.values import Computed, Known, Sizes, Value, get_type, make_known
from probatum.canon.graph.sizes import show_size
from probatum.errors import Refusal

__all__ = ["Walk"]

_ROUNDS: Final = 1024
_DEPTH: Final = 8
_STEPS: Final = 1 << 17
"""Nodes and rounds that a walk takes, those of inner graphs counted each time."""
_NAMELESS: Final = frozenset({"canon.wrong-operands", "canon.wrong-attributes"})
"""What primitives refuse, which do not know the file's nodes."""
_MALFORMED: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Walk:
    """Goes through graphs, outer and inner."""

    def __init__(self, loaded: Loaded, build: Builder) -> None:
        self.build = build
        self._opsets = loaded.opsets
        self._steps = 0

    def run(self, graph: onnx.GraphProto, scope: Scope, *, depth: int) -> None:
        """Expand the nodes of a graph into a scope."""
        if depth > _DEPTH:
            raise Refusal("canon.bad-model", f"graphs are nested deeper than {_DEPTH}")
        for tensor in graph.initializer:
            scope.values.setdefault(tensor.name, read_constant(tensor))
        if len(graph.sparse_initializer):
            raise Refusal("canon.bad-model", "sparse constants have no canonical meaning")
        for proto in graph.node:
            self.step(proto, scope, depth=depth)

    def step(self, proto: onnx.NodeProto, scope: Scope, *, depth: int) -> None:
        """Expand one node into a scope. Raises Refusal `canon.*`."""
        self._count()
        node = self._read(proto)
        values = self._expand(node, scope, depth)
        for name, value in zip(node.outputs, values, strict=False):
            if name:
                scope.values[name] = value

    def _count(self) -> None:
        # Loops within loops that compute nothing new would make no node and never end.
        self._steps += 1
        if self._steps > _STEPS:
            raise Refusal("canon.not-admitted", f"the file's loops take more than {_STEPS} steps")

    def _read(self, proto: onnx.NodeProto) -> Node:
        domain = proto.domain or "ai.onnx"
        opset = self._opsets.get(domain, 0)
        label = f"{proto.op_type} {proto.name or ', '.join(proto.output)!r}"[:120]
        try:
            schema = onnx.defs.get_schema(proto.op_type, opset, proto.domain)
        except onnx.defs.SchemaError:
            raise Refusal(
                "canon.unknown-operator",
                f"{label}: {domain} of version {opset} has no such operator",
            ) from None
        return Node(
            domain=domain,
            operator=proto.op_type,
            since=schema.since_version,
            inputs=tuple(proto.input),
            outputs=tuple(proto.output),
            attributes=MappingProxyType(
                {one.name: _read_attribute(one) for one in proto.attribute}
            ),
            label=label,
        )

    def _expand(self, node: Node, scope: Scope, depth: int) -> tuple[Value, ...]:
        inner = {"If": self._expand_if, "Loop": self._expand_loop}.get(node.operator)
        inputs: tuple[Value | None, ...] = ()
        try:
            if inner is not None:
                return inner(node, scope, depth)
            expansion = get_expansion(node.domain, node.operator, node.since, node.label)
            inputs = tuple(scope.get(name) if name else None for name in node.inputs)
            return expansion(Site(build=self.build, node=node, inputs=inputs))
        except Refusal as refusal:
            if inner is not None or refusal.code not in _NAMELESS:
                raise
            raise _say_where(refusal, node, inputs) from None
        except _MALFORMED as error:
            # Attributes and constants come from the file; what they should be is their operator's
            # definition, and each page of `operators` reads them as if they were so.
            raise Refusal(
                "canon.bad-node", f"{node.label} is not as its operator is defined: {error}"[:500]
            ) from None

    def _expand_if(self, node: Node, scope: Scope, depth: int) -> tuple[Value, ...]:
        chosen = scope.get(node.inputs[0])
        if not isinstance(chosen, Known) or chosen.array.size != 1:
            raise Refusal(
                "canon.not-static",
                f"{node.label} depends on the request's data",
                hint="bind the input that decides it to a constant of the package",
            )
        branch = node.attributes["then_branch" if chosen.array.any() else "else_branch"]
        inner = Scope(scope)
        self.run(branch, inner, depth=depth + 1)
        return tuple(inner.get(one.name) for one in branch.output)

    def _expand_loop(self, node: Node, scope: Scope, depth: int) -> tuple[Value, ...]:
        body: onnx.GraphProto = node.attributes["body"]
        count = scope.get(node.inputs[0]) if node.inputs[0] else None
        going: Value | None = scope.get(node.inputs[1]) if node.inputs[1] else None
        if isinstance(count, (Sizes, Computed)) or count is None:
            raise Refusal("canon.not-static", f"{node.label} has no fixed number of rounds")
        rounds = int(count.array.reshape(-1)[0])
        if rounds > _ROUNDS:
            raise Refusal("canon.not-admitted", f"{node.label} has {rounds} rounds")
        carried = [scope.get(name) for name in node.inputs[2:]]
        scans: list[list[Value]] = [[] for _ in range(len(body.output) - 1 - len(carried))]
        for number in range(rounds):
            self._count()
            if going is not None and not _decide(going, node):
                break
            inner = Scope(scope)
            begin = (make_known("int64", number), going or make_known("bool", [True]), *carried)
            for one, value in zip(body.input, begin, strict=True):
                inner.values[one.name] = value
            self.run(body, inner, depth=depth + 1)
            ends = [inner.get(one.name) for one in body.output]
            going, carried = ends[0], ends[1 : 1 + len(carried)]
            for scan, value in zip(scans, ends[1 + len(carried) :], strict=True):
                scan.append(value)
        return (*carried, *(self._stack(scan, node) for scan in scans))

    def _stack(self, scan: list[Value], node: Node) -> Value:
        if not 0 < len(scan) <= 64:
            raise Refusal("canon.not-admitted", f"{node.label} collects {len(scan)} rounds")
        site = Site(build=self.build, node=node, inputs=())
        rows = [self.build.emit("Reshape", one, shape=(1, *site.get_shape(one))) for one in scan]
        return rows[0] if len(rows) == 1 else self.build.emit("Concat", *rows, axis=0)


def _say_where(refusal: Refusal, node: Node, inputs: tuple[Value | None, ...]) -> Refusal:
    """Say of a primitive's refusal which node of the file meant it, and what that one reads."""
    if node.label in refusal.message:
        return refusal
    shapes = [get_type(value).shape for value in inputs if value is not None]
    shown = ", ".join(f"[{', '.join(map(show_size, shape))}]" for shape in shapes)
    free = not all(isinstance(size, int) for shape in shapes for size in shape)
    return Refusal(
        refusal.code,
        f"{node.label}: {refusal.message}; it reads {shown}"[:500],
        hint="dims of different names may differ: admit one value of each, or name them alike"
        if free
        else "",
    )


def _decide(going: Value, node: Node) -> bool:
    if not isinstance(going, Known):
        raise Refusal("canon.not-static", f"{node.label} ends where the request's data say")
    return bool(going.array.any())


def _read_attribute(proto: onnx.AttributeProto) -> Any:
    """Read an attribute: tensors as known values, graphs as they are, words as text."""
    if proto.type == onnx.AttributeProto.TENSOR:
        return read_constant(proto.t)
    if proto.type == onnx.AttributeProto.GRAPH:
        return proto.g
    value = onnx.helper.get_attribute_value(proto)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if proto.type == onnx.AttributeProto.STRINGS:
        return tuple(one.decode("utf-8", "replace") for one in value)
    return (
        tuple(value)
        if proto.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS)
        else value
    )
