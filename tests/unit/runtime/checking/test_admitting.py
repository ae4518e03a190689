"""A file is admissible to the class exact, or every reason is listed why not (PUB-1, CANON-8)."""

from __future__ import annotations

from probatum.canon.expand.expansion import expand_model
from probatum.canon.graph.records import compute_canonical_digest
from probatum.runtime.checking.admitting import admit_model
from probatum.runtime.checking.report import Question
from tests.unit.runtime.checking import nets


def test_what_it_costs_is_bounded_at_the_greatest_dims():
    question = Question(model=nets.make_linear(), ranges={"batch": (1, 16)})
    report, expanded = admit_model(question)
    assert report.is_admitted
    graph = expand_model(nets.make_linear(), ranges={"batch": (1, 16)}).graph
    assert report.digest == compute_canonical_digest(graph).hex()
    assert report.dims == {"batch": (1, 16)}
    assert expanded is not None
    cost = report.bounds
    assert cost.entries == len(graph.nodes)
    assert cost.weight_bytes == 3 * 2 * 4
    assert cost.operations >= 16 * 2 * 3
    small, _ = admit_model(Question(model=nets.make_linear(), ranges={"batch": (1, 2)}))
    assert small.bounds.operations < cost.operations
    assert small.bounds.trace_bytes * 8 == cost.trace_bytes


def test_each_reason_is_listed():
    report, expanded = admit_model(Question(model=nets.make_foreign(), ranges={}))
    assert expanded is None
    assert [reason.code for reason in report.reasons] == [
        "canon.dim-without-range",
        "canon.unknown-operator",
        "canon.not-static",
        "canon.unknown-operator",
    ]


def test_what_the_graph_s_own_rules_refuse_names_the_entry():
    # The greatest of 200 × 200 places, in 64 channels: each lies in a chunk of its own.
    pool = nets.helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[200, 200])
    data = nets.dump([pool], [("x", 1, [1, 64, 400, 400])], [("y", 1, [1, 64, 201, 201])])
    report, expanded = admit_model(Question(model=data, ranges={}))
    assert expanded is None
    (reason,) = report.reasons
    assert reason.code == "canon.opening-too-large"
    assert reason.message.startswith("entry 1 (WindowMax): ")
