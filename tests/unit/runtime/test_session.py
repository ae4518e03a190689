"""A session computes what its manifest says, and nothing else."""

import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from probatum.errors import Fault, Refusal
from probatum.protocol.manifests import TensorSpec, compute_package_digest, encode_manifest
from probatum.protocol.tensors import DTYPES, Tensor
from probatum.runtime.engine import Stop
from probatum.runtime.limits import RequestLimits
from probatum.runtime.schema import read_schema
from probatum.runtime.session import OnnxSession
from tests.unit.runtime.models import array_of, make_manifest, make_model, tensor_of


def code_of(call, kind=Refusal):
    with pytest.raises(kind) as caught:
        call()
    return caught.value.code


def test_it_computes(linear):
    manifest = make_manifest(linear, "n")
    session = OnnxSession(manifest, linear)
    assert session.package == compute_package_digest(encode_manifest(manifest))
    x = np.array([[1, 2, 3], [0, 0, 1]], "float32")
    (y,) = session.run((tensor_of("x", x),))
    assert y.name == "y"
    assert array_of(y).tolist() == [[17.0, 21.0], [5.0, 4.0]]


def test_a_loaded_model_does_not_keep_the_file(linear):
    data = bytes(bytearray(linear))
    before = sys.getrefcount(data)
    session = OnnxSession(make_manifest(linear, "n"), data)
    assert sys.getrefcount(data) == before
    assert session.run((tensor_of("x", np.zeros((1, 3), "float32")),))


@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_every_dtype_passes_through_bit_by_bit(dtype):
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    model = make_model(nodes, [("x", kind, ["n", 2])], [("y", kind, ["n", 2])]).SerializeToString()
    session = OnnxSession(make_manifest(model), model)
    size = 6 * DTYPES[dtype].size_bytes
    data = bytes(i % 2 for i in range(size)) if dtype == "bool" else bytes(range(200, 200 + size))
    for x in (
        Tensor(name="x", dtype=dtype, shape=(3, 2), data=data),
        Tensor(name="x", dtype=dtype, shape=(0, 2), data=b""),
    ):
        (y,) = session.run((x,))
        assert (y.dtype, y.shape, y.data) == (x.dtype, x.shape, x.data)


def test_scalars_pass_through(slow):
    session = OnnxSession(make_manifest(slow), slow)
    (y,) = session.run((tensor_of("k", np.array(7)),))
    assert (y.shape, int(array_of(y))) == ((), 7)


def test_inputs_are_held_to_the_manifest(linear):
    session = OnnxSession(make_manifest(linear, "n"), linear, limits=RequestLimits(rows=4))
    x = np.zeros((2, 3), "float32")
    good = tensor_of("x", x)
    for bad, code in (
        ((), "schema.missing-tensor"),
        ((good, tensor_of("z", x)), "schema.unknown-tensor"),
        ((good, good), "schema.wrong-order"),
        ((tensor_of("x", x.astype("float64")),), "schema.wrong-dtype"),
        ((tensor_of("x", np.zeros((2, 4), "float32")),), "schema.wrong-shape"),
        ((tensor_of("x", x[0]),), "schema.wrong-shape"),
        ((Tensor(name="x", dtype="float32", shape=(2, 3), data=b"1234"),), "tensor.bad-length"),
        ((tensor_of("x", np.zeros((5, 3), "float32")),), "runtime.too-large"),
    ):
        assert code_of(lambda bad=bad: session.run(bad)) == code


def test_requests_and_answers_beyond_the_limits_are_refused(linear):
    x = (tensor_of("x", np.zeros((100, 3), "float32")),)
    for limits in (RequestLimits(input_bytes=1199), RequestLimits(output_bytes=799)):
        session = OnnxSession(make_manifest(linear, "n"), linear, limits=limits)
        assert code_of(lambda session=session: session.run(x)) == "runtime.too-large"
    limits = RequestLimits(input_bytes=1200, output_bytes=800)
    OnnxSession(make_manifest(linear, "n"), linear, limits=limits).run(x)


def test_values_that_the_model_does_not_take_are_refused(picker, capfd):
    session = OnnxSession(make_manifest(picker, "n"), picker)
    assert (
        code_of(lambda: session.run((tensor_of("i", np.array([99])),))) == "runtime.refused-input"
    )
    assert capfd.readouterr().err == ""  # Strangers fill nobody's log.


def test_a_run_can_be_ended(slow):
    session = OnnxSession(make_manifest(slow), slow)
    stop = Stop()
    stop.stop()
    fault = code_of(lambda: session.run((tensor_of("k", np.array(10**9)),), stop), Fault)
    assert fault == "runtime.too-slow"
    (y,) = session.run((tensor_of("k", np.array(3)),))
    assert int(array_of(y)) == 3


def test_bytes_that_nobody_verified_make_no_session(linear, picker):
    manifest = make_manifest(linear)
    changed = bytearray(linear)
    changed[-1] ^= 1
    for model in (picker, bytes(changed), linear + b"\0", b""):
        assert code_of(lambda model=model: OnnxSession(manifest, model)) == "runtime.unverified"


@pytest.mark.parametrize("side", ["inputs", "outputs"])
@pytest.mark.parametrize(
    "change",
    [{"name": "other"}, {"dtype": "float64"}, {"shape": ("n",)}, {"shape": ("n", 9)}],
)
def test_a_manifest_that_misstates_its_model_makes_no_session(linear, side, change):
    (spec,) = getattr(make_manifest(linear), side)
    fields = {"name": spec.name, "dtype": spec.dtype, "shape": spec.shape} | change
    manifest = make_manifest(linear, **{side: (TensorSpec(**fields),)})
    assert code_of(lambda: OnnxSession(manifest, linear)) == "runtime.schema-mismatch"


def test_an_answer_that_breaks_the_manifest_is_the_packages_fault():
    # The engine promises nothing about "m"; the manifest says that it is the input's size.
    nodes = [helper.make_node("Slice", ["x", "from", "to"], ["y"])]
    weights = [("from", np.array([0])), ("to", np.array([1]))]
    inputs, outputs = [("x", TensorProto.FLOAT, ["n"])], [("y", TensorProto.FLOAT, ["m"])]
    model = make_model(nodes, inputs, outputs, weights).SerializeToString()
    session = OnnxSession(make_manifest(model, "n"), model)
    session.run((tensor_of("x", np.zeros(1, "float32")),))
    call = lambda: session.run((tensor_of("x", np.zeros(2, "float32")),))  # noqa: E731
    assert code_of(call, Fault) == "runtime.broken-schema"


def test_dims_without_a_usable_name_get_one():
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    dims = [None, "bad name", "ok", 4]
    sides = [[(name, TensorProto.FLOAT, dims)] for name in "xy"]
    model = make_model(nodes, *sides).SerializeToString()
    assert read_schema(model).inputs[0].shape == ("in0_0", "in0_1", "ok", 4)


def test_the_batch_dimension_is_named_or_refused(linear, slow):
    schema = read_schema(linear, "n")
    assert (schema.inputs[0].shape, schema.outputs[0].shape) == (("n", 3), ("n", 2))
    assert read_schema(linear).inputs[0].shape == ("rows", 3)
    assert code_of(lambda: read_schema(slow, "n")) == "runtime.not-batchable"
    nodes = [helper.make_node("MatMul", ["x", "x"], ["y"])]
    sides = [("x", TensorProto.FLOAT, ["n", "n"])], [("y", TensorProto.FLOAT, ["n", "n"])]
    square = make_model(nodes, *sides).SerializeToString()
    assert code_of(lambda: read_schema(square, "n")) == "runtime.not-batchable"


def test_what_the_engine_does_not_take_is_refused():
    node = helper.make_node("Launch", ["x"], ["y"], domain="rockets")
    sides = [[helper.make_tensor_value_info(n, TensorProto.FLOAT, [1])] for n in "xy"]
    graph = helper.make_graph([node], "g", *sides)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("rockets", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    assert code_of(lambda: read_schema(model)) == "runtime.unsupported-model"
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    sides = [[(name, TensorProto.STRING, [1])] for name in "xy"]
    words = make_model(nodes, *sides).SerializeToString()
    assert code_of(lambda: read_schema(words)) == "runtime.unsupported-model"
    assert code_of(lambda: read_schema(b"\x08\x0a\x3a\x02\x0a\x00")) == "runtime.unsupported-model"


def test_it_agrees_with_the_bare_engine_on_a_real_model(magika_folder):
    model = (magika_folder / "model.onnx").read_bytes()
    session = OnnxSession(make_manifest(model, "n"), model)
    x = np.random.default_rng(0).integers(0, 257, (2, 2048), dtype="int32")
    (y,) = session.run((tensor_of("bytes", x),))
    bare = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(array_of(y), bare.run(None, {"bytes": x})[0], rtol=1e-5, atol=1e-7)


def test_a_run_that_hoards_memory_fails_and_the_process_stays():
    """Nothing in a model bounds what a loop may keep; the engine's arena does (PUB-1)."""
    code = """
import sys
import probatum.runtime.engine as page
from tests.corpus.hostile import counting
import numpy as np
page.WORKING_BYTES = 200 << 20
engine = page.Engine(counting((1 << 63) - 1, heap=True), page.EngineOptions())
small = page.Engine(counting(3, heap=True), page.EngineOptions())
x = {"x": np.zeros((1, 3), "float32")}
try:
    engine.run(x, page.Stop())
except page.Fault as fault:
    print(fault.code)
print(small.run(x, page.Stop())[0].shape)
peak = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(peak[0]) >> 10)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    code, shape, peak_mib = done.stdout.splitlines()
    assert (code, shape) == ("runtime.engine-failed", "(1, 3)")
    assert int(peak_mib) < 450
