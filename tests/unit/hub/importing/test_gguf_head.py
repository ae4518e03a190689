"""Hostile heads of GGUF files are refused before anything is made that is as large as they say."""

import random
import struct
import time

import pytest

from probatum.errors import Refusal
from probatum.hub.importing.gguf_file import read_gguf
from tests.unit.hub.importing.foreign_models import make_weights, write_gguf

HUGE = 1 << 60


def text(data):
    return struct.pack("<Q", len(data)) + data


def pair(kind, value):
    return text(b"key") + struct.pack("<I", kind) + value


@pytest.mark.parametrize(
    "value",
    [
        pair(9, struct.pack("<IQ", 0, HUGE)),
        pair(9, struct.pack("<IQ", 8, HUGE)),
        pair(9, struct.pack("<IQ", 9, 1) * 100_000),
        pair(9, struct.pack("<IQ", 0, 4_000_000) + bytes(4_000_000)),
        pair(9, struct.pack("<IQ", 0, 1_000) + bytes(10)),
        pair(8, struct.pack("<Q", HUGE)),
        pair(13, bytes(8)),
    ],
)
def test_values_that_nobody_could_hold_are_refused(tmp_path, value):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + value)
    start = time.monotonic()
    with pytest.raises(Refusal) as caught:
        read_gguf(path, top_k=4)
    assert caught.value.code == "import.unsupported-model"
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(("tensors", "pairs"), [(HUGE, 0), (0, HUGE)])
def test_counts_are_bounded(tmp_path, tensors, pairs):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, tensors, pairs))
    with pytest.raises(Refusal, match="counts"):
        read_gguf(path, top_k=4)


def test_damaged_heads_are_refused_or_read_and_nothing_else(tmp_path):
    data = write_gguf(tmp_path / "whole.gguf", make_weights()).read_bytes()
    path, rng = tmp_path / "m.gguf", random.Random(7)
    refused = 0
    codes = set()
    for _ in range(150):
        damaged = bytearray(data)
        at = rng.randrange(3_000)
        damaged[at : at + 8] = rng.choice([rng.randbytes(8), b"\xff" * 8, bytes(8)])
        path.write_bytes(damaged)
        try:
            read_gguf(path, top_k=4)
        except Refusal as refusal:
            codes.add(refusal.code)
            refused += 1
    assert refused > 50
    assert codes == {"import.unsupported-model"}
