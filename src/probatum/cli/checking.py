"""Whether a model is admissible to the class `exact`, and what that costs: asked and shown.

Checking itself is `probatum.runtime.checking`. Must not know drafts or packages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from probatum.cli.inputs import build_tensors, parse_input
from probatum.cli.output import print_facts, print_lines, print_table, waiting
from probatum.cli.settings import read_bounded
from probatum.errors import Refusal
from probatum.protocol.hashing import sha256
from probatum.protocol.tensors import Tensor
from probatum.runtime.admission import bounds
from probatum.runtime.checking.cell import check_exactness
from probatum.runtime.checking.report import ExactReport, Measurement, Question
from probatum.runtime.limits import WORKING_BYTES
from probatum.runtime.sandbox.verdict import Verdict

__all__ = ["NOTHING_SAID", "Exactness", "check_exact", "describe_exact", "parse_dims", "show_exact"]

_DIM: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,31})=([0-9]{1,12})(?:\.\.([0-9]{1,12}))?")


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Exactness:
    """What is said about a model for the class `exact`.

    Attributes:
        dim: Ranges, as written.
        bind: Constants, as written.
        input: A sample request, as written.
        seed: For samples that are drawn.
        no_measure: Whether nothing is run.
    """

    dim: Annotated[
        tuple[str, ...],
        Parameter(help="Values of a dim that are admitted: batch=1..16; may be given again."),
    ] = ()
    bind: Annotated[
        tuple[str, ...],
        Parameter(help="An input that is a constant of the package: sr=16000."),
    ] = ()
    input: Annotated[
        tuple[str, ...],
        Parameter(help="An input of a sample request, as for `ask`; else samples are drawn."),
    ] = ()
    seed: Annotated[int, Parameter(help="Samples that are drawn depend on it alone.")] = 0
    no_measure: Annotated[
        bool, Parameter(help="Say what is admitted and bounded; run nothing.")
    ] = False


NOTHING_SAID: Final = Exactness()


def parse_dims(words: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Read ranges of dims. Raises Refusal `input.bad-dim`."""
    found: dict[str, tuple[int, int]] = {}
    for word in words:
        match = _DIM.fullmatch(word)
        if match is None or match[1] in found:
            raise Refusal(
                "input.bad-dim",
                f"{word[:60]!r} is no range of a dim",
                hint="batch=1..16 or batch=8",
            )
        found[match[1]] = (int(match[2]), int(match[3] or match[2]))
    return found


def check_exact(
    path: Path, verdict: Verdict, told: Exactness
) -> tuple[ExactReport, Measurement | None]:
    """Check a file that was admitted.

    Raises:
        Refusal: `draft.changed` if it is not the file that was examined; `input.*`.
        Fault: `sandbox.broken`.
    """
    data = read_bounded(path, bounds.MODEL_BYTES)
    if sha256(data).hex() != verdict.sha256:
        raise Refusal("draft.changed", f"{path} changed while it was examined", hint="try again")
    bind = _read_words(told.bind, verdict)
    question = Question(
        model=data,
        ranges=parse_dims(told.dim),
        bind=bind,
        inputs=_read_words(told.input, verdict, {one.name for one in bind}),
        seed=told.seed,
        is_measured=not told.no_measure,
    )
    with waiting("checking it for the class exact …"):
        return check_exactness(question)


def show_exact(report: ExactReport, measured: Measurement | None) -> None:
    """Show a report to people."""
    if not report.is_admitted:
        lines = ["class exact: not admitted:"]
        for reason in report.reasons:
            lines.append(f"  {reason.code}: {reason.message}")
            if reason.hint:
                lines.append(f"    hint: {reason.hint}")
        if report.more_reasons:
            lines.append(f"  and {report.more_reasons} more reasons")
        print_lines(lines)
        return
    print_facts(_describe_bounds(report))
    if measured is None:
        return
    if measured.speed is None:
        print_lines((f"not measured: {measured.note}",))
        return
    print_facts(_describe_measurement(measured))
    rows = [
        (
            one.of,
            one.output,
            "-" if one.distance is None else f"{one.distance:.1e}",
            f"{100 * one.equal:.1f} %",
        )
        for one in measured.distances
    ]
    print_table(("from canonical", "output", "distance", "equal bits"), rows, empty="no outputs")


def _read_words(
    words: tuple[str, ...], verdict: Verdict, without: set[str] | None = None
) -> tuple[Tensor, ...]:
    """Read inputs as for `ask`; those of `bind` are some of the model's, a request has the rest."""
    if not words:
        return ()
    parsed = tuple(parse_input(word) for word in words)
    if without is None:
        named = {word.name for word in parsed}
        specs = tuple(spec for spec in verdict.inputs if spec.name in named)
    else:
        specs = tuple(spec for spec in verdict.inputs if spec.name not in without)
    return build_tensors(parsed, specs or verdict.inputs)


def _describe_bounds(report: ExactReport) -> dict[str, str]:
    cost = report.bounds
    assert cost is not None, "an admitted graph has bounds"
    dims = [
        f"{name} = {low}" if low == high else f"{name} = {low}..{high}"
        for name, (low, high) in report.dims.items()
    ]
    return {
        "class exact": "admitted" + (f" for {', '.join(dims)}" if dims else ""),
        "canonical digest": report.digest or "",
        "entries": f"{cost.entries:,}, of {cost.weights:,} weights",
        "operations": f"{cost.operations:,} at most, multiply-adds and others",
        "weights": _show_bytes(cost.weight_bytes),
        "working memory": f"{_show_bytes(cost.peak_bytes)} at most, weights apart"
        + ("; no node lends so much" if cost.peak_bytes > WORKING_BYTES else ""),
        "trace": f"{_show_bytes(cost.trace_bytes)} at most",
        "largest opening": f"{_show_bytes(cost.opening_bytes)} to judge one element",
        "judging it": f"{cost.judge_work:,} multiply-adds of 64 bits at most",
    }


def _describe_measurement(measured: Measurement) -> dict[str, str]:
    speed = measured.speed
    assert speed is not None, "it was asked before"
    shapes = ", ".join(
        f"{name}[{', '.join(map(str, shape))}]" for name, shape in measured.shapes.items()
    )
    drawn = f"drawn by seed {measured.seed}" if measured.is_drawn else "given"
    return {
        "samples": f"{measured.samples}, {drawn}: {shapes}",
        "speed, measured here": (
            f"{speed.exact_ms:.2f} ms exact, {speed.engine_ms:.2f} ms ONNX Runtime: "
            f"{speed.ratio:.1f} x (one thread each, medians of {speed.rounds} rounds)"
        ),
    }


def _show_bytes(size: int) -> str:
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} bytes"


def describe_exact(report: ExactReport, measured: Measurement | None) -> dict[str, Any]:
    """Describe both for programs: whether it is admitted first."""
    return {"admitted": report.is_admitted, "report": report, "measured": measured}
