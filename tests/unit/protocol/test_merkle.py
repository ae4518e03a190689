import pytest

from probatum.errors import Misuse, Refusal
from probatum.protocol import merkle

# The inputs and roots of Certificate Transparency's own tests of RFC 6962 trees.
ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def log_of(entries):
    log = merkle.MerkleLog()
    for entry in entries:
        log.append(merkle.leaf_hash(entry))
    return log


def code_of(function, *args):
    with pytest.raises(Refusal) as caught:
        function(*args)
    return caught.value.code


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size):
    leaves = [merkle.leaf_hash(entry) for entry in ENTRIES]
    assert merkle.compute_root(leaves[:size]).hex() == ROOTS[size]
    assert log_of(ENTRIES).root(size).hex() == ROOTS[size]


def test_published_inclusion_proof():
    # Certificate Transparency's example: leaf 5 in the tree of 8.
    assert [item.hex() for item in log_of(ENTRIES).inclusion_proof(5, 8)] == [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


def test_published_consistency_proof():
    # Ditto: from 6 to 8.
    assert [item.hex() for item in log_of(ENTRIES).consistency_proof(6, 8)] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


def test_append_returns_the_index():
    log = merkle.MerkleLog()
    assert [log.append(merkle.leaf_hash(b"x")) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert len(log) == 5


def test_ranges_are_refused():
    log = log_of(ENTRIES)
    assert code_of(log.inclusion_proof, 8, 8) == "merkle.bad-range"
    assert code_of(log.inclusion_proof, -1, 8) == "merkle.bad-range"
    assert code_of(log.inclusion_proof, 0, 9) == "merkle.bad-range"
    assert code_of(log.consistency_proof, 9, 8) == "merkle.bad-range"
    assert code_of(log.root, 9) == "merkle.bad-range"
    assert code_of(merkle.check_inclusion, b"", 0, 0, (), b"") == "merkle.bad-range"
    assert code_of(merkle.check_inclusion, b"", 0, 1 << 63, (), b"") == "merkle.bad-range"
    assert code_of(merkle.check_consistency, 2, b"", 1, b"", ()) == "merkle.bad-range"


def test_proofs_of_bad_form_are_refused():
    log, leaf = log_of(ENTRIES), merkle.leaf_hash(ENTRIES[2])
    proof, root = log.inclusion_proof(2, 8), log.root()
    check = merkle.check_inclusion
    assert code_of(check, leaf, 2, 8, proof[:-1], root) == "merkle.bad-proof"
    assert code_of(check, leaf, 2, 8, (*proof, root), root) == "merkle.bad-proof"
    assert code_of(check, leaf, 2, 8, (proof[0][:31], *proof[1:]), root) == "merkle.bad-proof"
    assert code_of(check, leaf, 2, 8, proof * 30, root) == "merkle.proof-too-long"
    assert code_of(check, leaf, 3, 8, proof, root) == "merkle.not-included"
    assert code_of(check, leaf + b"x", 2, 8, proof, root) == "merkle.bad-proof"


def test_consistency_with_nothing_and_with_itself():
    log = log_of(ENTRIES)
    root = log.root()
    check = merkle.check_consistency
    check(0, merkle.EMPTY_ROOT, 8, root, ())
    check(0, merkle.EMPTY_ROOT, 0, merkle.EMPTY_ROOT, ())
    check(8, root, 8, root, ())
    assert code_of(check, 0, root, 8, root, ()) == "merkle.not-consistent"
    assert code_of(check, 8, log.root(7), 8, root, ()) == "merkle.not-consistent"
    assert code_of(check, 0, merkle.EMPTY_ROOT, 0, root, ()) == "merkle.not-consistent"
    assert code_of(check, 8, root, 8, root, (root,)) == "merkle.bad-proof"
    assert code_of(check, 4, log.root(4), 8, root, ()) == "merkle.bad-proof"
    assert code_of(check, 3, log.root(3), 8, root, ()) == "merkle.bad-proof"


def test_missing_subtrees_are_a_misuse():
    log = log_of(ENTRIES[:3])
    assert log.get_hashes(0, 1, 1) == b""
    for call in (lambda: log.get_hash(1, 1), lambda: log.get_hashes(0, 2, 4)):
        with pytest.raises(Misuse):
            call()
