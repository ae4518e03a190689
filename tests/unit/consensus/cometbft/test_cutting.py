"""A state in parts: they have its root, and each chunk has its part's (`SNAP-1`)."""

import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probatum.consensus.cometbft.cutting import Part, compute_state_root, cut_parts, open_chunk
from probatum.errors import Refusal
from probatum.ledger.statemap import MemoryNodeStore, MerkleMap
from probatum.protocol.mapproof import EMPTY_MAP_ROOT


def make_records(count, seed=0):
    dice = random.Random(seed)
    return {b"k/%d" % n: dice.randbytes(dice.randrange(60)) for n in range(count)}


def compute_root(records):
    return MerkleMap(MemoryNodeStore()).update(records).root.digest


def cut(records, **said):
    return list(cut_parts(records.items, **said))


def refuse(call, *arguments):
    with pytest.raises(Refusal) as caught:
        call(*arguments)
    return caught.value.code


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 200),
    seed=st.integers(0, 2**32),
    chunk_bytes=st.sampled_from([1, 100, 1_000, 1 << 20]),
    at_once_bytes=st.sampled_from([0, 500, 1 << 20]),
)
def test_parts_have_the_states_root_and_chunks_their_parts(count, seed, chunk_bytes, at_once_bytes):
    records = make_records(count, seed)
    found = cut(records, chunk_bytes=chunk_bytes, at_once_bytes=at_once_bytes)
    assert compute_state_root(part for part, _ in found) == compute_root(records)
    held = {}
    for part, chunk in found:
        if part.is_empty:
            assert chunk == b""
            continue
        inside = open_chunk(part, chunk)
        hashes = {hashlib.sha256(one.key).digest() for one in inside}
        assert len({int.from_bytes(one, "big") >> (256 - part.bits) for one in hashes}) == 1
        assert len(inside) == 1 or sum(len(r.key) + len(r.value) for r in inside) <= chunk_bytes
        held |= {one.key: one.value for one in inside}
    assert held == records


def test_how_much_is_held_at_once_changes_no_chunk_that_must_be_small_anyhow():
    records = make_records(300)
    wanted = cut(records, chunk_bytes=200)
    assert cut(dict(reversed(records.items())), chunk_bytes=200) == wanted
    assert len(wanted) > 30


def test_any_other_list_of_parts_is_another_state():
    parts = [part for part, _ in cut(make_records(40), chunk_bytes=200)]
    root = compute_state_root(parts)
    full = [number for number, part in enumerate(parts) if not part.is_empty]
    one, other = full[0], full[-1]
    swapped = list(parts)
    swapped[one], swapped[other] = (
        Part(bits=parts[one].bits, root=parts[other].root),
        Part(bits=parts[other].bits, root=parts[one].root),
    )
    emptied = [*parts]
    emptied[one] = Part(bits=parts[one].bits, root=EMPTY_MAP_ROOT)
    for odd in (swapped, emptied):
        assert compute_state_root(odd) != root
    for odd in ([], parts[1:], parts[:-1], [*parts, parts[0]], [parts[0], *parts]):
        assert refuse(compute_state_root, odd) == "snapshot.bad-parts"
    half = Part(bits=1, root=root)
    assert refuse(compute_state_root, [half]) == "snapshot.bad-parts"
    whole = Part(bits=0, root=root)
    assert compute_state_root([whole]) == root
    assert refuse(compute_state_root, [whole, whole]) == "snapshot.bad-parts"
    assert refuse(compute_state_root, [half, whole]) == "snapshot.bad-parts"


def test_any_other_chunk_is_refused():
    found = [(part, chunk) for part, chunk in cut(make_records(40), chunk_bytes=200) if chunk]
    (part, chunk), (_, another) = found[:2]
    for bad in (b"", another, chunk[:-1], chunk + b"\x00", b"\x91\x90", b"\xff" * 9_000_000):
        assert refuse(open_chunk, part, bad) == "snapshot.other-chunk"
    for place in range(len(chunk)):
        torn = chunk[:place] + bytes((chunk[place] ^ 1,)) + chunk[place + 1 :]
        assert refuse(open_chunk, part, torn) == "snapshot.other-chunk"


def test_keys_that_were_ground_to_meet_are_parted_all_the_same():
    """Somebody finds many keys whose hashes begin alike: their part is cut once more, and more."""
    wanted = hashlib.sha256(b"k/0").digest()[:1]
    keys = (b"k/%d" % n for n in range(100_000))
    alike = [key for key in keys if hashlib.sha256(key).digest()[:1] == wanted][:200]
    records = dict.fromkeys(alike, b"x" * 50)
    found = cut(records, chunk_bytes=500, at_once_bytes=1_000)
    assert compute_state_root(part for part, _ in found) == compute_root(records)
    assert max(len(chunk) for _, chunk in found) < 1_000
