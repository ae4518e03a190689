"""Whatever comes in at the door, the decoder answers with a value or a refusal."""

import contextlib
import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from probatum.errors import Refusal
from probatum.protocol.oip import (
    InferRequest,
    decode_infer_request,
    decode_infer_response,
    encode_infer_request,
)
from probatum.protocol.tensors import DTYPES, Tensor, check_tensor

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)
NUMBERS = st.recursive(st.integers(-300, 300) | st.floats(width=32), st.lists)
TENSORS = st.fixed_dictionaries(
    {
        "name": st.text(min_size=1, max_size=4) | JUNK,
        "shape": st.lists(st.integers(0, 3), max_size=3) | JUNK,
        "datatype": st.sampled_from([traits.oip_name for traits in DTYPES.values()]) | JUNK,
        "data": NUMBERS | JUNK,
    },
    optional={
        "parameters": JUNK | st.fixed_dictionaries({"binary_data_size": st.integers(-1, 20) | JUNK})
    },
)
BODIES = st.fixed_dictionaries(
    {"inputs": st.lists(TENSORS, max_size=2) | JUNK},
    optional={"id": JUNK, "parameters": JUNK, "outputs": JUNK},
)


def decode_or_refuse(data):
    for decode in (decode_infer_request, decode_infer_response):
        try:
            value = decode(data)
        except Refusal:
            continue
        for tensor in value.tensors:
            check_tensor(tensor)


@given(st.binary(max_size=200))
def test_noise(data):
    decode_or_refuse(data)


@given(BODIES, st.binary(max_size=30), st.integers(-3, 3))
def test_bodies_with_bytes_behind_them(body, tail, shift):
    head = json.dumps(body).encode()
    for decode in (decode_infer_request, decode_infer_response):
        with contextlib.suppress(Refusal):
            decode(head + tail, max(0, len(head) + shift))


@given(BODIES)
def test_bodies_of_the_right_outline(body):
    decode_or_refuse(json.dumps(body).encode())
    decode_or_refuse(json.dumps(body | {"model_name": "m", "outputs": body["inputs"]}).encode())


@given(BODIES, st.data())
def test_bodies_with_one_byte_changed(body, data):
    text = bytearray(json.dumps(body).encode())
    text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    decode_or_refuse(bytes(text))


@given(
    st.sampled_from(sorted(DTYPES)),
    st.lists(st.integers(0, 4), max_size=3),
    st.randoms(use_true_random=False),
    st.booleans(),
)
def test_flat_and_nested_data_are_one_tensor(dtype, shape, chance, nested):
    count = int(np.prod(shape))
    array = np.array([chance.randrange(2) for _ in range(count)]).astype(dtype).reshape(shape)
    tensor = Tensor(name="x", dtype=dtype, shape=tuple(shape), data=array.tobytes())
    body = json.loads(encode_infer_request(InferRequest(tensors=(tensor,))))
    if nested:
        body["inputs"][0]["data"] = array.tolist()
    assert decode_infer_request(json.dumps(body, indent=1).encode()).tensors == (tensor,)
