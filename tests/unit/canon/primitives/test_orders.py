"""Folds that compare: indices by sorting as the oracle (`CANON-9`)."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probatum.canon.primitives.judging import judge_element
from tests.unit.canon.primitives import oracle
from tests.unit.canon.primitives.cases import f32, judge_all, make_fetch, make_node, run

HOSTILE = st.sampled_from(
    f32("+0", "-0", "1", "-1", "inf", "-inf", "nan", "-nan", "tiny", "-tiny", "max")
)


def key(bits):
    value = oracle.read("float32", bits)
    return (1, 0.0) if math.isnan(value) else (0, value)


@given(bits=st.lists(HOSTILE, min_size=1, max_size=9))
def test_arguments(bits):
    operand = ("float32", (len(bits),), bits)
    keys = [key(one) for one in bits]
    last = len(bits) - 1
    for operator, best in (("ArgMax", max(keys)), ("ArgMin", min(keys))):
        assert run(operator, operand, select_last=0) == [keys.index(best)]
        assert run(operator, operand, select_last=1) == [last - keys[::-1].index(best)]


@pytest.mark.parametrize("select_last", [0, 1])
def test_arguments_over_many_blocks(select_last):
    bits = [7] * 3000
    assert run("ArgMax", ("uint8", (3000,), bits), select_last=select_last) == [2999 * select_last]
    bits[1500] = 9
    assert run("ArgMax", ("uint8", (3000,), bits), select_last=select_last) == [1500]
    assert run("ArgMin", ("int8", (3000,), [*bits[:1499], 0x80, *bits[1500:]]),
               select_last=select_last) == [1499]  # fmt: skip


@given(bits=st.lists(HOSTILE, min_size=1, max_size=9), largest=st.integers(0, 1))
def test_a_claimed_rank_is_right_iff_as_many_come_before(bits, largest):
    count = len(bits)
    node = make_node("TopK", [("float32", (1, count))], k=count, largest=largest)
    order = sorted(range(count), key=lambda at: key(bits[at]), reverse=bool(largest))
    if largest:  # a reversed sort keeps ties in order
        order = sorted(range(count), key=lambda at: (tuple(-x for x in key(bits[at])), at))
    assert judge_all(node, bits, claims=order) == order
    fetch = make_fetch(node, [bits])
    for rank in range(count):
        for claim in (*range(count), count, (1 << 64) - 1, 1 << 63):
            judged = judge_element(node, rank, fetch, claim)
            assert (judged == claim) == (claim == order[rank])


def test_ranks_over_many_blocks():
    generator = random.Random(1)
    bits = [generator.randrange(200) for _ in range(2 * 2500)]
    node = make_node("TopK", [("uint8", (2, 2500))], k=3, largest=0)
    claims = [
        at
        for row in (bits[:2500], bits[2500:])
        for at in sorted(range(2500), key=lambda at, row=row: (row[at], at))[:3]
    ]
    assert judge_all(node, bits, claims=claims) == claims
