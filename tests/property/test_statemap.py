"""STATE-1: the map against a naive model, a dictionary and its root by the definition."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probatum.errors import Refusal
from probatum.ledger import statemap
from probatum.ledger.buckets import make_leaf
from probatum.ledger.pages import NODE_ID_BYTES, PAGE_REF, is_bucket, split_page
from probatum.ledger.statemap import MemoryNodeStore, MerkleMap
from probatum.protocol import limits
from probatum.protocol.encoding import decode_document, encode_document
from probatum.protocol.hashing import sha256
from probatum.protocol.mapproof import (
    EMPTY_MAP_ROOT,
    StateProof,
    check_state_proof,
    compute_inner,
    compute_leaf,
)

KEYS = st.integers(0, 60).map(lambda number: b"k%d" % number)
CHANGES = st.dictionaries(KEYS, st.none() | st.binary(max_size=4), max_size=40)


@pytest.fixture(autouse=True, scope="module", params=[2, 32])
def bucket_leaves(request):
    """The same of trees of slots alone, and of all sizes of buckets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statemap, "BUCKET_LEAVES", request.param)
        yield


def define_tree(leaves):
    """Root by the definition: split at the first bit in which key hashes differ."""

    def build(leaves, bit):
        if len(leaves) == 1:
            return compute_leaf(*leaves[0])
        halves = [], []
        for leaf in leaves:
            halves[int.from_bytes(leaf[0], "big") >> (255 - bit) & 1].append(leaf)
        if not all(halves):
            return build(leaves, bit + 1)
        return compute_inner(bit, build(halves[0], bit + 1), build(halves[1], bit + 1))

    return build(leaves, 0) if leaves else EMPTY_MAP_ROOT


def define_root(model):
    return define_tree([(sha256(key), sha256(value)) for key, value in model.items()])


@settings(max_examples=80, deadline=None)
@given(st.lists(CHANGES, max_size=8))
def test_map_and_model_agree(blocks):
    store, model = MemoryNodeStore(), {}
    tree = MerkleMap(store)
    for changes in blocks:
        before, old_model = tree, dict(model)
        update = tree.update(changes)
        store.commit(update)
        tree = MerkleMap(store, update.root)
        for key, value in changes.items():
            if value is None:
                model.pop(key, None)
            else:
                model[key] = value
        assert tree.root.digest == define_root(model)
        hashes = {sha256(key): sha256(value) for key, value in model.items()}
        assert list(tree.iterate()) == sorted(hashes.items())
        for number in range(0, 61, 5):
            key = b"k%d" % number
            for version, state in ((tree, model), (before, old_model)):
                proof = version.prove(key, state.get(key))
                travelled = decode_document(
                    StateProof, encode_document(proof), limit_bytes=limits.BUNDLE_BYTES
                )
                assert travelled == proof
                assert check_state_proof(version.root.digest, key, proof) == state.get(key)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(KEYS, st.binary(max_size=4)), CHANGES)
def test_undoing_changes_restores_the_root(model, changes):
    store = MemoryNodeStore()
    roots = []
    for block in (model, changes, {key: model.get(key) for key in changes}):
        tree = MerkleMap(store, roots[-1]) if roots else MerkleMap(store)
        update = tree.update(block)
        store.commit(update)
        roots.append(update.root)
    assert roots[2].digest == roots[0].digest


@settings(max_examples=100, deadline=None)
@given(st.sets(st.integers(0, 40), min_size=1), st.integers(0, 60), st.data())
def test_altered_proofs_are_refused(numbers, asked, data):
    store = MemoryNodeStore()
    update = MerkleMap(store).update({b"k%d" % number: b"v%d" % number for number in numbers})
    store.commit(update)
    tree, key = MerkleMap(store, update.root), b"k%d" % asked
    root, proof = update.root.digest, tree.prove(key, b"v%d" % asked if asked in numbers else None)
    altered = [
        msgspec.structs.replace(proof, value="ff", other=None),
        msgspec.structs.replace(proof, value=None, other=("11" * 32, "22" * 32)),
        msgspec.structs.replace(proof, value=None, other=None, steps=()),
        msgspec.structs.replace(proof, value=None, other=(sha256(key).hex(), "22" * 32)),
        msgspec.structs.replace(proof, key=b"another".hex()),
        msgspec.structs.replace(proof, steps=(*proof.steps, (255, "00" * 32))),
    ]
    if proof.steps:
        place = data.draw(st.integers(0, len(proof.steps) - 1))
        index, sibling = proof.steps[place]
        for step in ((index, sha256(sibling.encode()).hex()), ((index + 1) % 256, sibling)):
            steps = (*proof.steps[:place], step, *proof.steps[place + 1 :])
            altered.append(msgspec.structs.replace(proof, steps=steps))
        altered.append(msgspec.structs.replace(proof, steps=proof.steps[1:]))
    for claim in altered:
        with pytest.raises(Refusal):
            check_state_proof(root, key, claim)


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 40), min_size=2), st.data())
def test_a_present_key_cannot_be_shown_absent(numbers, data):
    """Every true walk of another key, offered as the end of a present key's walk, is refused."""
    store = MemoryNodeStore()
    update = MerkleMap(store).update({b"k%d" % number: b"v" for number in numbers})
    store.commit(update)
    tree = MerkleMap(store, update.root)
    victim, other = data.draw(st.permutations(sorted(numbers)))[:2]
    proof = tree.prove(b"k%d" % other, b"v")
    forged = StateProof(
        key=(b"k%d" % victim).hex(),
        other=(sha256(b"k%d" % other).hex(), sha256(b"v").hex()),
        steps=proof.steps,
    )
    with pytest.raises(Refusal) as caught:
        check_state_proof(update.root.digest, b"k%d" % victim, forged)
    assert caught.value.code == "mapproof.another-path"


@given(st.binary(max_size=400))
def test_loose_bytes_are_refused(data):
    with pytest.raises(Refusal):
        decode_document(StateProof, data, limit_bytes=300)


@given(
    st.binary(min_size=1, max_size=8),
    st.none() | st.text(max_size=8),
    st.none() | st.tuples(st.text(max_size=66), st.text(max_size=66)),
    st.lists(st.tuples(st.integers(-5, 300), st.text(max_size=66)), max_size=4).map(tuple),
)
def test_loose_fields_are_refused(key, value, other, steps):
    """Also where a proof did not come from the strict decoder."""
    proof = StateProof(key=key.hex(), value=value, other=other, steps=steps)
    with pytest.raises(Refusal):
        check_state_proof(bytes(31) + b"\1", key, proof)


NEAR = st.tuples(st.integers(0, 3), st.integers(0, 6), st.integers(0, 3)).map(
    lambda parts: bytes([parts[0] << 6]) + bytes(parts[1]) + bytes([parts[2] << 2]) + bytes(32)
)
"""Key hashes that share long beginnings, as no two real keys do."""


def list_reached(store, root):
    """List the ids of all pages that a root reaches."""
    found, waiting = set(), [root.node_id] if root.node_id else []
    while waiting:
        node_id = waiting.pop()
        found.add(node_id)
        page = store.get(node_id)
        if not is_bucket(page):
            refs = [ref for ref in split_page(page) if ref is not None and len(ref) == PAGE_REF]
            waiting += [ref[:NODE_ID_BYTES] for ref in refs]
    return found


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.dictionaries(NEAR.map(lambda text: text[:32]), st.none() | st.binary(max_size=1)),
        min_size=1,
        max_size=6,
    )
)
def test_hashes_that_share_long_beginnings_make_the_defined_tree(blocks):
    store, model, root = MemoryNodeStore(), {}, statemap.EMPTY_ROOT
    for changes in blocks:
        rows = [
            (key, None if value is None else make_leaf(key, sha256(value)))
            for key, value in sorted(changes.items())
        ]
        update = statemap._Applier(store, root.version + 1).run(root, rows)
        before = list_reached(store, root)
        store.commit(update)
        root = update.root
        reached = list_reached(store, root)
        assert sorted(update.stale_nodes) == sorted(before - reached)
        assert set(update.new_nodes) == reached - before
        assert len(store) == len(before | reached)
        for key, value in changes.items():
            if value is None:
                model.pop(key, None)
            else:
                model[key] = sha256(value)
        assert root.digest == define_tree(sorted(model.items()))
        assert list(MerkleMap(store, root).iterate()) == sorted(model.items())
