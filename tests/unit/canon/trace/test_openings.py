"""Openings show what they say, and nothing else passes (`CANON-5`)."""

import random

import pytest

from probatum.canon.evaluate.openings import ChunkTree
from probatum.canon.trace import openings
from probatum.canon.trace.openings import Opening, check_chunks, check_opening
from probatum.canon.trace.tree import count_chunks
from probatum.errors import Refusal
from probatum.protocol.encoding import decode, encode

KEY = bytes(range(32))
LENGTHS = [0, 1, 1024, 1025, 2048, 3 * 1024, 5 * 1024 + 1, 7 * 1024, 300 * 1024 + 9]


@pytest.mark.parametrize("length", LENGTHS)
def test_every_chunk_can_be_opened(length):
    data = random.Random(length).randbytes(length)
    made = ChunkTree(KEY, data)
    for number in range(min(count_chunks(length), 9)):
        opening = made.open_chunks((number,))
        check_opening(made.root, KEY, length, number, opening.chunks[0], opening.path)
        assert opening.chunks[0] == data[number * 1024 : number * 1024 + 1024]


def test_chunks_opened_together_share_their_path():
    length = 1000 * 1024 + 3
    made = ChunkTree(KEY, random.Random(1).randbytes(length))
    chance = random.Random(2)
    for count in (1, 2, 16, 64):
        numbers = tuple(sorted(chance.sample(range(1001), count)))
        opening = made.open_chunks(numbers)
        check_chunks(made.root, KEY, length, numbers, opening)
        assert decode(Opening, encode(opening), limit_bytes=1 << 20) == opening
    neighbours = made.open_chunks((4, 5, 6, 7))
    assert len(neighbours.path) == len(made.open_chunks((4,)).path) - 2
    with pytest.raises(Refusal, match="1 to 64"):
        check_chunks(made.root, KEY, length, tuple(range(65)), made.open_chunks(tuple(range(65))))


def test_an_opening_of_another_form_is_refused():
    length = 5 * 1024 + 7
    made = ChunkTree(KEY, random.Random(3).randbytes(length))
    good = made.open_chunks((1, 5))
    check_chunks(made.root, KEY, length, (1, 5), good)
    (first, last), path = good.chunks, good.path
    for numbers, chunks, values in (
        ((), (), path),
        ((5, 1), (last, first), path),
        ((1, 1), (first, first), path),
        ((1, 6), (first, last), path),
        ((-1, 5), (first, last), path),
        ((1, 5), (first,), path),
        ((1, 5), (first, last + b"\x00"), path),
        ((1, 5), (first[:-1], last), path),
        ((1, 5), (first, last), path[:-1]),
        ((1, 5), (first, last), (*path, path[0])),
        ((1, 5), (first, last), (path[0][:-1], *path[1:])),
    ):
        with pytest.raises(Refusal) as caught:
            check_chunks(made.root, KEY, length, numbers, Opening(chunks=chunks, path=values))
        assert caught.value.code == "canon.bad-opening"
    for told in (-1, openings.TENSOR_BOUND):
        with pytest.raises(Refusal):
            check_chunks(made.root, KEY, told, (1, 5), good)


def test_runs_are_cut_out_of_opened_chunks():
    data = random.Random(4).randbytes(6000)
    numbers, chunks = (1, 2, 5), (data[1024:2048], data[2048:3072], data[5120:])
    for first, size in ((1024, 1), (1024, 2048), (2000, 100), (5999, 1), (5120, 880)):
        assert openings.cut_run(numbers, chunks, first, size) == data[first : first + size]
    for first, size in ((0, 1), (1000, 100), (3000, 100), (4096, 1), (5119, 2), (5999, 2)):
        assert openings.cut_run(numbers, chunks, first, size) is None
