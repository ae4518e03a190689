"""Bodies of the Open Inference Protocol."""

import json
import struct

import pytest

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.manifests import TensorSpec
from probatum.protocol.oip import (
    ErrorBody,
    InferRequest,
    InferResponse,
    decode_infer_request,
    decode_infer_response,
    describe_tensors,
    encode_body,
    encode_infer_request,
    encode_infer_response,
)
from probatum.protocol.tensors import DTYPES, Tensor


def body(**changes):
    tensor = {"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 0.5]}
    tensor |= changes.pop("tensor", {})
    return json.dumps({"inputs": [tensor], **changes}).encode()


def refusal_of(data, decode=decode_infer_request):
    with pytest.raises(Refusal) as caught:
        decode(data)
    return caught.value


def test_a_request_is_read_as_clients_write_it():
    request = decode_infer_request(
        body(
            id="42",
            tensor={"parameters": {"x": 1}},
            parameters={"binary_data_output": True, "odd": [1], "none": None, "word": "w"},
            outputs=[{"name": "y", "parameters": {"binary_data": False, "classification": 0}}],
            unheard_of={"a": [None]},
        )
    )
    data = struct.pack("<2f", 1, 0.5)
    assert request.tensors == (Tensor(name="x", dtype="float32", shape=(2,), data=data),)
    assert request.id == "42"
    assert request.outputs == ("y",)
    assert dict(request.parameters) == {"binary_data_output": True, "word": "w"}


def test_what_may_be_absent_may_be_absent():
    request = decode_infer_request(body())
    assert (request.id, request.outputs, dict(request.parameters)) == (None, None, {})
    assert decode_infer_request(body(outputs=[], id="", parameters=None)) == request


@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_requests_and_responses_return_as_they_went(dtype):
    size = DTYPES[dtype].size_bytes
    tensors = (
        Tensor(name="a", dtype=dtype, shape=(2, 1), data=bytes(2 * size)),
        Tensor(name="b", dtype=dtype, shape=(), data=bytes(size)),
        Tensor(name="c", dtype=dtype, shape=(3, 0), data=b""),
    )
    request = InferRequest(tensors=tensors, id="i", outputs=("y",), parameters={"p": 1.5})
    assert decode_infer_request(encode_infer_request(request)) == request
    response = InferResponse(model_name="m", model_version="1", tensors=tensors, id="i")
    assert decode_infer_response(encode_infer_response(response)) == response
    on_wire = json.loads(encode_infer_response(response))
    assert on_wire["outputs"][0]["datatype"] == DTYPES[dtype].oip_name
    assert "parameters" not in on_wire


@pytest.mark.parametrize("datatype", ["BYTES", "BF16", "fp32", ""])
def test_datatypes_that_no_tensor_has_are_refused(datatype):
    refusal = refusal_of(body(tensor={"datatype": datatype}))
    assert refusal.code == "oip.unsupported-datatype"
    assert "FP32" in refusal.hint


def test_a_tensor_without_data_is_refused_with_what_to_do():
    tensor = {"name": "x", "shape": [2], "datatype": "FP32"}
    refusal = refusal_of(json.dumps({"inputs": [tensor]}).encode())
    assert refusal.code == "oip.no-data"
    assert "Inference-Header-Content-Length" in refusal.hint


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "oip.malformed"),
        (b"[]", "oip.malformed"),
        (b'{"inputs":1}', "oip.malformed"),
        (b'{"inputs":[{}]}', "oip.malformed"),
        (b"\xff", "oip.malformed"),
        (b"[" * 100_000, "oip.malformed"),
        (body(tensor={"shape": [-1]}), "oip.malformed"),
        (body(tensor={"shape": [2.0]}), "oip.malformed"),
        (body(tensor={"shape": [1] * 9}), "oip.malformed"),
        (body(tensor={"shape": "2"}), "oip.malformed"),
        (body(tensor={"name": "n" * 200}), "oip.malformed"),
        (body(parameters=[1]), "oip.malformed"),
        (body(tensor={"shape": [1] * 600}), "oip.too-large"),
        (body(tensor={"shape": [1 << 39]}), "oip.too-large"),
        (body(tensor={"shape": [1 << 39] * 8}), "oip.too-large"),
        (body(parameters={"p": "w" * 20_000}), "oip.too-large"),
        (body(inputs=[json.loads(body())["inputs"][0]] * 65), "oip.too-large"),
        (body(outputs=[{"name": "y"}] * 65), "oip.too-large"),
        (body(outputs=[{"name": "y"}] * 2000), "oip.too-large"),
        (b" " * (limits.REQUEST_BYTES + 1), "oip.too-large"),
        (body(tensor={"shape": [3]}), "oip.wrong-count"),
        (body(tensor={"data": "1,2"}), "oip.bad-data"),
        (body(tensor={"data": [1, 1e39]}), "oip.out-of-range"),
    ],
)
def test_bad_bodies_are_refused_by_code(data, code):
    assert refusal_of(data).code == code


def test_metadata_says_minus_one_for_free_dimensions():
    (described,) = describe_tensors((TensorSpec(name="x", dtype="int32", shape=("n", 7)),))
    assert json.loads(encode_body(described)) == {
        "name": "x",
        "datatype": "INT32",
        "shape": [-1, 7],
    }
    assert encode_body(ErrorBody(error="no")) == b'{"error":"no"}'
