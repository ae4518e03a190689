"""Writes `docs/spec/operators/expansions.md`: each admitted operator, and how it is expanded.

Versions and words are the source's own; distances are measured anew, on `operator_cases`. Run it
to write the page; a test fails while the page is behind.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, defs, helper, numpy_helper

from probatum.canon.evaluate.evaluating import evaluate
from probatum.canon.expand.expansion import expand_model
from probatum.canon.expand.loading import BODIES
from probatum.canon.expand.operators.table import ADMITTED

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.operator_cases import CASES, Case  # noqa: E402 - found beside this page

PAGE = ROOT / "docs" / "spec" / "operators" / "expansions.md"
OPSET = 24

HEAD = """\
# Operators of ONNX, and what they are expanded into

Written by `tools/operators.py` from the source; a test fails while it is behind. An operator is
expanded into primitives (`CANON-1`), each of which is rounded once; the versions are those of its
definition in ONNX for which the expansion is true. What is not listed has no canonical meaning yet:
`canon.unknown-operator`. `If` and `Loop` are written out where the graph's constants decide them
(`NODE-1`). Code: `src/probatum/canon/expand/operators`.

## Distances

An operator expanded into several primitives is rounded several times, and so lies some way off the
same operator computed exactly and rounded once. That is no error: the expansion *is* the canonical
meaning. It says how much arithmetic that meaning gives away. The figure is the greatest difference
from the operator in one piece (float64, on the same float32 inputs), in units of the last place of
the output's greatest element; ½ is what one rounding costs. "Hard" inputs are chosen to bring out
what lies between.

"""


def measure(case: Case, inputs: tuple[Any, ...]) -> float:
    """Measure a distance in units of the last place of the greatest output."""
    names = [f"x{number}" for number in range(len(inputs))]
    held = set(names[1 : 1 + case.constants])
    graph = helper.make_graph(
        [helper.make_node(case.operator, names, ["y"], domain=case.domain, **case.attributes)],
        "one",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape)
            for name, array in zip(names, inputs, strict=True)
            if name not in held
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(array, name)
            for name, array in zip(names, inputs, strict=True)
            if name in held
        ],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=11)
    expanded = expand_model(model.SerializeToString(), ranges={})
    given = [array for name, array in zip(names, inputs, strict=True) if name not in held]
    found = evaluate(expanded.graph, expanded.weights, given)[0].astype(np.float64)
    exact = case.exact(*(array.astype(np.float64) for array in inputs))
    assert found.shape == np.shape(exact), f"{case.operator} and its reference differ in shape"
    unit = 2.0 ** (math.floor(math.log2(float(np.abs(exact).max()))) - 23)
    return float(np.abs(found - exact).max()) / unit


def write_page() -> str:
    """Write the page."""
    return "\n".join((HEAD + "\n".join(_list_distances()), "", *_list_operators())) + "\n"


def _list_distances() -> Iterator[str]:
    yield "| operator | random inputs | hard inputs | how they are hard |"
    yield "|---|---|---|---|"
    for case in CASES:
        name = f"{case.operator}, {case.told}" if case.told else case.operator
        random, hard = (_show(measure(case, inputs)) for inputs in (case.random, case.hard))
        yield f"| {name} | {random} | {hard} | {case.why} |"


def _show(units: float) -> str:
    """Show two digits: more would be of the reference."""
    return f"{units:.2f}" if units < 1 else f"{units:.1f}" if units < 10 else f"{units:.0f}"


def _list_operators() -> Iterator[str]:
    for domain in ("ai.onnx", "ai.onnx.ml"):
        yield f"## Operators of `{domain}`"
        yield ""
        yield "| operator | versions | how it is expanded |"
        yield "|---|---|---|"
        entries = {
            name: (sorted(versions), _describe(expansion.__doc__))
            for (of, name), (expansion, versions) in ADMITTED.items()
            if of == domain
        }
        if domain == "ai.onnx":
            body = "By the standard's own body, which is sound."
            entries |= {name: (_list_versions(name), body) for name in BODIES}
        for name, (versions, how) in sorted(entries.items()):
            yield f"| {name} | {', '.join(map(str, versions))} | {how} |"
        yield ""


def _describe(docstring: str | None) -> str:
    """Take a docstring as one line."""
    assert docstring, "every expansion says what it does"
    return " ".join(docstring.split()).replace("|", "\\|")


def _list_versions(name: str) -> list[int]:
    return sorted(
        schema.since_version
        for schema in defs.get_all_schemas_with_history()
        if schema.name == name and schema.domain == "" and _has_body(schema)
    )


def _has_body(schema: Any) -> bool:
    return bool(schema.has_function or schema.has_context_dependent_function)


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(write_page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
