"""Tensors as bytes behind a body's JSON."""

import json
import math
import struct

import pytest

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.oip import (
    InferRequest,
    InferResponse,
    decode_infer_request,
    decode_infer_response,
    encode_infer_response,
    encode_mixed_response,
)
from probatum.protocol.tensors import Tensor

ODD = struct.pack("<4f", math.nan, math.inf, -math.inf, -0.0)


def make_body(inputs, tail=b"", **more):
    """A body and the length of its head; inputs are (name, datatype, shape, size or data)."""
    tensors = []
    for name, datatype, shape, what in inputs:
        tensor = {"name": name, "datatype": datatype, "shape": shape}
        if isinstance(what, list):
            tensor["data"] = what
        else:
            tensor["parameters"] = {"binary_data_size": what}
        tensors.append(tensor)
    head = json.dumps({"inputs": tensors, **more}).encode()
    return head + tail, len(head)


def refusal_of(body, head_bytes):
    with pytest.raises(Refusal) as caught:
        decode_infer_request(body, head_bytes)
    return caught.value.code


def test_bytes_are_taken_in_the_heads_order_between_json():
    body, head = make_body(
        [("a", "FP32", [2, 2], 16), ("b", "INT8", [2], [1, -1]), ("c", "UINT8", [3], 3)],
        ODD + b"\1\2\3",
    )
    a, b, c = decode_infer_request(body, head).tensors
    assert a == Tensor(name="a", dtype="float32", shape=(2, 2), data=ODD)
    assert (b.data, c.data) == (b"\1\xff", b"\1\2\3")


def test_a_head_that_is_the_whole_body_is_plain_json():
    body, head = make_body([("a", "INT8", [2], [1, 2])])
    assert decode_infer_request(body, head) == decode_infer_request(body)


@pytest.mark.parametrize(
    ("inputs", "tail", "shift", "code"),
    [
        ([("a", "FP32", [2], 8)], b"1234567", 0, "oip.bad-binary"),
        ([("a", "FP32", [2], 8)], b"123456789", 0, "oip.bad-binary"),
        ([("a", "FP32", [2], 4)], b"1234", 0, "oip.bad-binary"),
        ([("a", "FP32", [2], -8)], b"12345678", 0, "oip.bad-binary"),
        ([("a", "FP32", [2], True)], b"12345678", 0, "oip.bad-binary"),
        ([("a", "FP32", [2], "8")], b"12345678", 0, "oip.bad-binary"),
        ([("a", "FP32", [2], 8)], b"12345678", 100, "oip.bad-binary"),
        ([("a", "FP32", [2], 8)], b"12345678", -1, "oip.malformed"),
        ([("a", "BOOL", [2], 2)], b"\1\2", 0, "tensor.bad-bool"),
        ([("a", "BYTES", [1], 5)], b"\1\0\0\0a", 0, "oip.unsupported-datatype"),
        ([("a", "FP64", [1 << 30], 1 << 33)], b"", 0, "oip.too-large"),
    ],
)
def test_what_does_not_add_up_is_refused(inputs, tail, shift, code):
    body, head = make_body(inputs, tail)
    assert refusal_of(body, head + shift) == code


def test_both_data_and_bytes_is_neither():
    head = b'{"inputs":[{"name":"a","datatype":"INT8","shape":[1],"data":[1],'
    head += b'"parameters":{"binary_data_size":1}}]}'
    assert refusal_of(head + b"\1", len(head)) == "oip.no-data"


def test_shared_memory_and_classes_are_not_given():
    tensor = {"name": "a", "datatype": "INT8", "shape": [1]}
    shared = tensor | {"parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 1}}
    assert refusal_of(json.dumps({"inputs": [shared]}).encode(), None) == (
        "oip.unsupported-parameter"
    )
    wanted = {"name": "y", "parameters": {"classification": 3}}
    body, head = make_body([("a", "INT8", [1], [1])], outputs=[wanted])
    assert refusal_of(body, head) == "oip.unsupported-parameter"


def test_the_tail_counts_to_the_bodys_size(monkeypatch):
    body, head = make_body([("a", "UINT8", [300], 300)], bytes(300))
    assert decode_infer_request(body, head)
    monkeypatch.setattr(limits, "REQUEST_BYTES", 200)
    assert refusal_of(body, head) == "oip.too-large"


def test_wishes_for_outputs():
    wanted = [
        {"name": "y", "parameters": {"binary_data": False}},
        {"name": "z", "parameters": {"binary_data": True}},
        {"name": "w"},
    ]
    usual = {"binary_data_output": True}
    body, head = make_body([("a", "INT8", [1], [1])], outputs=wanted, parameters=usual)
    asked = decode_infer_request(body, head)
    assert [asked.is_binary(name) for name in "yzw"] == [False, True, True]
    assert not InferRequest(tensors=()).is_binary("y")


def test_an_answer_reads_back_bit_by_bit_also_where_json_has_no_word():
    odd = Tensor(name="y", dtype="float32", shape=(4,), data=ODD)
    plain = Tensor(name="z", dtype="int64", shape=(1,), data=bytes(8))
    response = InferResponse(model_name="m", tensors=(odd, plain))
    body, head = encode_mixed_response(response, frozenset({"y"}))
    assert decode_infer_response(body, head) == response
    assert json.loads(body[:head])["outputs"][1]["data"] == [0]
    with pytest.raises(Refusal) as caught:
        encode_infer_response(response)
    assert caught.value.code == "oip.not-finite"
