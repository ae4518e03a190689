"""Judging counts and checks every read; blocks join to the element (`CANON-3`, `CANON-9`)."""

import random
from functools import reduce

import pytest

from probatum.canon.graph.binding import BoundNode
from probatum.canon.primitives import judging
from probatum.canon.primitives.bounds import bound_opening
from probatum.canon.primitives.interface import DIRECT_READS, PARTIAL_BYTES, Read
from probatum.canon.primitives.judging import (
    combine_partials,
    count_blocks,
    judge_block,
    judge_element,
    judge_finish,
    list_reads,
)
from probatum.errors import Misuse, Refusal
from tests.unit.canon.primitives.cases import f32, make_fetch, make_node

SUM = make_node("ReduceSum", [("float32", (2, 3000))])


def test_blocks_join_to_the_element():
    generator = random.Random(3)
    bits = [generator.getrandbits(31) % 0x7F000000 for _ in range(6000)]
    fetch = make_fetch(SUM, [bits])
    partials = [judge_block(SUM, 1, block, fetch) for block in range(count_blocks(SUM))]
    assert len(partials) == 3
    left = combine_partials(SUM, combine_partials(SUM, partials[0], partials[1]), partials[2])
    right = combine_partials(SUM, partials[0], combine_partials(SUM, partials[1], partials[2]))
    assert left == right == reduce(lambda one, two: combine_partials(SUM, one, two), partials)
    assert judge_finish(SUM, 1, left, fetch) == judge_element(SUM, 1, fetch)


def test_what_is_read_is_listed():
    node = make_node("Gather", [("int8", (4,)), ("int64", (2,))], axis=0)
    fetch = make_fetch(node, [[1, 2, 3, 4], [0, (1 << 64) - 1]])
    assert list_reads(node, 1, fetch) == (Read(1, 1), Read(0, 3))
    fetch = make_fetch(SUM, [[0] * 6000])
    assert list_reads(SUM, 1, fetch, block=2) == (Read(0, 5048, 952),)


def test_only_what_is_there_is_judged():
    fetch = make_fetch(SUM, [[0] * 6000])
    for element in (-1, 2):
        with pytest.raises(Refusal, match=r"canon\.no-such-element"):
            judge_element(SUM, element, fetch)
        with pytest.raises(Refusal, match=r"canon\.no-such-element"):
            judge_finish(SUM, element, b"\x00", fetch)
    for block in (-1, 3):
        with pytest.raises(Refusal, match=r"canon\.no-such-block"):
            judge_block(SUM, 0, block, fetch)
    direct = make_node("Neg", [("int8", (1,))])
    with pytest.raises(Refusal, match=r"canon\.no-such-element"):
        judge_element(direct, 1, lambda _: [0])
    with pytest.raises(Misuse, match=r"canon\.not-a-fold"):
        count_blocks(direct)
    odd = BoundNode(
        operator="Odd", version=1, attributes={}, reads=(), inputs=(), output=direct.output
    )
    with pytest.raises(Refusal, match=r"canon\.unknown-operator"):
        judge_element(odd, 0, fetch)


def test_partials_are_bounded_before_they_are_read():
    for call in (
        lambda partial: combine_partials(SUM, partial, b"\x00"),
        lambda partial: judge_finish(SUM, 0, partial, lambda _: []),
    ):
        with pytest.raises(Refusal, match=r"canon\.bad-partial"):
            call(b"\x00" + b"\x01" * PARTIAL_BYTES)


@pytest.mark.parametrize("answer", [[], [1, 2], [256], [-1]])
def test_a_read_is_answered_with_its_elements(answer):
    node = make_node("Neg", [("int8", (1,))])
    with pytest.raises(Misuse, match=r"canon\.bad-fetch"):
        judge_element(node, 0, lambda _: answer)


class Greedy:
    """A direct primitive that breaks its contract."""

    operator, version = "Greedy", 1

    def __init__(self, read):
        self.read = read

    def judge(self, node, element):
        (bits, *_) = yield (self.read,)
        return bits


@pytest.mark.parametrize(
    ("read", "code"),
    [
        (Read(0, 0, DIRECT_READS + 1), r"canon\.too-many-reads"),
        (Read(0, 99, 2), r"canon\.bad-read"),
        (Read(0, -1), r"canon\.bad-read"),
        (Read(0, 0, 0), r"canon\.bad-read"),
    ],
)
def test_a_primitive_that_reads_too_much_is_stopped(monkeypatch, read, code):
    monkeypatch.setattr(judging, "get_primitive", lambda *_: Greedy(read))
    node = make_node("Neg", [("int8", (100,))])
    with pytest.raises(Misuse, match=code):
        judge_element(node, 0, lambda read: [0] * read.length)


def test_a_stage_of_sixteen_reads_is_admitted(monkeypatch):
    monkeypatch.setattr(judging, "get_primitive", lambda *_: Greedy(Read(0, 0, DIRECT_READS)))
    assert judge_element(make_node("Neg", [("int8", (100,))]), 0, lambda r: [5] * r.length) == 5


def test_openings_are_bounded():
    small = make_node("Add", [("float32", (4,)), ("float32", ())])
    assert bound_opening(small) == 3 * (1024 + 3 + 8)
    dot = make_node("Dot", [("float32", (1, 1 << 20)), ("float32", (1, 1 << 20))])
    # 4 KiB of each at any place: 5 chunks, and two paths of 12 values.
    row = 5 * 1027 + 2 * 12 * 34 + 8
    assert bound_opening(dot) == 2 * row + 1027 + 8


@pytest.mark.parametrize("seed", range(6))
def test_no_element_opens_more_than_the_bound(seed):
    """Chunks that a random convolution's blocks touch, against the bound."""
    generator = random.Random(seed)
    group = generator.choice([1, 2, 8])
    node = make_node(
        "Conv",
        [("float32", (1, 20, 20, 8 * group)), ("float32", (group, 3, 5, 8))],
        group=group,
        strides=(1, 2),
        pads_begin=(1, 1),
        pads_end=(2, 1),
        dilations=(generator.choice([1, 2]), generator.choice([1, 3])),
    )
    zeros = [[0] * one.count for one in node.inputs]
    bound = bound_opening(node)
    for _ in range(20):
        reads = list_reads(
            node, generator.randrange(node.output.count), make_fetch(node, zeros), block=0
        )
        chunks = {
            (read.source, at * 4 // 1024)
            for read in reads
            for at in range(read.first, read.first + read.length)
        }
        assert len(chunks) * 1027 <= bound


def test_a_dot_of_special_values_reads_two_runs():
    node = make_node("Dot", [("float32", (1, 4)), ("float32", (1, 4))])
    row = f32("inf", "1", "+0", "-nan")
    assert len(list_reads(node, 0, make_fetch(node, [row, row]), block=0)) == 2
