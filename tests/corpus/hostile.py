"""Hostile ONNX files, each with the code that it is refused with; made anew by each run.

``python -m tests.corpus.hostile FOLDER`` writes them, to try them on anything else.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


@dataclass(frozen=True)
class Hostile:
    """One file.

    Attributes:
        code: Of the refusal that is due.
        make: Makes the file's bytes.
        needs_engine: Whether only the engine can tell; otherwise its bytes tell.
    """

    code: str
    make: Callable[[], bytes]
    needs_engine: bool = False


FLOAT = TensorProto.FLOAT
HOSTILE: dict[str, Hostile] = {}


def hostile(code: str, *, needs_engine: bool = False):
    def keep(make):
        name = make.__name__.replace("_", "-")
        assert name not in HOSTILE
        HOSTILE[name] = Hostile(code=code, make=make, needs_engine=needs_engine)
        return make

    return keep


# --- pieces ---------------------------------------------------------------------------------


def value(name, shape=("n", 3), dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def model(nodes=(), *, inputs=None, outputs=None, weights=(), functions=(), opset=21, **rest):
    """A model that is right but for what a test puts in."""
    graph = helper.make_graph(
        list(nodes) or [helper.make_node("Identity", ["x"], ["y"])],
        "graph",
        inputs or [value("x")],
        outputs or [value("y")],
        list(weights),
    )
    imports = [helper.make_opsetid("", opset), *rest.pop("imports", ())]
    made = helper.make_model(graph, opset_imports=imports, functions=list(functions), **rest)
    made.ir_version = 10
    return made


def dump(made) -> bytes:
    return made.SerializeToString()


def node(kind, inputs=("x",), outputs=("y",), **attributes):
    return helper.make_node(kind, list(inputs), list(outputs), **attributes)


def weight(array, name="w"):
    return numpy_helper.from_array(np.asarray(array), name)


def field(number: int, data: bytes) -> bytes:
    """A protobuf field of bytes."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes((*out, number))


def adding(tensor) -> bytes:
    """A model that adds a stored tensor to its input."""
    return dump(model([node("Add", ("x", "w"))], weights=[tensor]))


# --- not ONNX at all ------------------------------------------------------------------------


@hostile("runtime.not-onnx")
def empty():
    return b""


@hostile("runtime.not-onnx")
def noise():
    return np.random.default_rng(1).integers(0, 256, 5_000, "uint8").tobytes()


@hostile("runtime.not-onnx")
def cut_in_half():
    whole = adding(weight(np.ones((100, 3), "float32")))
    return whole[: len(whole) // 2]


@hostile("runtime.not-onnx")
def number_without_end():
    return b"\x08" + b"\xff" * 1_000


@hostile("runtime.not-onnx")
def size_beyond_the_file():
    return dump(model()) + varint(7 << 3 | 2) + varint(1 << 62)


@hostile("runtime.not-onnx")
def graph_that_is_a_number():
    return b"\x38\x05"


@hostile("admission.other-format")
def zip_as_onnx():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", bytes(1_000_000))
    return out.getvalue()


@hostile("admission.other-format")
def pickle_that_runs_a_command():
    class Payload:
        def __reduce__(self):
            return (print, ("this must never be printed",))

    return pickle.dumps(Payload())


@hostile("admission.other-format")
def engine_format():
    return struct.pack("<I", 32) + b"ORTM" + bytes(1_000)


@hostile("admission.other-format")
def safetensors_as_onnx():
    head = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(head)) + head + bytes(4)


# --- reaching outside -----------------------------------------------------------------------


def external(location, *, listed_only=False):
    tensor = weight(np.ones(3, "float32"))
    tensor.ClearField("raw_data")
    if not listed_only:
        tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return tensor


@hostile("runtime.external-data")
def weights_in_another_file():
    return adding(external("weights.bin"))


@hostile("runtime.external-data")
def path_that_climbs():
    return adding(external("../../../../etc/passwd"))


@hostile("runtime.external-data")
def absolute_path():
    return adding(external("/etc/passwd"))


@hostile("runtime.external-data")
def address_in_memory():
    return adding(external("*/_ORT_MEM_ADDR_/*"))


@hostile("runtime.external-data")
def list_without_location():
    return adding(external("../secret", listed_only=True))


@hostile("runtime.external-data")
def path_in_a_branch():
    inner = helper.make_graph([], "then", [], [value("w")], [external("../secret")])
    branch = node("If", ("go",), then_branch=inner, else_branch=inner)
    return dump(model([branch], inputs=[value("go", [], TensorProto.BOOL)]))


@hostile("runtime.external-data")
def path_in_a_function():
    body = [node("Constant", (), ("c",), value=external("../secret")), node("Add", ("a", "c"))]
    return dump(calling(function("f", body, ["a"], ["y"])))


# --- bombs ----------------------------------------------------------------------------------


def nested(levels: int) -> bytes:
    inner = b""
    for _ in range(levels):
        for number in (6, 5, 1):  # attribute.g of node.attribute of graph.node
            inner = field(number, inner)
    return b"\x08\x0a" + field(7, inner)


@hostile("admission.too-deep")
def graphs_without_bottom():
    return nested(2_000)


@hostile("admission.too-deep")
def nine_graphs_deep():
    inner = helper.make_graph([node("Identity", ("x",), ("z0",))], "g", [], [value("z0")])
    for level in range(1, 11):
        name = f"z{level}"
        branch = node("If", ("go",), (name,), then_branch=inner, else_branch=inner)
        inner = helper.make_graph([branch], "g", [], [value(name)])
    last = inner.node[0]
    last.output[0] = "y"
    return dump(model([last], inputs=[value("x"), value("go", [], TensorProto.BOOL)]))


@hostile("admission.too-deep")
def types_without_bottom():
    inner = field(1, b"\x08\x01")
    for _ in range(500):
        inner = field(4, field(1, inner))  # a sequence of …
    return b"\x08\x0a" + field(7, field(13, field(1, b"v") + field(2, inner)))


@hostile("admission.too-many-fields")
def millions_of_empty_nodes():
    return b"\x08\x0a" + field(7, field(1, b"") * 1_200_000)


@hostile("admission.too-many-nodes")
def hundred_thousand_nodes():
    body = [node("Identity", (f"v{i}",), (f"v{i + 1}",)) for i in range(100_001)]
    return dump(model(body, inputs=[value("v0")], outputs=[value("v100001")]))


@hostile("admission.too-many-tensors")
def too_many_tensors():
    return dump(model(weights=[weight(np.ones(1, "float32"), f"w{i}") for i in range(50_001)]))


@hostile("admission.too-much-text")
def metadata_bomb():
    made = model()
    for number in range(33):
        entry = made.metadata_props.add()
        entry.key, entry.value = f"k{number}", "x" * (1 << 20)
    return dump(made)


@hostile("admission.wrong-size")
def huge_weight_that_is_absent():
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[1_000_000, 100_000])
    return adding(tensor)


@hostile("admission.bad-dims")
def dims_that_overflow():
    return adding(TensorProto(name="w", data_type=FLOAT, dims=[1 << 32, 1 << 32]))


@hostile("admission.bad-dims")
def dims_that_overflow_around_a_zero():
    return adding(TensorProto(name="w", data_type=FLOAT, dims=[1 << 32, 0, 1 << 32], raw_data=b""))


@hostile("admission.bad-dims")
def dims_below_zero():
    return adding(TensorProto(name="w", data_type=FLOAT, dims=[-3], raw_data=bytes(12)))


@hostile("admission.bad-dims")
def thousand_dims():
    return adding(TensorProto(name="w", data_type=FLOAT, dims=[1] * 1_000, raw_data=bytes(4)))


@hostile("admission.wrong-size")
def raw_data_too_short():
    return adding(TensorProto(name="w", data_type=FLOAT, dims=[3], raw_data=bytes(8)))


@hostile("admission.wrong-size")
def raw_data_too_long():
    return adding(TensorProto(name="w", data_type=FLOAT, dims=[3], raw_data=bytes(1_000)))


@hostile("admission.wrong-size")
def typed_data_too_short():
    return adding(TensorProto(name="w", data_type=FLOAT, dims=[3], float_data=[1.0]))


@hostile("admission.odd-tensor")
def two_kinds_of_data():
    tensor = weight(np.ones(3, "float32"))
    tensor.float_data.extend([2.0] * 3)
    return adding(tensor)


@hostile("admission.odd-tensor")
def segment_of_a_tensor():
    tensor = weight(np.ones(3, "float32"))
    tensor.segment.begin, tensor.segment.end = 0, 1 << 40
    return adding(tensor)


@hostile("admission.unsupported-type")
def unknown_data_type():
    return adding(TensorProto(name="w", data_type=99, dims=[3], raw_data=bytes(12)))


@hostile("admission.sparse-tensor")
def sparse_weight_of_a_petabyte():
    made = model()
    values, where = weight(np.ones(1, "float32"), "w"), weight(np.zeros(1, "int64"), "i")
    sparse = helper.make_sparse_tensor(values, where, [1 << 48])
    made.graph.sparse_initializer.append(sparse)
    return dump(made)


@hostile("admission.sparse-tensor")
def sparse_constant():
    values, where = weight(np.ones(1, "float32"), "w"), weight(np.zeros(1, "int64"), "i")
    sparse = helper.make_sparse_tensor(values, where, [1 << 48])
    return dump(model([node("Constant", (), ("c",), sparse_value=sparse), node("Identity")]))


@hostile("admission.bad-scale")
def scale_that_is_no_number():
    tensor = weight(np.array([1, np.nan, 1, 1], "float32"), "s")
    resize = node("Resize", ("x", "", "s"))
    shape = ["n", 1, 8, 8]
    return dump(model([resize], inputs=[value("x", shape)], weights=[tensor]))


@hostile("admission.bad-scale")
def scale_of_a_million():
    constant = node("Constant", (), ("s",), value=weight(np.array([1, 1, 1e6, 1e6], "float32")))
    return dump(
        model([constant, node("Resize", ("x", "", "s"))], inputs=[value("x", [1, 1, 8, 8])])
    )


# --- two readers, two files -----------------------------------------------------------------


@hostile("admission.unknown-field")
def field_that_nobody_knows():
    return dump(model()) + field(99, b"hidden")


@hostile("admission.repeated-field")
def two_graphs_in_one():
    return dump(model()) + field(7, field(2, b"another"))


@hostile("admission.duplicate-name")
def two_values_of_one_name():
    return dump(model([node("Relu"), node("Tanh")]))


@hostile("admission.duplicate-name")
def two_weights_of_one_name():
    tensor = weight(np.ones(3, "float32"))
    return dump(model([node("Add", ("x", "w"))], weights=[tensor, tensor]))


@hostile("admission.bad-name")
def name_with_a_terminal_code():
    return dump(model([node("Relu", ("x",), ("\x1b[2J",)), node("Tanh", ("\x1b[2J",))]))


@hostile("admission.bad-attribute")
def attribute_of_another_type():
    made = model([node("LeakyRelu", alpha=0.1)])
    made.graph.node[0].attribute[0].s = b"hidden"
    return dump(made)


# --- operators ------------------------------------------------------------------------------


@hostile("admission.unknown-domain")
def operator_of_ones_own():
    custom = node("RunCommand", domain="com.example")
    return dump(model([custom], imports=[helper.make_opsetid("com.example", 1)]))


@hostile("admission.unknown-domain")
def operator_of_the_engine():
    contrib = node("FastGelu", domain="com.microsoft")
    return dump(model([contrib], imports=[helper.make_opsetid("com.microsoft", 1)]))


@hostile("admission.unknown-domain")
def operator_in_a_branch():
    inner = helper.make_graph([node("Hidden", domain="evil")], "g", [], [value("y")])
    branch = node("If", ("go",), ("z",), then_branch=inner, else_branch=inner)
    inputs = [value("x"), value("go", [], TensorProto.BOOL)]
    return dump(model([branch], inputs=inputs, outputs=[value("z")]))


@hostile("runtime.unsupported-model", needs_engine=True)
def operator_that_does_not_exist():
    return dump(model([node("Frobnicate")]))


@hostile("admission.random-operator")
def random_output():
    return dump(model([node("RandomNormalLike")]))


@hostile("admission.random-operator")
def dropout_that_drops():
    nodes = [node("Dropout", ("x", "r", "t"))]
    weights = [weight(np.array(0.5, "float32"), "r"), weight(np.array(True), "t")]
    return dump(model(nodes, weights=weights))


@hostile("admission.no-opset")
def no_operator_set():
    made = model()
    del made.opset_import[:]
    return dump(made)


@hostile("admission.unsupported-opset")
def operator_set_of_the_future():
    return dump(model(opset=9_000))


@hostile("admission.duplicate-name")
def operator_set_in_two_versions():
    return dump(model(imports=[helper.make_opsetid("", 13)]))


@hostile("admission.unsupported-ir")
def form_of_the_future():
    made = model()
    made.ir_version = 1_000
    return dump(made)


@hostile("admission.training-info")
def training_graph():
    made = model()
    made.training_info.add().algorithm.name = "steal"
    return dump(made)


@hostile("admission.device-configuration")
def bound_to_devices():
    made = model()
    made.configuration.add().name = "pod"
    return dump(made)


# --- functions ------------------------------------------------------------------------------

LOCAL = "local"


def function(name, nodes, inputs, outputs, domain=LOCAL):
    imports = [helper.make_opsetid("", 21), helper.make_opsetid(LOCAL, 1)]
    return helper.make_function(domain, name, inputs, outputs, list(nodes), imports)


def calling(*functions, first="f"):
    call = node(first, domain=LOCAL)
    return model([call], functions=functions, imports=[helper.make_opsetid(LOCAL, 1)])


@hostile("admission.recursive-function")
def function_that_calls_itself():
    return dump(calling(function("f", [node("f", domain=LOCAL)], ["x"], ["y"])))


@hostile("admission.recursive-function")
def functions_in_a_circle():
    names = ["f", "g", "h"]
    made = [
        function(name, [node(names[(i + 1) % 3], domain=LOCAL)], ["x"], ["y"])
        for i, name in enumerate(names)
    ]
    return dump(calling(*made))


@hostile("admission.too-many-nodes")
def billion_laughs():
    made = []
    for level in range(12):
        operator, domain = ("Relu", "") if level == 11 else (f"f{level + 1}", LOCAL)
        calls = [node(operator, (f"v{i}",), (f"v{i + 1}",), domain=domain) for i in range(10)]
        made.append(function(f"f{level}", calls, ["v0"], ["v10"]))
    return dump(calling(*made, first="f0"))


@hostile("admission.shadowed-operator")
def function_in_an_operators_place():
    shadow = function("Relu", [node("Tanh")], ["x"], ["y"], domain="")
    return dump(model([node("Relu")], functions=[shadow]))


# --- what it takes and gives ----------------------------------------------------------------


@hostile("admission.unsupported-type")
def takes_strings():
    texts = [value("x", ["n"], TensorProto.STRING)]
    return dump(model([node("Shape")], inputs=texts, outputs=[value("y", [1], TensorProto.INT64)]))


@hostile("admission.unsupported-type")
def takes_a_sequence():
    listed = [helper.make_tensor_sequence_value_info("x", FLOAT, None)]
    nodes = [node("SequenceLength")]
    return dump(model(nodes, inputs=listed, outputs=[value("y", [], TensorProto.INT64)]))


@hostile("admission.unsupported-type")
def takes_an_optional():
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(FLOAT, [3]))
    return dump(model(inputs=[helper.make_value_info("x", kind)]))


@hostile("admission.unsupported-type")
def gives_a_map():
    number = helper.make_tensor_type_proto(FLOAT, [])
    kind = helper.make_map_type_proto(TensorProto.INT64, number)
    return dump(model(outputs=[helper.make_value_info("y", kind)]))


@hostile("admission.bad-dims")
def input_of_no_known_rank():
    return dump(model(inputs=[value("x", None)]))


@hostile("admission.bad-dims")
def input_of_minus_seven():
    return dump(model(inputs=[value("x", [-7, 3])]))


@hostile("admission.too-many-tensors")
def hundred_inputs():
    return dump(model(inputs=[value("x"), *(value(f"x{i}") for i in range(100))]))


# --- right in form; what they do is not -----------------------------------------------------


@hostile("admission.too-much-memory", needs_engine=True)
def terabytes_of_ones():
    nodes = [
        node("ConstantOfShape", ("s",), ("c",)),
        node("ReduceSum", ("c",), ("r",), keepdims=0),
        node("Add", ("x", "r")),
    ]
    return dump(model(nodes, weights=[weight(np.array([10**6, 10**6]), "s")]))


@hostile("admission.too-much-memory", needs_engine=True)
def terabytes_from_an_expand():
    nodes = [
        node("Expand", ("x", "s"), ("e",)),
        node("ReduceSum", ("e",), ("r",), keepdims=0),
        node("Add", ("x", "r")),
    ]
    return dump(model(nodes, weights=[weight(np.array([10**6, 10**6, 3]), "s")]))


def counting(trips: int, *, heap: bool = False):
    """A loop; with `heap` it keeps a megabyte a turn."""
    outputs = [value("on_", [], TensorProto.BOOL), value("after", [])]
    body = [node("Identity", ("on",), ("on_",)), node("Add", ("before", "one"), ("after",))]
    inner_weights = [weight(np.array(1, "float32"), "one")]
    made = ("last",)
    if heap:
        body.append(node("Expand", ("before", "wide"), ("kept",)))
        inner_weights.append(weight(np.array([1 << 18]), "wide"))
        outputs.append(value("kept", [1 << 18]))
        made = ("last", "all")
    inputs = [value("at", [], TensorProto.INT64), value("on", [], TensorProto.BOOL)]
    inner = helper.make_graph(body, "b", [*inputs, value("before", [])], outputs, inner_weights)
    nodes = [node("Loop", ("trips", "yes", "zero"), made, body=inner), node("Add", ("x", "last"))]
    if heap:
        nodes[1:] = [
            node("ReduceSum", ("all",), ("sum",), keepdims=0),
            node("Add", ("x", "sum")),
        ]
    weights = [
        weight(np.array(trips), "trips"),
        weight(np.array(True), "yes"),
        weight(np.array(0, "float32"), "zero"),
    ]
    return dump(model(nodes, weights=weights))


def idling(body, outputs, weights=()):
    """A loop that counts to its input, and whose turns are as given."""
    inputs = [value("at", [], TensorProto.INT64), value("on", [], TensorProto.BOOL)]
    inner = helper.make_graph(body, "b", [*inputs, value("before", [])], outputs, list(weights))
    nodes = [node("Loop", ("trips", "", "zero"), ("last",), body=inner), node("Add", ("x", "last"))]
    given = [value("x"), value("trips", [], TensorProto.INT64)]
    return dump(model(nodes, inputs=given, weights=[weight(np.array(0, "float32"), "zero")]))


@hostile("admission.idle-loop")
def loop_that_does_nothing():
    return idling([], [value("on", [], TensorProto.BOOL), value("before", [])])


@hostile("admission.idle-loop")
def loop_whose_work_is_known_beforehand():
    body = [
        node("Add", ("one", "one"), ("two",)),
        node("Shape", ("before",), ("shape",)),
        node("ReduceProd", ("shape",), ("size",), keepdims=0),
        node("Identity", ("at",), ("unused",)),
    ]
    ones = [weight(np.array(1, "float32"), "one")]
    return idling(body, [value("on", [], TensorProto.BOOL), value("two", [])], ones)


@hostile("admission.too-slow", needs_engine=True)
def loop_without_end():
    return counting((1 << 63) - 1)


@hostile("admission.too-much-memory", needs_engine=True)
def loop_that_hoards():
    return counting((1 << 63) - 1, heap=True)


@hostile("runtime.unsupported-model", needs_engine=True)
def circle_of_nodes():
    return dump(model([node("Add", ("x", "b"), ("a",)), node("Relu", ("a",), ("b",)),
                       node("Identity", ("a",))]))  # fmt: skip


@hostile("runtime.unsupported-model", needs_engine=True)
def output_that_nobody_makes():
    return dump(model([node("Relu", ("x",), ("z",))]))


def main(folder: Path) -> None:
    """Write every file into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, each in sorted(HOSTILE.items()):
        (folder / f"{name}.onnx").write_bytes(each.make())


if __name__ == "__main__":
    onnx.ModelProto()  # Fails early where the package is not there.
    main(Path(sys.argv[1]))
