import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from probatum.client.arrays import to_array, to_tensor, to_tensors
from probatum.errors import Refusal
from probatum.protocol.tensors import DTYPES, Tensor
from tests.factories import make_tensor

arrays = st.sampled_from(sorted(DTYPES)).flatmap(
    lambda name: hnp.arrays(np.dtype(name), hnp.array_shapes(min_dims=0, max_side=4, min_side=0))
)


@given(arrays, st.booleans())
def test_arrays_travel_bit_for_bit_in_any_byte_order_and_layout(array, big):
    sent = array.astype(array.dtype.newbyteorder(">")) if big else array
    tensor = to_tensor("x", sent.T if sent.ndim > 1 else sent)
    back = to_array(tensor)
    want = array.T if array.ndim > 1 else array
    assert back.dtype == want.dtype
    assert back.shape == want.shape
    assert back.tobytes() == np.ascontiguousarray(want).tobytes()


@pytest.mark.parametrize(
    ("value", "dtype", "data"),
    [
        ([1, 2], "float32", np.array([1, 2], "<f4").tobytes()),
        ([[1.5], [2]], "float64", np.array([1.5, 2], "<f8").tobytes()),
        ([0, 255], "uint8", b"\x00\xff"),
        ([-128], "int8", b"\x80"),
        ([True, False], "bool", b"\x01\x00"),
        ([], "int32", b""),
        (7, "int64", (7).to_bytes(8, "little")),
        ([0.1], "float32", np.array([0.1], "<f4").tobytes()),
    ],
)
def test_lists_with_a_dtype_are_taken(value, dtype, data):
    """`RECEIPT-1`: a number is read as binary64, then rounded to the declared type."""
    tensor = to_tensor("x", value, dtype)
    assert (tensor.dtype, tensor.data) == (dtype, data)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ([1.5], "int32"),
        ([1.0], "int32"),
        ([256], "uint8"),
        ([-1], "uint8"),
        ([True], "float32"),
        ([1], "bool"),
        ([[1], [2, 3]], "float32"),
        (["a"], "float32"),
        ([None], "float32"),
        ("text", "uint8"),
        ([1 << 70], "uint64"),
        ([1], "complex64"),
        (np.array([1.0]), "float32"),
        (np.array([1j]), None),
        (np.array(["a"]), None),
        (np.array([object()]), None),
    ],
)
def test_what_would_change_in_silence_is_refused(value, dtype):
    with pytest.raises(Refusal, match=r"client\.bad-input"):
        to_tensor("x", value, dtype)


def test_tensors_and_scalars_are_taken_as_they_are():
    tensor = make_tensor()
    assert to_tensor("x", tensor) is tensor
    assert to_tensor("x", np.float32(1)).shape == ()
    bad = Tensor(name="x", dtype="uint8", shape=(3,), data=b"")
    with pytest.raises(Refusal, match=r"tensor\.bad-length"):
        to_tensor("x", bad)
    with pytest.raises(Refusal, match=r"tensor\.bad-length"):
        to_array(bad)


def test_inputs_keep_their_order():
    inputs = {"b": np.zeros(1), "a": [1]}
    assert [t.name for t in to_tensors(inputs, {"a": "int8"})] == ["b", "a"]
