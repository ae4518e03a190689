"""`SIGN-1` against the OpenSSF's own ``model-signing``: each side takes and refuses the other's."""

import base64
import json
from pathlib import Path

import model_signing
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from probatum.errors import Refusal
from probatum.hub.build import PackageFacts, build_package
from probatum.hub.package import load_package
from probatum.hub.signing import open_signature, sign_package
from probatum.protocol.hashing import sha256
from probatum.protocol.manifests import TensorSpec
from probatum.protocol.p256 import PublisherSigner, key_to_pem

SIGNER = PublisherSigner(sha256(b"publisher"))
OTHER = PublisherSigner(sha256(b"other"))
FACTS = PackageFacts(
    name="tiny",
    version="1.0",
    task="test",
    licence="MIT",
    description="",
    inputs=(TensorSpec(name="x", dtype="float32", shape=("n",)),),
    outputs=(TensorSpec(name="y", dtype="float32", shape=("n",)),),
    labels=("a", "b"),
)


@pytest.fixture
def package(tmp_path):
    # Names that sort differently as text and as paths.
    extra = {"docs/card.md": b"A card.", "docs-more.md": b"More.", "docs/a/b.txt": b"b"}
    return build_package(FACTS, b"model", tmp_path / "some-folder", extra)


@pytest.fixture
def keys(tmp_path):
    """Key files as their tool reads them."""
    folder = tmp_path / "keys"
    folder.mkdir()
    for name, signer in (("ours", SIGNER), ("other", OTHER)):
        secret = ec.derive_private_key(int.from_bytes(signer.secret, "big"), ec.SECP256R1())
        (folder / f"{name}.pem").write_bytes(
            secret.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        (folder / f"{name}.pub").write_text(key_to_pem(signer.key))
    return folder


def sign_theirs(package, keys, **hashing):
    """Sign as their command line does by default: everything but the signature itself."""
    target = package.folder / "model.sig"
    config = model_signing.hashing.Config(**hashing)
    config.set_ignored_paths(paths=[target], ignore_git_paths=True)
    signing = model_signing.signing.Config().use_elliptic_key_signer(private_key=keys / "ours.pem")
    signing.set_hashing_config(config).sign(package.folder, target)


def verify_theirs(folder: Path, key: Path):
    verifying = model_signing.verifying.Config().use_elliptic_key_verifier(public_key=key)
    verifying.verify(folder, folder / "model.sig")


def verify_ours(folder: Path, key=SIGNER.key):
    package = load_package(folder)
    open_signature(package.signature, package.manifest, package.digest).check(key)


def sign_ours(package, _):
    signature = sign_package(package.manifest, package.digest, SIGNER)
    (package.folder / "model.sig").write_bytes(signature)


@pytest.mark.parametrize("sign", [sign_ours, sign_theirs])
def test_both_sides_take_what_either_signed(package, keys, sign):
    sign(package, keys)
    verify_theirs(package.folder, keys / "ours.pub")
    verify_ours(package.folder)


@pytest.mark.parametrize("sign", [sign_ours, sign_theirs])
def test_both_sides_refuse_another_key(package, keys, sign):
    sign(package, keys)
    with pytest.raises(ValueError, match="Key mismatch"):
        verify_theirs(package.folder, keys / "other.pub")
    with pytest.raises(Refusal) as caught:
        verify_ours(package.folder, OTHER.key)
    assert caught.value.code == "signing.other-key"


def change(folder):
    (folder / "docs" / "card.md").write_bytes(b"A bard.")


def add(folder):
    (folder / "docs" / "more.md").write_bytes(b"")


def remove(folder):
    (folder / "labels.txt").unlink()


def rewrite(folder):
    data = (folder / "probatum.json").read_bytes()
    (folder / "probatum.json").write_bytes(data.replace(b"MIT", b"BSD"))


@pytest.mark.parametrize("sign", [sign_ours, sign_theirs])
@pytest.mark.parametrize("tamper", [change, add, remove, rewrite])
def test_both_sides_refuse_what_was_tampered_with(package, keys, sign, tamper):
    sign(package, keys)
    tamper(package.folder)
    with pytest.raises(ValueError, match="Signature mismatch"):
        verify_theirs(package.folder, keys / "ours.pub")
    with pytest.raises(Refusal):
        verify_ours(package.folder)


@pytest.mark.parametrize("sign", [sign_ours, sign_theirs])
def test_both_sides_refuse_a_bent_signature(package, keys, sign):
    sign(package, keys)
    target = package.folder / "model.sig"
    bundle = json.loads(target.read_bytes())
    entry = bundle["dsseEnvelope"]["signatures"][0]
    bent = bytearray(base64.b64decode(entry["sig"]))
    bent[-1] ^= 1
    entry["sig"] = base64.b64encode(bent).decode()
    target.write_text(json.dumps(bundle))
    with pytest.raises((ValueError, InvalidSignature)):
        verify_theirs(package.folder, keys / "ours.pub")
    with pytest.raises(Refusal) as caught:
        verify_ours(package.folder)
    assert caught.value.code == "p256.bad-signature"


def test_a_signature_that_leaves_a_file_out_is_theirs_alone_to_take(package, keys):
    """Ignored paths are not signed: we refuse a list that is not the whole package."""
    target = package.folder / "model.sig"
    config = model_signing.hashing.Config().set_ignored_paths(
        paths=[target, package.folder / "docs"], ignore_git_paths=True
    )
    signing = model_signing.signing.Config().use_elliptic_key_signer(private_key=keys / "ours.pem")
    signing.set_hashing_config(config).sign(package.folder, target)
    verify_theirs(package.folder, keys / "ours.pub")
    with pytest.raises(Refusal) as caught:
        verify_ours(package.folder)
    assert caught.value.code == "signing.other-files"
