"""Logprobs on the wire: what is packed comes back, and nothing that comes raises but refusals."""

from hypothesis import given
from hypothesis import strategies as st

from probatum.errors import Refusal
from probatum.protocol.logprobs import (
    TokenLogprobs,
    compute_logprobs_bytes,
    pack_logprobs,
    unpack_logprobs,
)

LOGPROB = st.floats(max_value=0, allow_nan=False, allow_infinity=False, width=32)


@st.composite
def places(draw, top):
    tokens = draw(st.lists(st.integers(0, (1 << 32) - 2), unique=True, max_size=top))
    found = sorted(draw(st.lists(LOGPROB, min_size=len(tokens), max_size=len(tokens))))[::-1]
    pairs = tuple(zip(tokens, found, strict=True))
    token = draw(st.sampled_from(tokens) if tokens else st.integers(0, 99))
    chosen = dict(pairs).get(token, draw(LOGPROB))
    return token, TokenLogprobs(chosen=chosen, top=pairs)


@given(st.data(), st.integers(0, 20))
def test_packed_logprobs_come_back(data, top):
    given_places = data.draw(st.lists(places(top), max_size=4))
    ids = tuple(token for token, _ in given_places)
    said = tuple(place for _, place in given_places)
    assert unpack_logprobs(pack_logprobs(said, top), ids, top) == said


@given(st.binary(max_size=80), st.integers(0, 4), st.integers(0, 4))
def test_any_bytes_are_logprobs_or_refused(data, count, top):
    ids = tuple(range(count))
    try:
        found = unpack_logprobs(data, ids, top)
    except Refusal:
        return
    assert len(found) == count
    assert len(data) == compute_logprobs_bytes(top, count)
    assert unpack_logprobs(pack_logprobs(found, top), ids, top) == found
