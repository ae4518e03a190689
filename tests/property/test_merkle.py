"""Trees against the recursive definitions of RFC 6962 (LOG-1)."""

import hashlib

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from probatum.errors import Refusal
from probatum.protocol import merkle

LOG = merkle.MerkleLog()
LEAVES = [merkle.leaf_hash(number.to_bytes(4, "big")) for number in range(600)]
for leaf in LEAVES:
    LOG.append(leaf)


def define_root(leaves):
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while 2 * half < len(leaves):
        half *= 2
    return hashlib.sha256(
        b"\x01" + define_root(leaves[:half]) + define_root(leaves[half:])
    ).digest()


@st.composite
def two_sizes(draw):
    size = draw(st.integers(1, 600))
    return draw(st.integers(0, size)), size


@settings(max_examples=50)
@given(st.integers(1, 600))
def test_roots_are_as_defined(size):
    assert LOG.root(size) == define_root(LEAVES[:size]) == merkle.compute_root(LEAVES[:size])


@given(two_sizes())
def test_consistency_proofs_verify(sizes):
    old, size = sizes
    merkle.check_consistency(
        old, LOG.root(old), size, LOG.root(size), LOG.consistency_proof(old, size)
    )


@given(two_sizes(), st.data())
def test_altered_consistency_proofs_do_not(sizes, data):
    old, size = sizes
    proof = LOG.consistency_proof(old, size)
    if proof:
        altered = list(proof)
        place = data.draw(st.integers(0, len(proof) - 1))
        altered[place] = hashlib.sha256(altered[place]).digest()
        with pytest.raises(Refusal):
            merkle.check_consistency(old, LOG.root(old), size, LOG.root(size), altered)
    with pytest.raises(Refusal):
        merkle.check_consistency(old, bytes(32), size, LOG.root(size), proof)
    with pytest.raises(Refusal):
        merkle.check_consistency(old, LOG.root(old), size, LOG.root(size), (*proof, bytes(32)))


@given(two_sizes(), st.data())
def test_inclusion_proofs_verify_and_altered_ones_do_not(sizes, data):
    index, size = sizes
    if index == size:
        index -= 1
    proof, root = LOG.inclusion_proof(index, size), LOG.root(size)
    merkle.check_inclusion(LEAVES[index], index, size, proof, root)
    other = data.draw(st.integers(0, size).filter(lambda number: number != index))
    for wrong in (
        (LEAVES[index], other, size, proof, root),
        (LEAVES[(index + 1) % 600], index, size, proof, root),
        (LEAVES[index], index, size, (*proof, bytes(32)), root),
        (LEAVES[index], index, size, proof[1:], root if proof else bytes(32)),
        (LEAVES[index], index, size, proof, bytes(32)),
    ):
        with pytest.raises(Refusal):
            merkle.check_inclusion(*wrong)
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        altered = [*proof[:place], hashlib.sha256(proof[place]).digest(), *proof[place + 1 :]]
        with pytest.raises(Refusal):
            merkle.check_inclusion(LEAVES[index], index, size, altered, root)


@given(
    st.binary(max_size=33),
    st.integers(-2, 2**64),
    st.integers(-2, 2**64),
    st.lists(st.binary(min_size=31, max_size=32), max_size=70),
    st.binary(min_size=32, max_size=32),
)
def test_loose_proofs_are_refused(leaf, index, size, proof, root):
    # A tree of one entry has the leaf's hash as its root, truly.
    assume(leaf != root)
    with pytest.raises(Refusal):
        merkle.check_inclusion(leaf, index, size, proof, root)
    with pytest.raises(Refusal):
        merkle.check_consistency(index, root, size, bytes([root[0] ^ 1]) + root[1:], proof)
