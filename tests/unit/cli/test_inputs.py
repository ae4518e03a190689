"""Inputs of a command line: types and shapes are the model's, and no value changes unseen."""

from __future__ import annotations

import json

import numpy as np
import pytest

from probatum.cli.inputs import build_tensors, parse_input
from probatum.errors import Refusal
from probatum.protocol.manifests import TensorSpec

X = TensorSpec(name="x", dtype="float32", shape=("n", 2))
K = TensorSpec(name="k", dtype="int64", shape=())


def build(*words, specs=(X,)):
    return build_tensors(tuple(map(parse_input, words)), specs)


def refuse(*words, specs=(X,)):
    with pytest.raises(Refusal) as caught:
        build(*words, specs=specs)
    return caught.value.code


@pytest.mark.parametrize(
    ("word", "shape"),
    [
        ("x=[[1, 2], [3, 4]]", (2, 2)),
        ("x=[1, 2]", (1, 2)),
        ("x=[1, 2, 3, 4]", (2, 2)),
        ("[1, 2]", (1, 2)),
        ("x:float32=[[0.5, -1e-3]]", (1, 2)),
    ],
)
def test_numbers_take_the_models_type_and_shape(word, shape):
    (tensor,) = build(word)
    values = json.loads(word[word.index("[") :])
    assert (tensor.name, tensor.dtype, tensor.shape) == ("x", "float32", shape)
    assert tensor.data == np.array(values, np.float32).tobytes()


def test_a_scalar_is_written_without_brackets():
    assert build("k=-7", specs=(K,))[0].data == np.int64(-7).tobytes()


def test_inputs_come_in_the_models_order():
    assert [t.name for t in build("k=1", "x=[1,2]", specs=(X, K))] == ["x", "k"]


def test_arrays_come_from_files(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[1, 2]], ">f8"))
    (tmp_path / "x.json").write_text("[[1, 2]]")
    wanted = np.array([[1, 2]], "<f4").tobytes()
    assert build(f"x=@{tmp_path}/x.npy")[0].data == wanted
    assert build(f"@{tmp_path}/x.json")[0].data == wanted


def test_arrays_never_lose_a_value_in_silence(tmp_path):
    np.save(tmp_path / "k.npy", np.float64(1.5))
    assert refuse(f"k=@{tmp_path}/k.npy", specs=(K,)) == "input.wrong-dtype"
    np.save(tmp_path / "k.npy", np.int64(300))
    byte = TensorSpec(name="k", dtype="uint8", shape=())
    assert refuse(f"k=@{tmp_path}/k.npy", specs=(byte,)) == "input.wrong-dtype"


def test_a_file_with_objects_is_not_run(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}]), allow_pickle=True)
    assert refuse(f"x=@{tmp_path}/x.npy") == "input.no-array"


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("x", "input.malformed"),
        ("", "input.malformed"),
        ("x=", "input.malformed"),
        ("x=@", "input.malformed"),
        ("x=[1,", "input.malformed"),
        ("x:float7=[1]", "input.unknown-dtype"),
        ("x=[1, 2, 3]", "input.wrong-shape"),
        ("x=[[1, 2], [3]]", "oip.wrong-count"),
        ("x=[[1, true]]", "oip.bad-data"),
        ("x=[[1, 1e39]]", "oip.out-of-range"),
        ("y=[1, 2]", "input.wrong-names"),
        ("x=@/nonexistent.npy", "settings.no-file"),
    ],
)
def test_what_is_no_input_is_refused(word, code):
    assert refuse(word) == code


def test_an_input_given_twice_is_refused():
    assert refuse("x=[1,2]", "[3,4]") == "input.twice"


def test_without_a_manifest_types_must_be_said():
    assert refuse("x=[1, 2]", specs=None) == "input.no-dtype"
    assert refuse("[1, 2]", specs=None) == "input.no-name"
    (tensor,) = build("x:int16=[[1, 2]]", specs=None)
    assert (tensor.dtype, tensor.shape, tensor.data) == ("int16", (1, 2), b"\1\0\2\0")
