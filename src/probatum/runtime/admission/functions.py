"""Judges the functions of a file: none calls itself, and all unfold within bounds (`PUB-1`).

An engine unfolds calls before it runs. Ten functions that each call the next ten times are a file
of a kilobyte and ten thousand million nodes. Must not know operators.
"""

from __future__ import annotations

from collections.abc import Mapping

from probatum.errors import Refusal
from probatum.runtime.admission import bounds
from probatum.runtime.admission.graphs import (
    FunctionKey,
    Survey,
    judge_attribute,
    judge_nodes,
    normalise_domain,
)
from probatum.runtime.admission.reading import Message
from probatum.runtime.admission.reasons import Reasons, show_name

__all__ = ["count_unfolded", "get_key", "judge_function"]


def get_key(function: Message) -> FunctionKey:
    """Get what calls name a function by."""
    domain = normalise_domain(function.text("domain"))
    return (domain, function.text("name"), function.text("overload"))


def judge_function(function: Message, survey: Survey) -> None:
    """Judge one function's own body.

    Reasons: `admission.shadowed-operator` and those of `judge_nodes`.
    """
    if normalise_domain(function.text("domain")) in bounds.DOMAINS:
        survey.reasons.add(
            Refusal(
                "admission.shadowed-operator",
                f"a function takes the place of operator {show_name(function.text('name'))}",
                hint="functions have a domain of their own",
            )
        )
    for attribute in function.parts("attribute_proto"):
        judge_attribute(attribute, survey, 0)
    judge_nodes(function.parts("node"), survey, 0, named=function.texts("input"), constants={})


def count_unfolded(
    model: Survey, functions: Mapping[FunctionKey, Survey], reasons: Reasons
) -> None:
    """Count nodes and tensors of the whole file with every call unfolded, and hold them to bounds.

    Reasons: `admission.recursive-function`, `admission.too-many-nodes`,
        `admission.too-many-tensors`.
    """
    sizes: dict[FunctionKey, tuple[int, int]] = {}
    for key in _sort_by_calls(functions, reasons):
        sizes[key] = _unfold(functions[key], sizes)
    nodes, tensors = _unfold(model, sizes)
    # Functions that nobody calls are read all the same.
    nodes = max(nodes, model.nodes + sum(each.nodes for each in functions.values()))
    tensors = max(tensors, model.tensors + sum(each.tensors for each in functions.values()))
    if nodes > bounds.NODES:
        reasons.add(
            Refusal(
                "admission.too-many-nodes", f"{_show(nodes)} nodes; {bounds.NODES} are admitted"
            )
        )
    if tensors > bounds.TENSORS:
        reasons.add(
            Refusal(
                "admission.too-many-tensors",
                f"{_show(tensors)} stored tensors; {bounds.TENSORS} are admitted",
            )
        )


def _unfold(body: Survey, sizes: Mapping[FunctionKey, tuple[int, int]]) -> tuple[int, int]:
    nodes, tensors = body.nodes, body.tensors
    for key, times in body.calls.items():
        inner = sizes.get(key, (0, 0))
        nodes += times * inner[0]
        tensors += times * inner[1]
    # What is over the bound already need not be exact, and products of products grow long.
    return min(nodes, 1 << 64), min(tensors, 1 << 64)


def _sort_by_calls(functions: Mapping[FunctionKey, Survey], reasons: Reasons) -> list[FunctionKey]:
    """Sort functions so that each comes after those it calls; report circles."""
    order: list[FunctionKey] = []
    waits = {key: set(body.calls) & set(functions) for key, body in functions.items()}
    callers: dict[FunctionKey, list[FunctionKey]] = {key: [] for key in functions}
    for key, called in waits.items():
        for each in called:
            callers[each].append(key)
    ready = [key for key, called in waits.items() if not called]
    while ready:
        key = ready.pop()
        order.append(key)
        for caller in callers[key]:
            waits[caller].discard(key)
            if not waits[caller]:
                ready.append(caller)
    circle = sorted(key for key in functions if waits[key])
    if circle:
        reasons.add(
            Refusal(
                "admission.recursive-function",
                f"function {show_name(circle[0][1])} calls itself, or what calls it",
            )
        )
    return order


def _show(number: int) -> str:
    return f"{number:,}" if number < 10**12 else "over a million million"
