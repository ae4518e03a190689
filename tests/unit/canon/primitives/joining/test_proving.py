"""The proof that rows stand alone: what it grants, and all that it must not (EXACT-2)."""

from dataclasses import replace

import pytest

from probatum.canon.graph.records import (
    ENTRY,
    INPUT,
    WEIGHT,
    Attribute,
    CanonicalGraph,
    DimRecord,
    InputRecord,
    NodeRecord,
    OutputRecord,
    Ref,
    WeightRecord,
)
from probatum.canon.graph.sizes import divide_by_dim, make_dim, names_dim
from probatum.canon.graph.types import TensorType
from probatum.canon.primitives.admitting import admit_graph
from probatum.canon.primitives.joining.layouts import Rows
from probatum.canon.primitives.joining.proving import RowAxes, find_row_dim, follow_rows, prove_rows
from probatum.canon.primitives.joining.rules import RULES
from probatum.canon.primitives.registry import PRIMITIVES, get_newest
from probatum.errors import Refusal
from tests.models import MODELS, expand

N, S = make_dim("n"), make_dim("s")
F, WHOLE = "float32", "int64"


class Net:
    """A graph, one call a record."""

    def __init__(self):
        self.spaces, self.types = ([], [], []), ([], [], [])

    def put(self, space, record):
        self.spaces[space].append(record)
        self.types[space].append(TensorType(record.dtype, record.shape))
        return Ref(space=space, number=len(self.spaces[space]) - 1)

    def input(self, *shape, dtype=F):
        name = f"x{len(self.spaces[INPUT])}"
        return self.put(INPUT, InputRecord(name=name, dtype=dtype, shape=shape))

    def weight(self, *shape, dtype=F):
        return self.put(WEIGHT, WeightRecord(dtype=dtype, shape=shape, root=bytes(32)))

    def node(self, operator, *reads, dtype=None, **attributes):
        values = {
            name: value if isinstance(value, str | tuple) else (value,)
            for name, value in sorted(attributes.items())
        }
        kinds = tuple(self.types[ref.space][ref.number] for ref in reads)
        made = get_newest(operator).infer(kinds, values, dtype)
        record = NodeRecord(
            operator=operator,
            version=get_newest(operator).version,
            attributes=tuple(Attribute(name=k, value=v) for k, v in values.items()),
            reads=reads,
            dtype=made.dtype,
            shape=made.shape,
        )
        return self.put(ENTRY, record)

    def make(self, *outputs):
        inputs, weights, nodes = map(tuple, self.spaces)
        sizes = [size for one in inputs for size in one.shape]
        graph = CanonicalGraph(
            dims=tuple(
                DimRecord(name=name, least=1, greatest=4)
                for name in ("n", "s")
                if any(names_dim(size, name) for size in sizes)
            ),
            inputs=inputs,
            weights=weights,
            nodes=nodes,
            outputs=tuple(OutputRecord(name=f"y{at}", ref=ref) for at, ref in enumerate(outputs)),
        )
        admit_graph(graph)
        return graph


def x(*shape, dtype=F):
    """Describe an input."""
    return Net.input, shape, dtype


def w(*shape, dtype=F):
    """Describe a weight."""
    return Net.weight, shape, dtype


def follow(operator, *reads, **attributes):
    """Follow the rows of one node over inputs and weights."""
    net = Net()
    refs = [make(net, *shape, dtype=dtype) for make, shape, dtype in reads]
    return follow_rows(net.make(net.node(operator, *refs, **attributes)), "n")[-1]


LINE = {"strides": (1,), "pads_begin": (0,), "pads_end": (0,), "dilations": (1,)}
INDEX = {"dtype": WHOLE}

GRANTED = [
    (Rows(0, 1), ("Add", x(N, 3), w(3)), {}),
    (Rows(1, 1), ("Add", x(2, N), x(N)), {}),
    (Rows(0, 1), ("Where", x(N, 1, dtype="bool"), w(3), x(N, 3)), {}),
    (Rows(0, S * 2), ("Reshape", x(N, 2, S, 3)), {"shape": (N * S * 2, 3)}),
    (Rows(0, 1), ("Reshape", x(N, 6)), {"shape": (N, 2, 3)}),
    (Rows(1, 1), ("Reshape", x(N, 6)), {"shape": (1, N, 3, 2)}),
    (Rows(1, 6), ("Reshape", x(2, N, 6)), {"shape": (2, N * 6)}),
    (Rows(1, 1), ("Transpose", x(N, 2, 3)), {"perm": (1, 0, 2)}),
    (Rows(0, 1), ("Slice", x(N, 5)), {"starts": (0, 1), "steps": (1, 2), "shape": (N, 2)}),
    (Rows(0, 1), ("Concat", x(N, 2), x(N, 3)), {"axis": 1}),
    (Rows(1, 1), ("Expand", x(N, 1)), {"shape": (3, N, 3)}),
    (Rows(0, 1), ("Pad", x(N, 5), w()), {"begins": (0, 1), "mode": "reflect", "shape": (N, 7)}),
    (Rows(1, 1), ("Gather", w(2, 9), x(N, 3, dtype=WHOLE)), {"axis": 1}),
    (Rows(0, 1), ("Gather", x(N, 9), w(2, 2, dtype=WHOLE)), {"axis": 1}),
    (Rows(2, 1), ("Gather", x(9, N), w(2, 2, dtype=WHOLE)), {"axis": 0}),
    (Rows(0, 1), ("GatherElements", x(N, 9), x(N, 2, dtype=WHOLE)), {"axis": 1}),
    (Rows(0, 1), ("GatherElements", w(9), x(N, dtype=WHOLE)), {"axis": 0}),
    (Rows(0, 1), ("Dot", x(N, 3), w(4, 3)), {}),
    (Rows(1, 1), ("Dot", w(4, 3), x(N, 3)), {}),
    (Rows(0, 1), ("Dot", x(N, 2, 3), x(N, 5, 3)), {}),
    (Rows(1, 1), ("Dot", x(7, N, 3), w(7, 5, 3)), {}),
    (Rows(0, 1), ("Conv", x(N, 5, 2), w(3, 2, 2)), {"group": 1, **LINE}),
    (Rows(0, 1), ("WindowMax", x(N, 5, 2)), {"kernel": (2,), **LINE}),
    (Rows(0, 1), ("ReduceSum", x(N, 3)), {}),
    (Rows(1, 1), ("ArgMax", x(2, N, 3)), {"select_last": 0}),
    (Rows(0, 1), ("TopK", x(N, 3)), {"k": 2, "largest": 1}),
    (Rows(0, 1), ("ScatterElements", x(N, 3), x(N, 2, dtype=WHOLE), x(N, 2)), {}),
    (Rows(1, 1), ("ScatterND", x(3, N), w(4, 1, dtype=WHOLE), x(4, N)), {}),
    (
        Rows(0, 1),
        ("TreeEnsemble", x(N, 3), w(2, 4, 4, dtype="uint32"), w(2, 2, 1)),
        {"depth": 2, "stretches": 1},
    ),
    (None, ("Iota",), {"start": 0, "step": 1, "shape": 3}),
]

REFUSED = [
    ("different axes", ("Add", x(N, 1), x(N)), {}),
    ("an axis before them", ("Reshape", x(2, N, 3)), {"shape": (2 * N, 3)}),
    ("an axis before them", ("Reshape", x(N, 6)), {"shape": (3, N, 2)}),
    ("an axis before them", ("Reshape", x(N, 2)), {"shape": (2, N)}),
    ("moves them", ("Slice", x(N, 2)), {"starts": (1, 0), "steps": (1, 1), "shape": (N, 2)}),
    ("starts depends on n", ("Slice", x(N, 2)),
     {"starts": (N - 1, 0), "steps": (-1, 1), "shape": (N, 2)}),
    ("starts depends on n", ("Slice", x(N, S)),
     {"starts": (0, N - 1), "steps": (1, 1), "shape": (N, 1)}),
    ("takes some rows", ("Slice", x(N, 2)), {"starts": (0, 0), "steps": (1, 1), "shape": (1, 2)}),
    ("adds some", ("Slice", x(N, 2)), {"starts": (0, 0), "steps": (1, 1), "shape": (N * 2, 2)}),
    ("one behind another", ("Concat", x(N, 2), x(N, 2)), {"axis": 0}),
    ("not one axis", ("Expand", x(N, 1)), {"shape": (N, N)}),
    ("moves rows", ("Pad", x(N, 2), w()), {"begins": (1, 0), "mode": "edge", "shape": (N, 2)}),
    ("adds some", ("Pad", x(N, 2), w()), {"begins": (0, 0), "mode": "edge", "shape": (N + 1, 2)}),
    ("choose among rows", ("Gather", x(N, 2), w(4, dtype=WHOLE)), {"axis": 0}),
    ("choose among rows", ("Gather", x(N, 2), x(N, dtype=WHOLE)), {"axis": 1}),
    ("choose among rows", ("GatherElements", x(N, 2), w(4, 2, dtype=WHOLE)), {"axis": 0}),
    ("choose among rows", ("GatherElements", x(N, 2), x(N, 2, dtype=WHOLE)), {"axis": 0}),
    ("out of nothing", ("Iota",), {"start": 0, "step": 1, "shape": N}),
    ("start depends on n", ("Iota",), {"start": N, "step": 1, "shape": 3}),
    ("sums over rows", ("Dot", x(2, N), x(3, N)), {}),
    ("different axes", ("Dot", x(N, 3), x(N, 3)), {}),
    ("first axis", ("Conv", x(1, N, 2), w(3, 2, 2)), {"group": 1, **LINE, "pads_end": (1,)}),
    ("first axis", ("WindowMean", x(2, N, 2)),
     {"kernel": (1,), "count_include_pad": 0, **LINE}),
    ("folds over rows", ("ReduceMean", x(2, N)), {}),
    ("folds over rows", ("ArgMin", x(2, N)), {"select_last": 1}),
    ("folds over rows", ("TopK", x(2, N)), {"k": 1, "largest": 0}),
    ("rows meet what has none", ("ScatterElements", x(N), w(2, dtype=WHOLE), w(2)), {}),
    ("folds over rows", ("ScatterElements", x(N), x(N, dtype=WHOLE), x(N)), {}),
    ("among rows", ("ScatterND", x(N, 3), w(4, 1, dtype=WHOLE), w(4, 3)), {}),
    ("are rows", ("ScatterND", w(3, 2), x(N, 1, dtype=WHOLE), x(N, 2)), {}),
    ("input 'x0'", ("Add", x(3), x(N, 3)), {}),
]  # fmt: skip


@pytest.mark.parametrize(("want", "node", "attributes"), GRANTED)
def test_rows_are_followed(want, node, attributes):
    assert follow(*node, **attributes) == want


@pytest.mark.parametrize(("why", "node", "attributes"), REFUSED)
def test_what_may_mix_rows_is_refused_with_the_reason(why, node, attributes):
    if node[0] == "Iota":  # dims must be told from an input
        net = Net()
        net.input(N)
        found = follow_rows(net.make(net.node(*node, **attributes)), "n")[-1]
    else:
        found = follow(*node, **attributes)
    assert isinstance(found, Refusal)
    assert found.code == "canon.rows-depend"
    assert why in found.message


def test_every_rule_is_of_a_primitive_and_tried_here():
    assert set(RULES) <= set(PRIMITIVES)
    tried = {node[0] for _, node, _ in (*GRANTED, *REFUSED)}
    # These share a rule with one that is here; random graphs try them too.
    alike = {"Cast", "ReduceMax", "ReduceMin"}
    assert {operator for operator, _ in RULES} == (tried | alike) - {"Add", "Iota"}


def test_what_has_no_rule_is_refused(monkeypatch):
    monkeypatch.setattr(
        "probatum.canon.primitives.joining.proving.RULES",
        {key: rule for key, rule in RULES.items() if key[0] != "Cast"},
    )
    assert "nothing is known" in follow("Cast", x(N), dtype="int8").message


def make_softmax():
    """A classifier's end, and beside it what looks at the greatest of all rows."""
    net = Net()
    logits = net.node("Dot", net.input(N, 3), net.weight(5, 3))
    powers = net.node("Exp", net.node("Sub", logits, net.node("ReduceMax", logits)))
    answer = net.node("Div", powers, net.node("ReduceSum", powers))
    of_all = net.node("ReduceMax", net.node("Transpose", logits, perm=(1, 0)))
    looks = net.node("Sub", logits, net.node("Reshape", of_all, shape=(5,)))
    return net, answer, looks


def test_a_graph_is_proven_where_its_outputs_are():
    net, answer, looks = make_softmax()
    assert prove_rows(net.make(answer), "n") == RowAxes(inputs=(0,), outputs=(0,))
    with pytest.raises(Refusal, match=r"entry 7 \(ReduceMax\): it folds over rows"):
        prove_rows(net.make(answer, looks), "n")


def test_outputs_have_one_place_a_row():
    net = Net()
    given = net.input(N, 2)
    pairs = net.node("Reshape", given, shape=(N * 2,))
    same = net.node("Neg", net.weight(4))
    for output in (pairs, same, Ref(space=WEIGHT, number=0)):
        with pytest.raises(Refusal, match="'y0' has not one place a row"):
            prove_rows(net.make(output), "n")
    assert prove_rows(net.make(given), "n").outputs == (0,)


def test_the_dim_is_alone_in_every_input_and_free():
    for other in ((N, N), (3,), (S, 2)):
        net = Net()
        answer = net.node("Neg", net.input(N))
        net.input(*other)
        with pytest.raises(Refusal, match="the input 'x1' has not one axis"):
            prove_rows(net.make(answer), "n")
    net, answer, _ = make_softmax()
    with pytest.raises(Refusal, match="no dim is called s"):
        prove_rows(net.make(answer), "s")


def test_sizes_are_divided_by_a_dim_that_is_in_every_term():
    assert divide_by_dim(N * S * 2 + N, "n") == S * 2 + 1
    assert divide_by_dim(N * N, "n") == N
    for size in (3, S, N + 1, N * S + S, N // 2, (N * S) // 2):
        assert divide_by_dim(size, "n") is None
    assert names_dim((S + N) // 3, "n")
    assert not names_dim(S * 2, "n")
    assert not names_dim(7, "n")


def test_the_dim_of_rows_is_found_whoever_names_it():
    net = Net()
    net.node("Exp", net.input(S, N))
    both = net.make(Ref(space=ENTRY, number=0))
    assert find_row_dim(both) == ("n", RowAxes(inputs=(1,), outputs=(1,)))
    assert find_row_dim(both, "s") == ("s", RowAxes(inputs=(0,), outputs=(0,)))
    net, _, looks = make_softmax()
    with pytest.raises(Refusal, match="entry 7"):
        find_row_dim(net.make(looks), "n")
    net = Net()
    net.node("Exp", net.input(3))
    with pytest.raises(Refusal, match="no dim admits"):
        find_row_dim(net.make(Ref(space=ENTRY, number=0)))


REAL = {
    **dict.fromkeys(("logistic", "mlp", "forest", "volatility"), ((0,), (0, 0))),
    **dict.fromkeys(("silero", "silero-16k-op15", "silero-half"), ((0, 1), (0, 1))),
    "magika": ((0,), (0,)),
    "minilm": ((0, 0), (0,)),
    "residual": ((0,), (0,)),
}


FIXED = {"silero-op16", "silero-openvino", "silero-sequence"}
"""Files that have one row, or admit one number of them."""


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_every_real_model_is_proven_that_has_rows(model):
    if model.name in FIXED:
        assert not expand(model).graph.dims
        return
    if model.name == "silero":
        model = replace(model, dims={**model.dims, "batch": (1, 8)})
    graph = expand(model).graph
    name = next(one.name for one in graph.dims if one.name != "s")
    inputs, outputs = REAL[model.name]
    assert prove_rows(graph, name) == RowAxes(inputs=inputs, outputs=outputs)


def test_a_model_whose_rows_are_its_words_is_not():
    (minilm,) = (model for model in MODELS if model.name == "minilm")
    with pytest.raises(Refusal, match="entry"):
        prove_rows(expand(minilm).graph, "s")
