"""BLAKE3 in plain Python against its official vectors and the library (`CANON-5`)."""

import random

import pytest
from blake3 import blake3

from probatum.canon.trace.compression import (
    CHUNK_BYTES,
    compute_chunk_value,
    compute_parent_value,
)

KEY = b"whats the Elvish word for friend"
OFFICIAL = {
    0: "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26",
    1: "6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b",
    1023: "c951ecdf03288d0fcc96ee3413563d8a6d3589547f2c2fb36d9786470f1b9d6e",
    1024: "75c46f6f3d9eb4f55ecaaee480db732e6c2105546f1e675003687c31719c7ba4",
    1025: "357dc55de0c7e382c900fd6e320acc04146be01db6a8ce7210b7189bd664ea69",
    2048: "879cf1fa2ea0e79126cb1063617a05b6ad9d0b696d0d757cf053439f60a99dd1",
    2049: "9f29700902f7c86e514ddc4df1e3049f258b2472b6dd5267f61bf13983b78dd5",
    3072: "044a0e7b172a312dc02a4c9a818c036ffa2776368d7f528268d2e6b5df191770",
    3073: "68dede9bef00ba89e43f31a6825f4cf433389fedae75c04ee9f0cf16a427c95a",
    4096: "befc660aea2f1718884cd8deb9902811d332f4fc4a38cf7c7300d597a081bfc0",
    5121: "6ccf1c34753e7a044db80798ecd0782a8f76f33563accaddbfbb2e0ea4b2d024",
    7169: "ed9b1a922c046fdb3d423ae34e143b05ca1bf28b710432857bf738bcedbfa511",
}
"""First 32 bytes of `keyed_hash` in BLAKE3's test_vectors.json, by length of input."""


def compute_hash(key, data):
    """Hash a message by nothing but the two functions under test."""
    chunks = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)] or [b""]
    if len(chunks) == 1:
        return compute_chunk_value(key, chunks[0], 0, is_root=True)
    values = [compute_chunk_value(key, chunk, number) for number, chunk in enumerate(chunks)]
    while len(values) > 1:
        pairs = [values[at : at + 2] for at in range(0, len(values), 2)]
        root = len(values) == 2
        values = [
            compute_parent_value(key, *pair, is_root=root) if len(pair) == 2 else pair[0]
            for pair in pairs
        ]
    return values[0]


@pytest.mark.parametrize("length", OFFICIAL)
def test_official_vectors(length):
    data = bytes(number % 251 for number in range(length))
    assert compute_hash(KEY, data).hex() == OFFICIAL[length]
    assert blake3(data, key=KEY).hexdigest() == OFFICIAL[length]


def test_any_message_and_key():
    chance = random.Random(1)
    for length in (2, 63, 64, 65, 127, 128, 129, 960, 961, 6144, 31744, 102400):
        key, data = chance.randbytes(32), chance.randbytes(length)
        assert compute_hash(key, data) == blake3(data, key=key).digest()


def test_large_chunk_numbers_enter():
    values = {
        compute_chunk_value(KEY, b"x", number) for number in (0, 1, 1 << 31, 1 << 32, 1 << 53)
    }
    assert len(values) == 5
