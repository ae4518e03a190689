"""JSON numbers against numpy and Python's own reader (`RECEIPT-1`)."""

import json
import struct
import tracemalloc

import numpy as np
import pytest

from probatum.errors import Refusal
from probatum.protocol import jsonnumbers
from probatum.protocol.jsonnumbers import decode_numbers, encode_numbers
from probatum.protocol.tensors import Tensor

INTEGERS = ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"]
FLOATS = ["float16", "float32", "float64"]


def refusal_of(dtype, shape, text):
    with pytest.raises(Refusal) as caught:
        decode_numbers("x", dtype, shape, text)
    return caught.value.code


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_are_exact_to_the_ends_of_their_range(dtype):
    info = np.iinfo(dtype)
    text = f"[{info.min}, {info.max}, 0]".encode()
    assert (
        decode_numbers("x", dtype, (3,), text)
        == np.array([info.min, info.max, 0], dtype)
        .astype(np.dtype(dtype).newbyteorder("<"))
        .tobytes()
    )
    for beyond in (info.min - 1, info.max + 1, 1 << 70):
        assert refusal_of(dtype, (1,), f"[{beyond}]".encode()) == "oip.out-of-range"


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_number_is_binary64_first_and_then_rounded(dtype):
    texts = ["0.1", "-0.0", "1e-7", "65503.9", "16777217", "1.00000005960464477540", "5e-324"]
    texts = [text for text in texts if abs(float(text)) < float(np.finfo(dtype).max)]
    want = np.array([float(text) for text in texts], "float64").astype(dtype).tobytes()
    shape = (len(texts),)
    assert decode_numbers("x", dtype, shape, f"[{','.join(texts)}]".encode()) == want


def test_binary64_comes_before_float32_where_the_two_ways_differ():
    # Just above a midpoint of two float32: rounded once it goes up, through binary64 it ties even.
    text = b"[1.000000059604644775390626]"
    assert decode_numbers("x", "float32", (1,), text) == struct.pack("<f", 1.0)


@pytest.mark.parametrize(
    ("dtype", "number"), [("float16", "65520"), ("float32", "3.4028236e38"), ("float64", "1e309")]
)
def test_what_would_round_to_infinity_is_refused(dtype, number):
    assert refusal_of(dtype, (1,), f"[{number}]".encode()) == "oip.out-of-range"


def test_every_float16_survives_the_way_there_and_back():
    data = np.arange(1 << 16, dtype="<u2")
    data = data[np.isfinite(data.view("<f2"))].tobytes()
    tensor = Tensor(name="x", dtype="float16", shape=(len(data) // 2,), data=data)
    assert decode_numbers("x", "float16", tensor.shape, encode_numbers(tensor)) == data


def test_float32_bits_survive_the_way_there_and_back():
    bits = np.random.default_rng(5).integers(0, 1 << 32, 200_000, dtype="<u4")
    data = bits[np.isfinite(bits.view("<f4"))].tobytes()
    tensor = Tensor(name="x", dtype="float32", shape=(len(data) // 4,), data=data)
    text = encode_numbers(tensor)
    assert decode_numbers("x", "float32", tensor.shape, text) == data
    assert np.array(json.loads(text)).astype("<f4").tobytes() == data


def test_bools_are_true_and_false():
    assert decode_numbers("x", "bool", (2, 2), b"[[true,false],[false, true]]") == b"\1\0\0\1"
    tensor = Tensor(name="x", dtype="bool", shape=(2,), data=b"\1\0")
    assert encode_numbers(tensor) == b"[true,false]"
    for text in (b"[1]", b'["true"]', b"[null]"):
        assert refusal_of("bool", (1,), text) == "oip.bad-data"


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((), b"5"),
        ((), b"[5]"),
        ((1,), b"[5]"),
        ((1, 1, 1), b" [ [ [ 5 ] ] ] "),
        ((1, 1), b"[5]"),
    ],
)
def test_one_number_in_every_form(shape, text):
    assert decode_numbers("x", "uint8", shape, text) == b"\5"


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((0,), b"[]"),
        ((0, 3), b"[]"),
        ((2, 0), b"[[],[]]"),
        ((2, 0), b"[]"),
        ((2, 1, 0, 1 << 62), b"[[[]],[[]]]"),
        ((1 << 62, 0), b"[]"),
    ],
)
def test_no_number_in_every_form(shape, text):
    assert decode_numbers("x", "uint8", shape, text) == b""


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((1,), b"[]"),
        ((0,), b"[1]"),
        ((2,), b"[1]"),
        ((2,), b"[1,2,3]"),
        ((2, 2), b"[[1,2],[3]]"),
        ((2, 2), b"[[1,2,3],[4]]"),
        ((2, 2), b"[[1,2,3,4]]"),
        ((4,), b"[[1,2],[3,4]]"),
        ((2, 0), b"[[]]"),
        ((1 << 62, 0), b"[[],[]]"),
        ((1,), b"1"),
        ((1 << 22,), b"[1]"),
    ],
)
def test_data_that_does_not_fill_its_shape_is_refused(shape, text):
    assert refusal_of("uint8", shape, text) == "oip.wrong-count"


@pytest.mark.parametrize(
    "text", [b"[1.0]", b'["1"]', b"[null]", b'{"a":1}', b"[true]", b'"x"', b'["],["]', b"[1e2]"]
)
def test_what_is_no_integer_is_refused(text):
    assert refusal_of("int32", (1,), text) == "oip.bad-data"


def test_an_empty_place_is_refused_wherever_a_slice_ends(monkeypatch):
    monkeypatch.setattr(jsonnumbers, "_SLICE_CHARS", 2)
    assert decode_numbers("x", "uint8", (5,), b"[1,2,3,4,5]") == b"\1\2\3\4\5"
    for text in (b"[[1],[2],[],[4],[5]]", b"[[],[2],[3],[4],[5]]", b"[[1],[2],[3],[4],[]]"):
        assert refusal_of("uint8", (5, 1), text) in {"oip.bad-data", "oip.wrong-count"}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_json_cannot_say_what_is_not_finite(dtype, value):
    tensor = Tensor(name="y", dtype=dtype, shape=(2,), data=np.array([1, value], dtype).tobytes())
    with pytest.raises(Refusal) as caught:
        encode_numbers(tensor)
    assert caught.value.code == "oip.not-finite"
    assert caught.value.hint


def test_a_flat_array_of_a_deep_shape_costs_no_brackets():
    count = 400_000
    text = b"[" + b"1," * (count - 1) + b"1]"
    tracemalloc.start()
    try:
        assert decode_numbers("x", "int8", (count, *[1] * 7), text) == b"\1" * count
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * len(text)
