"""Proofs made by hand, from the definition; the builder's own are in the ledger's tests."""

import pytest

from probatum.errors import Refusal
from probatum.protocol.hashing import sha256
from probatum.protocol.mapproof import (
    EMPTY_MAP_ROOT,
    StateProof,
    check_state_proof,
    compute_inner,
    compute_leaf,
)

# SHA-256 of "a" begins 1100, of "b" 0011, of "c" 0010, of "d" 0001.
HASHES = {key: sha256(key) for key in (b"a", b"b", b"c", b"d")}
LEAVES = {key: compute_leaf(digest, sha256(b"value of " + key)) for key, digest in HASHES.items()}
# A map of a, b, c: b and c part at bit 3, both part from a at bit 0.
LOW = compute_inner(3, LEAVES[b"c"], LEAVES[b"b"])
ROOT = compute_inner(0, LOW, LEAVES[b"a"])
PROOF = StateProof(
    key=b"b".hex(),
    value=b"value of b".hex(),
    steps=((0, LEAVES[b"a"].hex()), (3, LEAVES[b"c"].hex())),
)
# d takes the turns 0 (left) and then, at bit 3, right: its walk ends at b.
ABSENT = StateProof(
    key=b"d".hex(),
    other=(HASHES[b"b"].hex(), sha256(b"value of b").hex()),
    steps=PROOF.steps,
)


def code_of(root, key, proof):
    with pytest.raises(Refusal) as caught:
        check_state_proof(root, key, proof)
    return caught.value.code


def test_the_hashes_begin_as_said():
    heads = {key: digest[0] >> 4 for key, digest in HASHES.items()}
    assert heads == {b"a": 0b1100, b"b": 0b0011, b"c": 0b0010, b"d": 0b0001}


def test_present_and_absent_keys():
    assert check_state_proof(ROOT, b"b", PROOF) == b"value of b"
    assert check_state_proof(ROOT, b"d", ABSENT) is None
    assert check_state_proof(EMPTY_MAP_ROOT, b"d", StateProof(key=b"d".hex())) is None
    alone = compute_leaf(HASHES[b"a"], sha256(b""))
    assert check_state_proof(alone, b"a", StateProof(key=b"a".hex(), value="")) == b""


def test_another_key_or_root_is_refused():
    assert code_of(ROOT, b"c", PROOF) == "mapproof.another-key"
    assert code_of(LOW, b"b", PROOF) == "mapproof.another-root"
    assert code_of(ROOT, b"d", StateProof(key=b"d".hex())) == "mapproof.another-root"


def test_absence_by_anothers_walk_is_refused():
    # b is in the map; c's leaf is not on b's walk, which turns right at bit 3.
    forged = StateProof(
        key=b"b".hex(),
        other=(HASHES[b"c"].hex(), sha256(b"value of c").hex()),
        steps=((0, LEAVES[b"a"].hex()), (3, LEAVES[b"b"].hex())),
    )
    assert code_of(ROOT, b"b", forged) == "mapproof.another-path"


@pytest.mark.parametrize(
    "changes",
    [
        {"other": (HASHES[b"c"].hex(), "00" * 32)},
        {"value": None},
        {"value": None, "other": (HASHES[b"b"].hex(), "00" * 32)},
        {"steps": PROOF.steps[::-1]},
        {"steps": (PROOF.steps[0], PROOF.steps[0])},
        {"steps": ((256, "00" * 32),)},
        {"steps": ((-1, "00" * 32),)},
        {"steps": PROOF.steps * 200},
    ],
)
def test_malformed_proofs_are_refused(changes):
    fields = {"key": PROOF.key, "value": PROOF.value, "steps": PROOF.steps} | changes
    assert code_of(ROOT, b"b", StateProof(**fields)) == "mapproof.malformed"
