"""The published vectors of `hub` hold: `SIGN-1`, `SIGN-2`, `BOM-1`."""

import json
from pathlib import Path

import pytest

from probatum.hub.bom import build_bom
from probatum.hub.signing import open_signature, sign_package
from probatum.protocol import p256
from probatum.protocol.eip712 import Domain
from probatum.protocol.manifests import compute_package_digest, decode_manifest
from probatum.protocol.transactions.possession import check_possession, sign_possession

FILE = Path(__file__).parents[2] / "vectors" / "hub" / "1.json"
VECTORS = json.loads(FILE.read_text(encoding="utf-8"))


def each(key):
    return pytest.mark.parametrize("vector", VECTORS[key])


def test_every_kind_of_vector_is_tested():
    kinds = "publisher_keys possessions package_signatures bills".split()
    assert list(VECTORS) == kinds
    assert all(VECTORS.values())


@each("publisher_keys")
def test_publisher_keys(vector):
    key = p256.PublisherSigner(bytes.fromhex(vector["secret"])).key
    assert key.hex() == vector["key"]
    assert p256.key_to_pem(key) == vector["pem"]
    assert p256.key_from_pem(vector["pem"]) == key
    assert p256.compute_publisher_key_id(key).hex() == vector["key_id"]


@each("possessions")
def test_possessions(vector):
    domain = Domain(chain_id=vector["chain_id"], genesis_hash=bytes.fromhex(vector["genesis_hash"]))
    signer = p256.PublisherSigner(bytes.fromhex(vector["secret"]))
    account = bytes.fromhex(vector["account"])
    possession = sign_possession(domain, account, signer)
    assert possession.hex() == vector["possession"]
    check_possession(domain, account, signer.key, possession)


@each("package_signatures")
def test_package_signatures(vector):
    manifest = decode_manifest(vector["manifest"].encode())
    package = compute_package_digest(vector["manifest"].encode())
    assert package.hex() == vector["package"]
    signer = p256.PublisherSigner(bytes.fromhex(vector["secret"]))
    signature = vector["signature"].encode()
    assert sign_package(manifest, package, signer) == signature
    open_signature(signature, manifest, package).check(signer.key)


@each("bills")
def test_bills_of_materials(vector):
    data = vector["manifest"].encode()
    bill = build_bom(decode_manifest(data), compute_package_digest(data))
    assert bill.decode() == vector["bill"]
