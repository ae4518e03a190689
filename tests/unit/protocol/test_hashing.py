import hashlib
import importlib.util
import random
import sys

import pytest

from probatum.protocol import hashing
from probatum.protocol.hashing import hash_tagged, keccak256, sha256


@pytest.mark.parametrize(
    ("data", "digest"),
    [
        # Ethereum's well-known values: the hash of nothing, and a function selector's preimage.
        (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (b"abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
    ],
)
def test_keccak_is_ethereums(data, digest):
    assert keccak256(data).hex() == digest


def test_clients_and_parties_hash_alike(monkeypatch):
    # Clients have another library for it, see `hashing`.
    monkeypatch.setitem(sys.modules, "sha3", None)
    spec = importlib.util.spec_from_file_location("hashing_of_clients", hashing.__file__)
    clients = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(clients)
    assert clients.keccak_256.__module__ == "hashing_of_clients"
    assert not sys.platform.startswith("linux") or hashing.keccak_256.__module__ == "_pysha3"
    chance = random.Random(1)
    for size in (*range(300), 1_000, 100_000):
        data = chance.randbytes(size)
        assert clients.keccak256(data) == keccak256(data)


def test_sha256_vector():
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(b"abc").hex() == expected


def test_tagged_preimage_is_as_written():
    preimage = b"\0" * 7 + b"\x05tag/1" + b"\0" * 8 + b"\0" * 7 + b"\x02ab"
    assert hash_tagged("tag/1", b"", b"ab") == hashlib.sha256(preimage).digest()


def test_tagged_hash_separates_splits_and_tags():
    seen = {
        hash_tagged("t/1", b"ab"),
        hash_tagged("t/1", b"a", b"b"),
        hash_tagged("t/1", b"", b"ab"),
        hash_tagged("t/1", b"ab", b""),
        hash_tagged("t/2", b"ab"),
    }
    assert len(seen) == 5
