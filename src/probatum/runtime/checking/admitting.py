"""Finds out whether a file is admissible to the class `exact`: expand, admit, bound (`PUB-1`).

Must not know how anything is evaluated. Read next: `canon.expand.surveying`,
`canon.primitives.admitting`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from probatum.canon.expand.expansion import Expanded
from probatum.canon.expand.surveying import list_dims, survey_model
from probatum.canon.expand.values import Known, make_known
from probatum.canon.graph.records import CanonicalGraph, compute_canonical_digest
from probatum.canon.primitives.admitting import Reason, StaticBounds, examine_graph
from probatum.errors import Refusal
from probatum.protocol.tensors import Tensor
from probatum.runtime.checking.report import Bounds, ExactReport, Question
from probatum.runtime.sandbox.verdict import Reason as Said
from probatum.runtime.sandbox.verdict import refuse

__all__ = ["admit_model", "read_bound"]

_LISTED: Final = 16


def admit_model(question: Question) -> tuple[ExactReport, Expanded | None]:
    """Find every reason why a file is not admissible, or its graph and what it costs.

    The file was admitted before (`PUB-1`).
    """
    ranges = {name: (low, high) for name, (low, high) in question.ranges.items()}
    if question.usual is not None:
        bound = frozenset(one.name for one in question.bind)
        try:
            ranges = {**dict.fromkeys(list_dims(question.model, bound), question.usual), **ranges}
        except Refusal as refusal:
            return _report_refused((refusal,)), None
    survey = survey_model(question.model, ranges=ranges, bind=read_bound(question.bind))
    if survey.expanded is None:
        return _report_refused(survey.reasons), None
    graph = survey.expanded.graph
    admission = examine_graph(graph)
    if admission.bounds is None:
        return _report_refused(tuple(_locate(graph, one) for one in admission.reasons)), None
    report = ExactReport(
        digest=compute_canonical_digest(graph).hex(),
        dims=dict(sorted(ranges.items())),
        bounds=_write_bounds(graph, admission.bounds),
    )
    return report, survey.expanded


def read_bound(tensors: tuple[Tensor, ...]) -> Mapping[str, Known]:
    """Make constants of tensors."""
    return {
        one.name: make_known(
            one.dtype,
            np.frombuffer(one.data, np.dtype(one.dtype).newbyteorder("<")).reshape(one.shape),
        )
        for one in tensors
    }


def _report_refused(refusals: tuple[Refusal, ...]) -> ExactReport:
    listed: tuple[Said, ...] = refuse(refusals[:_LISTED])
    return ExactReport(reasons=listed, more_reasons=len(refusals) - len(listed))


def _locate(graph: CanonicalGraph, reason: Reason) -> Refusal:
    """Say of which entry a reason is."""
    refusal = reason.refusal
    if reason.node is None:
        return refusal
    label = f"entry {reason.node} ({graph.nodes[reason.node].operator})"
    return Refusal(refusal.code, f"{label}: {refusal.message}", hint=refusal.hint)


def _write_bounds(graph: CanonicalGraph, bounds: StaticBounds) -> Bounds:
    return Bounds(
        entries=bounds.entries,
        weights=len(graph.weights),
        operations=bounds.operations,
        weight_bytes=bounds.weight_bytes,
        peak_bytes=bounds.peak_bytes,
        trace_bytes=bounds.trace_bytes,
        opening_bytes=bounds.opening_bytes,
        judge_work=bounds.judge_work,
    )
