"""Bodies as an unmodified Open Inference Protocol client writes and reads them."""

import numpy as np
import pytest

from probatum.errors import Refusal
from probatum.protocol.oip import InferResponse, decode_infer_request, encode_infer_response
from probatum.protocol.tensors import DTYPES, Tensor

http = pytest.importorskip("tritonclient.http")

# The client itself refuses to write FP16 as JSON, though the protocol has it.
JSON_DTYPES = sorted(set(DTYPES) - {"float16"})


def sample(dtype):
    if dtype == "bool":
        return np.array([[True, False, True]])
    if dtype.startswith("float"):
        return np.array([[0.1, -3e-5, 1e7]], dtype)
    info = np.iinfo(dtype)
    return np.array([[info.min, 0, info.max]], dtype)


def ask(array, dtype, *, binary=False, outputs=None):
    asked = http.InferInput("x", list(array.shape), DTYPES[dtype].oip_name)
    asked.set_data_from_numpy(array, binary_data=binary)
    body, _ = http.InferenceServerClient.generate_request_body(
        [asked], outputs=outputs, request_id="r-1"
    )
    return bytes(body)


@pytest.mark.parametrize("dtype", JSON_DTYPES)
def test_its_requests_are_read(dtype):
    array = sample(dtype)
    outputs = [http.InferRequestedOutput("y", binary_data=False)]
    request = decode_infer_request(ask(array, dtype, outputs=outputs))
    assert request.id == "r-1"
    assert request.outputs == ("y",)
    (tensor,) = request.tensors
    assert (tensor.dtype, tensor.shape, tensor.data) == (dtype, array.shape, array.tobytes())


def test_its_wish_for_binary_outputs_is_ignored():
    request = decode_infer_request(ask(sample("int32"), "int32"))
    assert request.outputs is None
    assert request.parameters["binary_data_output"] is True


def test_its_binary_form_is_refused():
    with pytest.raises(Refusal) as caught:
        decode_infer_request(ask(sample("int32"), "int32", binary=True))
    assert caught.value.code in {"oip.malformed", "oip.no-data"}


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
