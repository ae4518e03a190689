"""Texts on the wire: what is packed comes back, and nothing that comes raises but refusals."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probatum.errors import Refusal
from probatum.protocol.dsse import Envelope
from probatum.protocol.manifests import check_tensors_match
from probatum.protocol.prefixes import open_cancellation, open_prefix
from probatum.protocol.tensors import Tensor, check_tensor
from probatum.protocol.texts import (
    Text,
    TextQuestion,
    check_text,
    make_answer,
    make_question,
    pack_ids,
    read_answer,
    read_question,
    unpack_ids,
)
from probatum.storm.text_model import MANIFEST, MODEL
from tests.unit.client.test_texting import sign

IDS = st.lists(st.integers(0, (1 << 24) - 1), max_size=40).map(tuple)
NUMBERS = st.integers(-(1 << 70), 1 << 70) | st.integers(-2, 200)


@given(IDS)
def test_packed_ids_come_back(ids):
    assert unpack_ids(pack_ids(ids)) == ids


@given(st.binary(max_size=40))
def test_any_bytes_are_ids_or_refused(data):
    if len(data) % 4 == 0:
        assert pack_ids(unpack_ids(data)) == data
        return
    with pytest.raises(Refusal) as caught:
        unpack_ids(data)
    assert caught.value.code == "text.bad-ids"


@given(
    st.lists(NUMBERS, max_size=8).map(tuple),
    NUMBERS,
    st.floats(width=64),
    NUMBERS,
    NUMBERS,
)
def test_a_question_is_read_as_it_was_made_or_refused(prompt, limit, temperature, top_k, choice):
    question = TextQuestion(
        prompt=prompt, limit=limit, temperature=temperature, top_k=top_k, choice=choice
    )
    try:
        tensors = make_question(question)
        for tensor in tensors:
            check_tensor(tensor)
        found = read_question(MANIFEST, tensors)
    except Refusal:
        return
    assert (found.prompt, found.limit, found.top_k, found.choice) == (
        prompt,
        limit,
        top_k,
        choice,
    )
    assert math.isclose(found.temperature, temperature, rel_tol=1e-6, abs_tol=1e-30)
    assert make_question(found) == tensors


@given(IDS, st.booleans(), st.integers(1, 60), st.booleans())
def test_an_answer_is_checked_or_refused(ids, ended, limit, cancelled):
    tensors = make_answer(Text(ids=ids, ended=ended))
    check_tensors_match(MANIFEST.outputs, tensors)
    answer = read_answer(tensors)
    assert answer == Text(ids=ids, ended=ended)
    try:
        check_text(MODEL, limit, answer, cancelled=cancelled)
    except Refusal:
        return
    else:
        assert ended or cancelled
        assert ended is (len(ids) == limit or ids[-1] in MODEL.stop_ids)


PREFIX = sign(tuple(range(1, 17)))


@given(st.integers(0, 8 * len(PREFIX) - 1))
def test_no_bit_of_a_signed_prefix_can_change(place):
    flipped = bytearray(PREFIX)
    flipped[place // 8] ^= 1 << place % 8
    with pytest.raises(Refusal):
        open_prefix(bytes(flipped))


@given(st.text(max_size=30), st.binary(max_size=60))
def test_what_is_no_statement_is_refused(payload, data):
    with pytest.raises(Refusal):
        open_prefix(data)
    envelope = msgspec.convert(
        {"payload": payload, "payloadType": "application/vnd.in-toto+json", "signatures": []},
        Envelope,
    )
    with pytest.raises(Refusal):
        open_cancellation(envelope)


def test_what_a_question_must_be():
    wrong = Tensor(name="prompt", dtype="int64", shape=(0,), data=b"")
    with pytest.raises(Refusal) as caught:
        read_question(MANIFEST, (wrong,))
    assert caught.value.code == "schema.missing-tensor"
