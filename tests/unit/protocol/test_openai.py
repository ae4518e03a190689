"""Bodies of the OpenAI API's embeddings."""

import base64
import json
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probatum.errors import Refusal
from probatum.protocol import openai
from probatum.protocol.openai import (
    Evidence,
    Usage,
    decode_embedding_request,
    encode_embeddings,
)
from probatum.protocol.tensors import Tensor

EVIDENCE = Evidence(receipt="r", salt="5a", package="70", tokens=((1, 2), (3,)), pad_token=0)
ROWS = Tensor(
    name="embedding", dtype="float32", shape=(2, 2), data=struct.pack("<4f", 0.1, 1, -2, 1e-8)
)


def decode(**body):
    return decode_embedding_request(json.dumps({"model": "m", **body}).encode())


def refusal_of(**body):
    with pytest.raises(Refusal) as caught:
        decode(**body)
    return caught.value.code


@pytest.mark.parametrize(
    ("given_", "texts", "tokens"),
    [
        ("a", ("a",), ()),
        (["a", "b"], ("a", "b"), ()),
        ([1, 2], (), ((1, 2),)),
        ([[1, 2], [3]], (), ((1, 2), (3,))),
    ],
)
def test_each_form_of_input(given_, texts, tokens):
    asked = decode(input=given_)
    assert (asked.texts, asked.tokens) == (texts, tokens)
    assert asked.encoding_format == "float"


def test_what_is_unknown_is_ignored():
    assert decode(input="a", user="u", metadata={"x": 1}).texts == ("a",)


def test_the_class_is_named_under_probatum_and_nothing_else_is_taken_there():
    assert decode(input="a").arithmetic == "float"
    assert decode(input="a", probatum={}).arithmetic == "float"
    assert decode(input="a", probatum={"arithmetic": "exact"}).arithmetic == "exact"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"input": ""}, "openai.empty-input"),
        ({"input": []}, "openai.empty-input"),
        ({"input": ["a", ""]}, "openai.empty-input"),
        ({"input": [[]]}, "openai.empty-input"),
        ({"input": ["a", 1]}, "openai.malformed"),
        ({"input": [1, [1]]}, "openai.malformed"),
        ({"input": [-1]}, "openai.malformed"),
        ({"input": [1 << 31]}, "openai.malformed"),
        ({"input": [1.5]}, "openai.malformed"),
        ({"input": None}, "openai.malformed"),
        ({"input": "a", "encoding_format": "hex"}, "openai.malformed"),
        ({"input": "a", "model": ""}, "openai.malformed"),
        ({}, "openai.malformed"),
        ({"input": "a", "probatum": {"arithmetic": "roughly"}}, "openai.malformed"),
        ({"input": "a", "probatum": {"arithmetik": "exact"}}, "openai.malformed"),
        ({"input": "a", "probatum": None}, "openai.malformed"),
        ({"input": ["a"] * 2049}, "openai.too-large"),
        ({"input": "a" * (5 << 20)}, "openai.too-large"),
    ],
)
def test_what_is_none_is_refused(body, code):
    assert refusal_of(**body) == code


@given(
    st.binary(max_size=100)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    ).map(lambda value: json.dumps({"model": "m", "input": value}).encode())
)
def test_whatever_comes_is_a_request_or_refused(data):
    try:
        asked = decode_embedding_request(data)
    except Refusal:
        return
    assert bool(asked.texts) != bool(asked.tokens)


def test_both_encodings_are_the_same_numbers():
    shown = {}
    for encoding in ("float", "base64"):
        usage = Usage(prompt_tokens=3, total_tokens=3)
        body = encode_embeddings(ROWS, encoding, model="m", usage=usage, evidence=EVIDENCE)
        answer = json.loads(body)
        assert [one["index"] for one in answer["data"]] == [0, 1]
        assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
        assert answer["probatum"]["tokens"] == [[1, 2], [3]]
        shown[encoding] = [one["embedding"] for one in answer["data"]]
    numbers = [list(struct.unpack("<2f", base64.b64decode(text))) for text in shown["base64"]]
    assert shown["float"] == numbers
    assert openai.read_embedding(shown["base64"][0]) == ROWS.data[:8]
    with pytest.raises(Refusal):
        openai.read_embedding("!")


def test_what_json_cannot_say_goes_as_base64():
    odd = Tensor(name="e", dtype="float32", shape=(1, 1), data=struct.pack("<f", math.nan))
    usage = Usage(prompt_tokens=1, total_tokens=1)
    made = encode_embeddings(odd, "base64", model="m", usage=usage, evidence=EVIDENCE)
    assert json.loads(made)["data"][0]["embedding"] == base64.b64encode(odd.data).decode()
    with pytest.raises(Refusal) as caught:
        encode_embeddings(odd, "float", model="m", usage=usage, evidence=EVIDENCE)
    assert caught.value.code == "oip.not-finite"
