"""Judges graphs and their nodes: names, operators, subgraphs, and what they hold (`PUB-1`).

Operators come from the released sets of ONNX alone, or from functions that the file defines of
them. What draws chance is refused: a receipt says that this output belongs to that input.
Must not know what operators compute. Read next: `functions`, `tensors`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeAlias

from probatum.errors import Refusal
from probatum.runtime.admission import bounds
from probatum.runtime.admission.loops import judge_loop
from probatum.runtime.admission.reading import Message
from probatum.runtime.admission.reasons import Reasons, show_name
from probatum.runtime.admission.tensors import judge_sparse, judge_tensor, read_head

__all__ = ["FunctionKey", "Survey", "judge_graph", "judge_nodes", "normalise_domain"]

FunctionKey: TypeAlias = tuple[str, str, str]
"""Domain, name and overload."""

_RANDOM: Final = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
     "RandomUniformLike"}
)  # fmt: skip
_SCALES: Final[Mapping[str, int]] = MappingProxyType({"Resize": 2, "Upsample": 1})
"""Operators that enlarge, and which input says by how much."""
_VALUES: Final[Mapping[int, str]] = MappingProxyType(
    {1: "f", 2: "i", 3: "s", 4: "t", 5: "g", 6: "floats", 7: "ints", 8: "strings", 9: "tensors",
     10: "graphs", 11: "sparse_tensor", 12: "sparse_tensors", 13: "tp", 14: "type_protos"}
)  # fmt: skip
"""Where the value of an attribute stands, by its type."""


@dataclass(slots=True, kw_only=True)
class Survey:
    """What is known while nodes of one body (the model's, or one function's) are judged.

    Attributes:
        domains: Operator sets that the body imports.
        functions: Functions that the file defines.
        reasons: Where reasons go.
        nodes: Nodes seen, those of subgraphs included.
        tensors: Stored tensors seen.
        calls: How often the body names each function.
        is_function: Whether the body is a function's.
    """

    domains: AbstractSet[str]
    functions: AbstractSet[FunctionKey]
    reasons: Reasons
    nodes: int = 0
    tensors: int = 0
    calls: Counter[FunctionKey] = field(default_factory=Counter)
    is_function: bool = False


def normalise_domain(domain: str) -> str:
    """Give an operator set the one name that this room uses for it."""
    return "" if domain == "ai.onnx" else domain


def judge_graph(graph: Message, survey: Survey, depth: int) -> None:
    """Judge a graph and all graphs within it.

    Args:
        graph: The graph.
        survey: What is known, and where reasons go.
        depth: Graphs around it.

    Reasons: `admission.too-deep`, `admission.sparse-tensor`, `admission.duplicate-name`,
        `admission.bad-name`, and those of `judge_nodes` and `judge_tensor`.
    """
    if depth > bounds.SUBGRAPHS:
        survey.reasons.add(
            Refusal("admission.too-deep", f"graphs are nested deeper than {bounds.SUBGRAPHS}")
        )
        return
    if graph.parts("sparse_initializer"):
        judge_sparse(survey.reasons)
    weights = graph.parts("initializer")
    survey.tensors += len(weights)
    for tensor in weights:
        judge_tensor(tensor, survey.reasons)
    constants = {tensor.text("name"): tensor for tensor in weights}
    inputs = [value.text("name") for value in graph.parts("input")]
    # An input of a weight's name has that weight as its default; it names nothing new.
    named = [tensor.text("name") for tensor in weights]
    named += [name for name in dict.fromkeys(inputs) if name not in constants]
    _judge_names(inputs, survey.reasons)
    _judge_names([value.text("name") for value in graph.parts("output")], survey.reasons)
    judge_nodes(graph.parts("node"), survey, depth, named=named, constants=constants)


def judge_nodes(
    nodes: list[Message],
    survey: Survey,
    depth: int,
    *,
    named: list[str],
    constants: Mapping[str, Message],
) -> None:
    """Judge the nodes of one graph or function.

    Args:
        nodes: The nodes.
        survey: What is known, and where reasons go.
        depth: Graphs around them.
        named: What inputs and stored tensors are called.
        constants: Stored tensors by name.

    Reasons: `admission.duplicate-name`, `admission.bad-name`, `admission.unknown-domain`,
        `admission.no-opset`, `admission.random-operator`, `admission.bad-attribute`,
        `admission.bad-scale`, `admission.idle-loop`, `admission.device-configuration`.
    """
    survey.nodes += len(nodes)
    known = dict(constants)
    for node in nodes:
        if node.text("op_type") == "Constant" and node.blobs("output"):
            values = [a.part("t") for a in node.parts("attribute")]
            known.update({node.text("output"): tensor for tensor in values if tensor})
    made = [name for node in nodes for name in node.texts("output") if name]
    _judge_names(named + made, survey.reasons)
    for node in nodes:
        _judge_operator(node, survey)
        _judge_scales(node, known, survey.reasons)
        judge_loop(node, survey.reasons)
        if node.parts("device_configurations"):
            survey.reasons.add(
                Refusal("admission.device-configuration", "a node is bound to certain devices")
            )
        attributes = [each.text("name") for each in node.parts("attribute")]
        if len(set(attributes)) != len(attributes):
            said = f"{show_name(node.text('op_type'))} has an attribute twice"
            survey.reasons.add(Refusal("admission.bad-attribute", said))
        for attribute in node.parts("attribute"):
            judge_attribute(attribute, survey, depth)


def judge_attribute(attribute: Message, survey: Survey, depth: int) -> None:
    """Judge an attribute and what it holds.

    Reasons: `admission.bad-attribute`, `admission.sparse-tensor`, and those of what it holds.
    """
    held = [name for name in _VALUES.values() if attribute.has(name)]
    stated = _VALUES.get(attribute.number("type"))
    is_reference = bool(attribute.text("ref_attr_name"))
    # An empty list leaves no field; otherwise the value stands where the type says, alone.
    if (held and held != [stated]) or (is_reference and (held or not survey.is_function)):
        survey.reasons.add(
            Refusal(
                "admission.bad-attribute",
                f"attribute {show_name(attribute.text('name'))} is not of the type it states",
            )
        )
    if {"sparse_tensor", "sparse_tensors"} & set(held):
        judge_sparse(survey.reasons)
    for tensor in attribute.parts("t") + attribute.parts("tensors"):
        survey.tensors += 1
        judge_tensor(tensor, survey.reasons)
    for graph in attribute.parts("g") + attribute.parts("graphs"):
        judge_graph(graph, survey, depth + 1)


def _judge_names(names: list[str], reasons: Reasons) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            reasons.add(Refusal("admission.duplicate-name", f"{show_name(name)} names two values"))
        seen.add(name)
        if not name or len(name) > bounds.NAME_BYTES or not name.isprintable():
            reasons.add(Refusal("admission.bad-name", f"{show_name(name)} is no name for a value"))


def _judge_operator(node: Message, survey: Survey) -> None:
    operator, domain = node.text("op_type"), normalise_domain(node.text("domain"))
    key = (domain, operator, node.text("overload"))
    if key in survey.functions:
        survey.calls[key] += 1
        return
    if domain not in bounds.DOMAINS:
        survey.reasons.add(
            Refusal(
                "admission.unknown-domain",
                f"operator {show_name(operator)} is of the set {show_name(domain)}",
                hint="ONNX's own operators are admitted: the sets ai.onnx and ai.onnx.ml",
            )
        )
    elif domain not in survey.domains:
        said = f"operator {show_name(operator)} is of a set that the file does not import"
        survey.reasons.add(Refusal("admission.no-opset", said))
    elif domain == "" and (operator in _RANDOM or _is_training(node)):
        survey.reasons.add(
            Refusal(
                "admission.random-operator",
                f"operator {show_name(operator)} draws chance",
                hint="the same input must give the same output",
            )
        )


def _is_training(node: Message) -> bool:
    """Whether this is a Dropout that may be told to drop."""
    inputs = node.texts("input")
    return node.text("op_type") == "Dropout" and len(inputs) > 2 and inputs[2] != ""


def _judge_scales(node: Message, constants: Mapping[str, Message], reasons: Reasons) -> None:
    place = _SCALES.get(node.text("op_type"))
    if place is None:
        return
    inputs = node.texts("input")
    tensor = constants.get(inputs[place]) if len(inputs) > place else None
    scales = read_head(tensor) if tensor else ()
    if any(not math.isfinite(each) or not 0 < each <= bounds.SCALE for each in scales):
        reasons.add(
            Refusal(
                "admission.bad-scale",
                f"{show_name(node.text('op_type'))} is to scale by {scales[:4]}",
            )
        )
