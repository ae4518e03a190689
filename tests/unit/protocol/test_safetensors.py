"""Heads of safetensors files agree with the format's own library; strangers' are refused."""

import contextlib
import json

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from probatum.errors import Refusal
from probatum.protocol.safetensors import PREFIX_BYTES, decode_head, encode_head, read_size

ARRAYS = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.zeros((0, 4), np.float16),
    "c": np.array([1, -1], np.int64),
}


def read(data):
    size = read_size(data[:PREFIX_BYTES])
    return decode_head(data[PREFIX_BYTES : PREFIX_BYTES + size], len(data))


def test_the_librarys_files_are_read():
    data = safetensors.numpy.save(ARRAYS)
    found = {one.name: one for one in read(data)}
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        one = found[name]
        assert one.shape == array.shape
        assert data[one.begin : one.begin + one.size] == array.tobytes()


def test_the_library_reads_ours():
    kinds = [("x", "F32", (2, 3)), ("y", "F16", (4,)), ("empty", "I64", (0,))]
    body = np.arange(6, dtype=np.float32).tobytes() + np.arange(4, dtype=np.float16).tobytes()
    data = encode_head(kinds) + body
    assert (len(data) - len(body)) % 8 == 0
    loaded = safetensors.numpy.load(data)
    assert loaded["x"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert loaded["y"].tolist() == [0, 1, 2, 3]
    assert [one.name for one in read(data)] == ["x", "y", "empty"]


def make(entries, body=b""):
    head = json.dumps(entries).encode()
    return len(head).to_bytes(8, "little") + head + body


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff" * 8 + b"{}",
        (2**30).to_bytes(8, "little"),
        make({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, bytes(8)),
        make({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, bytes(8)),
        make({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, bytes(4)),
        make({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [4, 0]}}, bytes(4)),
        make({"a": {"dtype": "Q4", "shape": [4], "data_offsets": [0, 4]}}, bytes(4)),
        make({"a": {"dtype": "U8", "shape": [1] * 9, "data_offsets": [0, 1]}}, bytes(1)),
        make({"a" * 200: {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, bytes(1)),
        make(
            {
                "a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
                "b": {"dtype": "U8", "shape": [4], "data_offsets": [2, 6]},
            },
            bytes(6),
        ),
        make([]),
        make({"a": 3}),
        b"\x02" + bytes(7) + b"{",
    ],
)
def test_hostile_heads_are_refused(data):
    with pytest.raises(Refusal) as caught:
        read(data)
    assert caught.value.code == "safetensors.bad-head"


@given(st.binary(max_size=200), st.integers(0, 300))
def test_garbage_is_refused_and_nothing_else(head, size):
    with contextlib.suppress(Refusal):
        decode_head(head, size)
