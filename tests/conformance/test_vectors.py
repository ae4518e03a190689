"""The published vectors hold: another implementation can be built against them."""

import json
from pathlib import Path

import pytest

from probatum.ledger.statemap import MemoryNodeStore, MerkleMap
from probatum.protocol import dsse, eip712, hashing, mapproof, merkle, notes, tensors
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.encoding import decode_document, encode_document
from probatum.protocol.secp256k1 import AccountSigner, recover_address

FILE = Path(__file__).parents[2] / "vectors" / "protocol" / "1.json"
VECTORS = json.loads(FILE.read_text(encoding="utf-8"))
KEYS = (
    "tagged_hashes salt_commitments tensor_roots signing_digests envelopes checkpoints trees "
    "state_maps"
).split()


def each(key):
    return pytest.mark.parametrize("vector", VECTORS[key])


def unhex(value, eip_type=""):
    if isinstance(value, list):
        return tuple(unhex(item, eip_type.removesuffix("[]")) for item in value)
    holds_bytes = eip_type == "" or eip_type.startswith(("bytes", "address"))
    return bytes.fromhex(value) if isinstance(value, str) and holds_bytes else value


def test_every_kind_of_vector_is_tested():
    assert list(VECTORS) == KEYS
    assert all(VECTORS.values())


@each("tagged_hashes")
def test_tagged_hashes(vector):
    digest = hashing.hash_tagged(vector["tag"], *unhex(vector["parts"]))
    assert digest.hex() == vector["digest"]


@each("salt_commitments")
def test_salt_commitments(vector):
    commitment = tensors.compute_salt_commitment(unhex(vector["salt"]))
    assert commitment.hex() == vector["commitment"]


@each("tensor_roots")
def test_tensor_roots(vector):
    salt, shape = unhex(vector["salt"]), tuple(vector["shape"])
    key = tensors.derive_tensor_key(salt, vector["dtype"], shape, vector["name"])
    assert key.hex() == vector["key"]
    tensor = tensors.Tensor(
        name=vector["name"], dtype=vector["dtype"], shape=shape, data=unhex(vector["data"])
    )
    tensors.check_tensor(tensor)
    assert tensors.compute_tensor_root(salt, tensor).hex() == vector["root"]


@each("signing_digests")
def test_signing_digests(vector):
    domain = eip712.Domain(chain_id=vector["chain_id"], genesis_hash=unhex(vector["genesis_hash"]))
    fields = tuple((name, kind, unhex(value, kind)) for name, kind, value in vector["fields"])
    digest = eip712.compute_signing_digest(domain, vector["type"], fields)
    assert digest.hex() == vector["digest"]
    signature = AccountSigner(unhex(vector["secret"])).sign_digest(digest)
    assert signature.hex() == vector["signature"]
    assert recover_address(digest, signature).hex() == vector["address"]


@each("envelopes")
def test_envelopes(vector):
    signers = tuple(OperatingSigner(seed) for seed in unhex(vector["seeds"]))
    payload, data = vector["payload"].encode(), vector["envelope"].encode()
    assert encode_document(dsse.sign_envelope(payload, signers)) == data
    envelope = decode_document(dsse.Envelope, data, limit_bytes=10_000)
    assert dsse.check_envelope(envelope, tuple(signer.key for signer in signers)) == payload


@each("checkpoints")
def test_checkpoints(vector):
    signer = OperatingSigner(unhex(vector["seed"]))
    checkpoint = notes.Checkpoint(
        origin=vector["origin"], size=vector["size"], root=unhex(vector["root"])
    )
    assert notes.sign_checkpoint(checkpoint, signer).decode() == vector["note"]
    name, key = notes.parse_key_text(vector["verifier_key"])
    assert notes.open_checkpoint(vector["note"].encode(), name, key) == checkpoint


@each("trees")
def test_trees(vector):
    leaves = [merkle.leaf_hash(entry) for entry in unhex(vector["entries"])]
    root = merkle.compute_root(leaves)
    assert root.hex() == vector["root"]
    shown = vector["inclusion"]
    merkle.check_inclusion(
        leaves[shown["index"]], shown["index"], len(leaves), unhex(shown["proof"]), root
    )
    shown = vector["consistency"]
    merkle.check_consistency(
        shown["old_size"], unhex(shown["old_root"]), len(leaves), root, unhex(shown["proof"])
    )


@each("state_maps")
def test_state_maps(vector):
    values = {unhex(key): unhex(value) for key, value in vector["values"].items()}
    store = MemoryNodeStore()
    update = MerkleMap(store).update(values)
    store.commit(update)
    assert update.root.digest.hex() == vector["root"]
    for text in vector["proofs"]:
        proof = decode_document(mapproof.StateProof, text.encode(), limit_bytes=100_000)
        key = unhex(proof.key)
        assert MerkleMap(store, update.root).prove(key, values.get(key)) == proof
        assert mapproof.check_state_proof(update.root.digest, key, proof) == values.get(key)
