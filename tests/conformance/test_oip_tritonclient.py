"""Bodies, JSON and binary, as an unmodified client writes and reads them."""

import numpy as np
import pytest

from probatum.protocol.oip import (
    InferResponse,
    decode_infer_request,
    encode_infer_response,
    encode_mixed_response,
)
from probatum.protocol.tensors import DTYPES, Tensor

http = pytest.importorskip("tritonclient.http")

# The client itself refuses to write FP16 as JSON, though the protocol has it.
JSON_DTYPES = sorted(set(DTYPES) - {"float16"})


def sample(dtype):
    if dtype == "bool":
        return np.array([[True, False, True]])
    if dtype.startswith("float"):
        return np.array([[0.1, -3e-5, 6e4]], dtype)
    info = np.iinfo(dtype)
    return np.array([[info.min, 0, info.max]], dtype)


def write(array, dtype, *, binary=False, outputs=None):
    asked = http.InferInput("x", list(array.shape), DTYPES[dtype].oip_name)
    asked.set_data_from_numpy(array, binary_data=binary)
    body, head_bytes = http.InferenceServerClient.generate_request_body(
        [asked], outputs=outputs, request_id="r-1"
    )
    return bytes(body), head_bytes


def ask(array, dtype, **more):
    return write(array, dtype, **more)[0]


@pytest.mark.parametrize("dtype", JSON_DTYPES)
def test_its_requests_are_read(dtype):
    array = sample(dtype)
    outputs = [http.InferRequestedOutput("y", binary_data=False)]
    request = decode_infer_request(ask(array, dtype, outputs=outputs))
    assert request.id == "r-1"
    assert request.outputs == ("y",)
    (tensor,) = request.tensors
    assert (tensor.dtype, tensor.shape, tensor.data) == (dtype, array.shape, array.tobytes())


def test_its_wishes_for_binary_outputs_are_understood():
    assert decode_infer_request(ask(sample("int32"), "int32")).is_binary("y")
    for binary in (False, True):
        outputs = [http.InferRequestedOutput("y", binary_data=binary)]
        asked = decode_infer_request(ask(sample("int32"), "int32", outputs=outputs))
        assert asked.is_binary("y") is binary


@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_its_binary_requests_are_read(dtype):
    array = sample(dtype)
    body, head_bytes = write(array, dtype, binary=True)
    (tensor,) = decode_infer_request(body, head_bytes).tensors
    assert (tensor.dtype, tensor.shape, tensor.data) == (dtype, array.shape, array.tobytes())


@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_our_binary_responses_are_read(dtype):
    array = sample(dtype)
    tensor = Tensor(name="y", dtype=dtype, shape=array.shape, data=array.tobytes())
    other = Tensor(name="z", dtype="uint8", shape=(1,), data=b"\7")
    response = InferResponse(model_name="m", tensors=(other, tensor))
    for binary in ({"y"}, {"y", "z"}):
        body, head_bytes = encode_mixed_response(response, frozenset(binary))
        result = http.InferenceServerClient.parse_response_body(body, header_length=head_bytes)
        read = result.as_numpy("y")
        assert (read.dtype, read.shape, read.tobytes()) == (
            array.dtype,
            array.shape,
            array.tobytes(),
        )
        assert result.as_numpy("z").tolist() == [7]


@pytest.mark.parametrize("dtype", JSON_DTYPES)
def test_our_responses_are_read(dtype):
    array = sample(dtype)
    tensor = Tensor(name="y", dtype=dtype, shape=array.shape, data=array.tobytes())
    body = encode_infer_response(
        InferResponse(model_name="m", model_version="1", id="r-1", tensors=(tensor,))
    )
    result = http.InferenceServerClient.parse_response_body(body)
    assert result.get_response()["id"] == "r-1"
    read = result.as_numpy("y")
    assert (read.dtype, read.shape, read.tobytes()) == (array.dtype, array.shape, array.tobytes())
