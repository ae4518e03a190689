"""Types are inferred alike before and after dims are bound; what does not fit is refused."""

import pytest

from probatum.canon.graph.sizes import bind_size, make_dim
from probatum.canon.graph.types import TensorType
from probatum.canon.primitives.registry import PRIMITIVES, get_newest, get_primitive
from probatum.errors import Refusal

N, M = make_dim("n"), make_dim("m")
F = "float32"
GEOMETRY = {"strides": (2,), "pads_begin": (1,), "pads_end": (0,), "dilations": (1,)}
TREES = {"depth": (3,), "stretches": (2,)}
EXAMPLES = [
    ("Reshape", [(F, (N, M, 2))], {"shape": (2 * N, M)}, None),
    ("Transpose", [(F, (N, 3, M))], {"perm": (2, 0, 1)}, None),
    ("Slice", [(F, (N + 3, 4))], {"starts": (1, 0), "steps": (1, 2), "shape": (N, 2)}, None),
    ("Concat", [(F, (N, 2)), (F, (M, 2))], {"axis": (0,)}, None),
    ("Expand", [(F, (N, 1))], {"shape": (2, N, M)}, None),
    ("Pad", [(F, (N, 2)), (F, ())], {"begins": (1, 0), "mode": "edge", "shape": (N + 2, 2)}, None),
    ("Gather", [(F, (9, N)), ("int64", (M, 2))], {"axis": (0,)}, None),
    ("GatherElements", [(F, (9, N)), ("int32", (M, N))], {"axis": (0,)}, None),
    ("Where", [("bool", (N, 1)), (F, (1, M)), (F, ())], {}, None),
    ("Iota", [], {"start": (N,), "step": (2,), "shape": (M,)}, "int64"),
    ("Cast", [(F, (N,))], {}, "int8"),
    ("Gumbel", [("int64", (4,)), ("int64", (1,)), ("int64", (N, 1)), ("int64", (N, M))], {}, None),
    ("Add", [(F, (N, 1)), (F, (1, M))], {}, None),
    ("Less", [(F, (N, 1)), (F, (M,))], {}, None),
    ("Exp", [(F, (N, M))], {}, None),
    ("Dot", [(F, (N, 1, 4, M)), (F, (3, 5, M))], {}, None),
    ("Conv", [(F, (N, M, 3)), (F, (8, 5, 3))], {**GEOMETRY, "group": (1,)}, None),
    ("ReduceSum", [(F, (N, M))], {}, None),
    ("ReduceMax", [(F, (N, M))], {}, None),
    ("WindowMax", [(F, (N, M, 3))], {**GEOMETRY, "kernel": (3,)}, None),
    (
        "WindowMean",
        [(F, (N, M, 3))],
        {**GEOMETRY, "kernel": (3,), "count_include_pad": (0,)},
        None,
    ),
    ("ArgMin", [(F, (N, M))], {"select_last": (1,)}, None),
    ("TopK", [(F, (N, M))], {"k": (N,), "largest": (0,)}, None),
    ("ScatterElements", [(F, (N, M)), ("int64", (N, 2)), (F, (N, 2))], {}, None),
    ("ScatterND", [(F, (N, M, 2)), ("int64", (M, 2)), (F, (M, 2))], {}, None),
    ("TreeEnsemble", [(F, (N, 4)), ("uint32", (7, 9, 4)), (F, (7, 5, 2))], TREES, None),
]


def infer(operator, inputs, attributes, dtype=None):
    return get_newest(operator).infer(
        tuple(TensorType(kind, tuple(shape)) for kind, shape in inputs), attributes, dtype
    )


def bind(values, dims):
    return values if isinstance(values, str) else tuple(bind_size(size, dims) for size in values)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one[0])
@pytest.mark.parametrize("dims", [{"n": 3, "m": 5}, {"n": 1, "m": 1}, {"n": 4, "m": 1}])
def test_inferring_then_binding_is_binding_then_inferring(example, dims):
    operator, inputs, attributes, dtype = example
    open_type = infer(operator, inputs, attributes, dtype)
    bound = infer(
        operator,
        [(kind, bind(shape, dims)) for kind, shape in inputs],
        {name: bind(value, dims) for name, value in attributes.items()},
        dtype,
    )
    assert bound == TensorType(open_type.dtype, bind(open_type.shape, dims))


def test_every_family_has_an_example():
    shown = {example[0] for example in EXAMPLES}
    families = {type(primitive) for primitive in PRIMITIVES.values()}
    assert {type(get_newest(operator)) for operator in shown} == families


def test_the_registry_names_what_it_holds():
    for (operator, version), primitive in PRIMITIVES.items():
        assert (primitive.operator, primitive.version) == (operator, version)
    assert len(PRIMITIVES) == 64
    for operator, version in (("Dot", 2), ("Softmax", 1)):
        with pytest.raises(Refusal, match=r"canon\.unknown-operator"):
            get_primitive(operator, version)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one[0])
def test_wrong_operands_and_attributes_are_refused(example):
    operator, inputs, attributes, dtype = example
    with pytest.raises(Refusal, match=r"canon\.wrong-operands"):
        infer(operator, [*inputs, ("bool", ())], attributes, dtype)
    with pytest.raises(Refusal, match=r"canon\.wrong-attributes"):
        infer(operator, inputs, {**attributes, "extra": (1,)}, dtype)
    for name in attributes:
        rest = {key: value for key, value in attributes.items() if key != name}
        with pytest.raises(Refusal, match=r"canon\.wrong-attributes"):
            infer(operator, inputs, rest, dtype)
        wrong = (0,) if isinstance(attributes[name], str) else "word"
        with pytest.raises(Refusal, match=r"canon\.wrong-attributes"):
            infer(operator, inputs, {**rest, name: wrong}, dtype)
    if operator != "Cast":
        with pytest.raises(Refusal, match=r"canon\.wrong-operands"):
            infer(operator, inputs, attributes, "uint16")


@pytest.mark.parametrize(
    ("operator", "inputs", "attributes"),
    [
        ("Reshape", [(F, (N, M))], {"shape": (N * M, 2)}),
        ("Reshape", [(F, (1,))], {"shape": (1,) * 9}),
        ("Transpose", [(F, (N, M))], {"perm": (0, 0)}),
        ("Slice", [(F, (N,))], {"starts": (0,), "steps": (0,), "shape": (N,)}),
        ("Slice", [(F, (N,))], {"starts": (0,), "steps": (N,), "shape": (N,)}),
        ("Concat", [], {"axis": (0,)}),
        ("Concat", [(F, (2,))] * 65, {"axis": (0,)}),
        ("Concat", [(F, (2,)), (F, (2,))], {"axis": (-1,)}),
        ("Concat", [(F, (2, N)), (F, (2, M))], {"axis": (0,)}),
        ("Concat", [(F, (2,)), ("float64", (2,))], {"axis": (0,)}),
        ("Expand", [(F, (N,))], {"shape": (1,)}),
        ("Expand", [(F, (N,))], {"shape": (M,)}),
        ("Pad", [(F, (2,)), (F, (1,))], {"begins": (0,), "mode": "edge", "shape": (2,)}),
        ("Pad", [(F, (2,)), (F, ())], {"begins": (0,), "mode": "wrap", "shape": (2,)}),
        ("Gather", [(F, (2,)), (F, (1,))], {"axis": (0,)}),
        ("Gather", [(F, ()), ("int64", (1,))], {"axis": (0,)}),
        ("Gather", [(F, (1,) * 8), ("int64", (1, 1))], {"axis": (0,)}),
        ("GatherElements", [(F, (2, N)), ("int64", (2, M))], {"axis": (0,)}),
        ("Where", [("bool", ()), (F, ()), ("float64", ())], {}),
        ("Cast", [(F, ())], {}),
        ("Add", [(F, (N,)), (F, (M,))], {}),
        ("Add", [(F, ()), ("float64", ())], {}),
        ("Add", [("bool", ()), ("bool", ())], {}),
        ("Neg", [("uint8", ())], {}),
        ("Mod", [(F, ()), (F, ())], {}),
        ("Dot", [(F, (2, 3)), (F, (2, 4))], {}),
        ("Dot", [(F, (3,)), (F, (2, 3))], {}),
        ("Dot", [(F, (2, 3)), ("float64", (2, 3))], {}),
        ("Dot", [("int8", (2, 3)), ("int16", (2, 3))], {}),
        ("Conv", [(F, (1, 5, 3)), (F, (4, 2, 2))], {**GEOMETRY, "group": (1,)}),
        ("Conv", [(F, (1, 5, 4)), (F, (3, 2, 2))], {**GEOMETRY, "group": (2,)}),
        ("Conv", [(F, (1, 5, 3)), (F, (4, N, 3))], {**GEOMETRY, "group": (1,)}),
        ("Conv", [(F, (1, 5, 5, 3)), (F, (4, 2, 3))], {**GEOMETRY, "group": (1,)}),
        ("Conv", [(F, (1, 5, 3)), (F, (4, 2, 3))], {**GEOMETRY, "group": (0,)}),
        ("WindowMax", [(F, (1, 5, 3))], {**GEOMETRY, "strides": (0,), "kernel": (2,)}),
        ("WindowMax", [(F, (5, 3))], {**GEOMETRY, "kernel": (2,)}),
        ("WindowMean", [("int8", (1, 5, 3))],
         {**GEOMETRY, "kernel": (2,), "count_include_pad": (0,)}),
        ("ReduceMean", [("int32", (3,))], {}),
        ("ReduceSum", [(F, ())], {}),
        ("ArgMax", [("bool", (3,))], {"select_last": (0,)}),
        ("ArgMax", [(F, (3,))], {"select_last": (2,)}),
        ("TopK", [(F, (3,))], {"k": (1, 2), "largest": (0,)}),
        ("ScatterElements", [(F, (2, 3)), ("int64", (1, 3)), (F, (1, 3))], {}),
        ("ScatterElements", [(F, (2, 3)), ("int64", (2, 3)), (F, (2, 4))], {}),
        ("ScatterND", [(F, (2, 3)), ("int64", (4, N)), (F, (4,))], {}),
        ("ScatterND", [(F, (2, 3)), ("int64", (4, 3)), (F, (4,))], {}),
        ("TreeEnsemble", [(F, (1, 2)), ("uint32", (1, 2, 3)), (F, (1, 2, 1))], TREES),
        ("TreeEnsemble", [(F, (1, 2)), ("uint32", (1, 2, 4)), (F, (1, 2, 1))],
         {**TREES, "depth": (129,)}),
        ("TreeEnsemble", [(F, (1, 2)), ("uint32", (1, 2, 4)), (F, (1, 2, 1))],
         {**TREES, "stretches": (0,)}),
        ("TreeEnsemble", [(F, (1, 2)), ("uint32", (1, 2, 4)), (F, (1, 2, 1))], {"depth": (1,)}),
        ("TreeEnsemble", [(F, (1, 2)), ("uint32", (2, 2, 4)), (F, (1, 2, 1))], TREES),
    ],
)  # fmt: skip
def test_what_has_no_meaning_is_refused(operator, inputs, attributes):
    with pytest.raises(Refusal, match=r"canon\.wrong-(operands|attributes)"):
        infer(operator, inputs, attributes)
