import pytest

from probatum.errors import Fault, Misuse, Refusal
from probatum.ledger.buckets import encode_bucket, get_bits, make_leaf, split_bucket
from probatum.ledger.pages import (
    PAGE_REF,
    count_shared,
    encode_page,
    get_level,
    get_nibble,
    is_bucket,
    split_page,
)
from probatum.ledger.statemap import EMPTY_ROOT, MemoryNodeStore, MerkleMap
from probatum.protocol import limits
from probatum.protocol.hashing import sha256
from probatum.protocol.mapproof import (
    EMPTY_MAP_ROOT,
    check_state_proof,
    compute_inner,
    compute_leaf,
)


def commit(store, tree, changes):
    update = tree.update(changes)
    store.commit(update)
    return MerkleMap(store, update.root)


def numbered(count):
    return {b"key/%d" % number: b"value %d" % number for number in range(count)}


def turned(count):
    return {b"key/%d" % turn: b"turn" for turn in range(count)}


def test_the_empty_map():
    tree = MerkleMap(MemoryNodeStore())
    assert tree.root == EMPTY_ROOT
    assert check_state_proof(EMPTY_MAP_ROOT, b"key", tree.prove(b"key", None)) is None
    assert list(tree.iterate()) == []
    assert tree.update({b"absent": None}).root.digest == EMPTY_MAP_ROOT


def test_two_keys_hash_as_written():
    store = MemoryNodeStore()
    tree = commit(store, MerkleMap(store), {b"a": b"1", b"b": b"2"})
    # SHA-256 of "a" begins 1100…, of "b" 0011…: they part at bit 0.
    assert (sha256(b"a")[0] >> 4, sha256(b"b")[0] >> 4) == (0b1100, 0b0011)
    left = compute_leaf(sha256(b"b"), sha256(b"2"))
    right = compute_leaf(sha256(b"a"), sha256(b"1"))
    assert tree.root.digest == compute_inner(0, left, right)


def test_a_block_touches_the_root_once():
    store = MemoryNodeStore()
    tree = commit(store, MerkleMap(store), numbered(1000))
    update = tree.update(dict.fromkeys(list(numbered(1000))[:500], b"new"))
    stale = set(update.stale_nodes)
    assert len(stale) == len(update.stale_nodes)
    assert tree.root.node_id in stale
    assert not stale & set(update.new_nodes)


def test_nothing_changed_makes_no_nodes():
    store = MemoryNodeStore()
    tree = commit(store, MerkleMap(store), numbered(100))
    update = tree.update(numbered(100) | {b"absent": None})
    assert update.new_nodes == {}
    assert update.stale_nodes == ()
    assert update.root.digest == tree.root.digest
    assert update.root.version == tree.root.version + 1


def test_the_last_two_roots_stay_provable():
    store = MemoryNodeStore()
    first = commit(store, MerkleMap(store), numbered(200))
    second = commit(store, first, {b"key/7": b"new", b"key/8": None, b"added": b"x"})
    for tree, values in (
        (first, {b"key/7": b"value 7", b"key/8": b"value 8", b"added": None}),
        (second, {b"key/7": b"new", b"key/8": None, b"added": b"x"}),
    ):
        for key, value in values.items():
            assert check_state_proof(tree.root.digest, key, tree.prove(key, value)) == value
    commit(store, second, {b"key/7": b"newer"})
    with pytest.raises(Fault) as caught:
        first.prove(b"key/7", b"value 7")
    assert caught.value.code == "statemap.missing-node"


def test_a_proof_of_one_root_is_refused_at_another():
    store = MemoryNodeStore()
    first = commit(store, MerkleMap(store), numbered(50))
    proof = first.prove(b"key/3", b"value 3")
    second = commit(store, first, {b"key/4": b"new"})
    with pytest.raises(Refusal) as caught:
        check_state_proof(second.root.digest, b"key/3", proof)
    assert caught.value.code == "mapproof.another-root"


def test_old_nodes_do_not_pile_up():
    store = MemoryNodeStore()
    tree = commit(store, MerkleMap(store), numbered(300))
    for turn in range(20):
        tree = commit(store, tree, {b"key/%d" % turn: b"turn", b"extra": b"%d" % turn})
    tree = commit(store, tree, {b"extra": None})
    tree = commit(store, tree, {})
    assert len(list(tree.iterate())) == 300
    fresh = MemoryNodeStore()
    commit(fresh, MerkleMap(fresh), numbered(300) | turned(20))
    assert len(store) == len(fresh)


def test_a_key_comes_back_after_its_removal():
    store = MemoryNodeStore()
    tree = commit(store, MerkleMap(store), {b"only": b"1"})
    tree = commit(store, tree, {b"only": None})
    assert tree.root.digest == EMPTY_MAP_ROOT
    tree = commit(store, tree, {b"only": b"1"})
    assert check_state_proof(tree.root.digest, b"only", tree.prove(b"only", b"1")) == b"1"
    tree = commit(store, tree, {b"other": b"2"})
    assert check_state_proof(tree.root.digest, b"only", tree.prove(b"only", b"1")) == b"1"


def test_sizes_are_the_callers_contract():
    tree = MerkleMap(MemoryNodeStore())
    for changes in (
        {b"": b"1"},
        {b"k" * (limits.STATE_KEY_BYTES + 1): b"1"},
        {b"k": bytes(limits.STATE_VALUE_BYTES + 1)},
    ):
        with pytest.raises(Misuse):
            tree.update(changes)


def test_a_lost_node_is_a_fault():
    store = MemoryNodeStore()
    tree = commit(store, MerkleMap(store), numbered(10))
    empty = MerkleMap(MemoryNodeStore(), tree.root)
    for call in (lambda: empty.prove(b"key/1", b"value 1"), lambda: empty.update({b"key/1": b"x"})):
        with pytest.raises(Fault) as caught:
            call()
        assert not caught.value.retryable


def test_records_that_the_tree_does_not_hold_are_a_fault():
    store = MemoryNodeStore()
    tree = commit(store, MerkleMap(store), numbered(20))
    for key, value in ((b"key/1", b"other"), (b"key/1", None), (b"absent", b"value 1")):
        with pytest.raises(Fault) as caught:
            tree.prove(key, value)
        assert caught.value.code == "statemap.other-value"


def test_pages_read_back_as_they_were_written():
    leaves = [make_leaf(sha256(b"%d" % n), sha256(b"v")) for n in range(40)]
    for filled in ([3], [0, 15], range(16), [1, 2, 3, 9]):
        slots = [None] * 16
        for nibble in filled:
            slots[nibble] = leaves[nibble] if nibble % 3 else bytes([nibble]) * PAGE_REF
        page, digest = encode_page(7, leaves[0], slots)
        assert split_page(page) == slots
        assert get_level(page) == 7
        assert len(digest) == 32
        assert not is_bucket(page)
    assert [get_nibble(b"\x12\xab", level) for level in range(4)] == [1, 2, 10, 11]
    assert count_shared(b"\x12" * 32, b"\x12" * 31 + b"\x13") == 63
    assert count_shared(b"\x12" * 32, b"\x12" * 32) == 64


def test_buckets_read_back_as_they_were_written():
    leaves = sorted(make_leaf(sha256(b"%d" % n), sha256(b"v")) for n in range(32))
    for count in (1, 2, 3, 32):
        page, digest = encode_bucket(leaves[:count])
        assert is_bucket(page)
        assert split_bucket(page) == leaves[:count]
        assert encode_bucket(leaves[:count], get_bits(page)) == (page, digest)
    one, other = (make_leaf(end.rjust(32, b"\0"), bytes(32)) for end in (b"\0", b"\1"))
    page, digest = encode_bucket([one, other])
    assert (get_bits(page), digest) == (b"\xff", compute_inner(255, one[64:], other[64:]))


def test_few_leaves_are_one_page():
    store = MemoryNodeStore()
    tree = commit(store, MerkleMap(store), numbered(32))
    assert len(store) == 1
    tree = commit(store, tree, {b"one": b"more"})
    assert len(store) > 1
    for key in sorted(numbered(30)):
        tree = commit(store, tree, {key: None})
    tree = commit(store, tree, {})
    assert len(store) == 1
    assert len(list(tree.iterate())) == 3
