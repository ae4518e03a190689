import math
import struct

import pytest

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.logprobs import (
    TokenLogprobs,
    check_logprobs_room,
    compute_logprobs_bytes,
    pack_logprobs,
    round_logprob,
    unpack_logprobs,
)

PLACE = TokenLogprobs(chosen=-1.5, top=((7, -0.5), (3, -1.5)))


def test_what_is_packed_comes_back_also_with_fewer_alternatives_than_asked_for():
    for top in (2, 3, 20):
        data = pack_logprobs((PLACE, PLACE), top)
        assert len(data) == compute_logprobs_bytes(top, 2)
        assert unpack_logprobs(data, (3, 3), top) == (PLACE, PLACE)
    alone = TokenLogprobs(chosen=-2.0, top=())
    assert unpack_logprobs(pack_logprobs((alone,), 0), (9,), 0) == (alone,)


@pytest.mark.parametrize(
    ("chosen", "top", "token"),
    [
        (0.5, ((7, -0.5), (3, -1.5)), 3),
        (math.nan, ((7, -0.5), (3, -1.5)), 3),
        (-math.inf, ((7, -0.5), (3, -1.5)), 1),
        (-1.5, ((7, -1.6), (3, -1.5)), 3),
        (-1.5, ((3, -1.5), (3, -1.5)), 3),
        (-1.4, ((7, -0.5), (3, -1.5)), 3),
        (-1.4, ((7, -0.5), (3, -1.5)), 9),
        (-1.5, (((1 << 32) - 1, 0.0), (3, -1.5)), 3),
        (-1.5, ((3, -1.5), ((1 << 32) - 1, -1.0)), 3),
    ],
)
def test_what_cannot_be_is_refused(chosen, top, token):
    data = struct.pack("<fIfIf", chosen, *top[0], *top[1])
    with pytest.raises(Refusal) as caught:
        unpack_logprobs(data, (token,), 2)
    assert caught.value.code == "text.bad-logprobs"


def test_another_length_is_refused():
    data = pack_logprobs((PLACE,), 2)
    for ids, top in (((3, 3), 2), ((3,), 1), ((), 2)):
        with pytest.raises(Refusal):
            unpack_logprobs(data, ids, top)


def test_room_is_bounded():
    most = limits.LOGPROBS_BYTES // compute_logprobs_bytes(20, 1)
    check_logprobs_room(20, most)
    with pytest.raises(Refusal) as caught:
        check_logprobs_room(20, most + 1)
    assert caught.value.code == "text.too-many-logprobs"


def test_an_engines_numbers_are_rounded_to_float32():
    assert round_logprob(-0.1) == struct.unpack("<f", struct.pack("<f", -0.1))[0]
    assert str(round_logprob(1e-9)) == str(round_logprob(-0.0)) == "0.0"
    for value in (math.nan, math.inf, -math.inf, -1e39):
        with pytest.raises(Refusal):
            round_logprob(value)
