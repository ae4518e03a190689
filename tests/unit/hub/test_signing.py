"""`SIGN-1`: a signature is about exactly one package, by one key, or it is refused."""

import base64
import dataclasses
import json
import subprocess
import sys

import pytest

from probatum.errors import Refusal
from probatum.hub.build import build_package
from probatum.hub.package import load_package
from probatum.hub.signing import open_signature, sign_package
from probatum.protocol import limits
from probatum.protocol.hashing import sha256
from probatum.protocol.p256 import PublisherSigner, compute_publisher_key_id

SIGNER = PublisherSigner(sha256(b"publisher"))
OTHER = PublisherSigner(sha256(b"other"))


@pytest.fixture
def signature(package):
    return sign_package(package.manifest, package.digest, SIGNER)


def bend(signature, change, *, resign=None):
    """Change the statement, and sign it anew if a signer is given."""
    bundle = json.loads(signature)
    envelope = bundle["dsseEnvelope"]
    statement = json.loads(base64.b64decode(envelope["payload"]))
    change(bundle, statement)
    payload = json.dumps(statement).encode()
    envelope["payload"] = base64.b64encode(payload).decode()
    if resign:
        message = b"DSSEv1 28 application/vnd.in-toto+json %d %b" % (len(payload), payload)
        envelope["signatures"][0]["sig"] = base64.b64encode(resign.sign_der(message)).decode()
    return json.dumps(bundle).encode()


def code_of(package, data, key=SIGNER.key):
    with pytest.raises(Refusal) as caught:
        open_signature(data, package.manifest, package.digest).check(key)
    return caught.value.code


def test_a_signature_holds_and_is_the_same_each_time(package, signature):
    opened = open_signature(signature, package.manifest, package.digest)
    opened.check(SIGNER.key)
    assert opened.key_id == compute_publisher_key_id(SIGNER.key)
    assert sign_package(package.manifest, package.digest, SIGNER) == signature


def test_a_signature_lies_beside_the_files_and_changes_no_digest(package, signature):
    (package.folder / "model.sig").write_bytes(signature)
    loaded = load_package(package.folder, package.digest)
    assert loaded.signature == signature
    assert dataclasses.replace(loaded, signature=None) == package


def test_a_signature_of_another_package_is_refused_when_loaded(package, facts, tmp_path):
    other = build_package(facts, b"another model", tmp_path / "other")
    theirs = sign_package(other.manifest, other.digest, SIGNER)
    (package.folder / "model.sig").write_bytes(theirs)
    with pytest.raises(Refusal) as caught:
        load_package(package.folder)
    assert caught.value.code == "signing.other-files"


def test_a_signature_too_large_or_linked_is_refused(package, tmp_path):
    target = package.folder / "model.sig"
    target.write_bytes(b" " * (limits.SIGNATURE_BYTES + 1))
    with pytest.raises(Refusal) as caught:
        load_package(package.folder)
    assert caught.value.code == "package.too-large"
    target.unlink()
    target.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refusal) as caught:
        load_package(package.folder)
    assert caught.value.code == "package.symlink"


def test_no_package_lists_its_own_signature(facts, tmp_path):
    with pytest.raises(Refusal) as caught:
        build_package(facts, b"m", tmp_path / "p", {"model.sig": b""})
    assert caught.value.code == "package.extra-file"


def test_another_key_is_refused(package, signature):
    assert code_of(package, signature, OTHER.key) == "signing.other-key"
    hint = compute_publisher_key_id(OTHER.key).hex()

    def claim(bundle, _):
        bundle["verificationMaterial"]["publicKey"]["hint"] = hint

    assert code_of(package, bend(signature, claim), OTHER.key) == "p256.bad-signature"


def test_every_changed_byte_of_what_is_signed_is_found(package, signature):
    bundle = json.loads(signature)
    payload = bytearray(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    for at in range(0, len(payload), 5):
        bent = payload.copy()
        bent[at] ^= 1
        bundle["dsseEnvelope"]["payload"] = base64.b64encode(bent).decode()
        code = code_of(package, json.dumps(bundle).encode())
        assert code in {
            "signing.malformed",
            "signing.other-format",
            "signing.other-files",
            "p256.bad-signature",
        }


def resources(statement):
    return statement["predicate"]["resources"]


def set_serialization(name, value):
    return lambda _, s: s["predicate"]["serialization"].__setitem__(name, value)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda _, s: resources(s).pop(), "signing.other-files"),
        (lambda _, s: resources(s).append(resources(s)[0]), "signing.other-files"),
        (lambda _, s: resources(s)[0].update(name="more.txt"), "signing.other-files"),
        (lambda _, s: resources(s)[0].update(digest="0" * 64), "signing.other-files"),
        (lambda _, s: resources(s)[0].update(algorithm="blake3"), "signing.other-files"),
        (lambda _, s: s["subject"][0]["digest"].update(sha256="0" * 64), "signing.malformed"),
        (lambda _, s: s["subject"].append(s["subject"][0]), "signing.malformed"),
        (lambda _, s: s.update(predicateType="https://example.org/v1"), "signing.other-format"),
        (lambda _, s: s.update(_type="https://in-toto.io/Statement/v0.1"), "signing.other-format"),
        (set_serialization("method", "shards"), "signing.other-format"),
        (set_serialization("hash_type", "blake3"), "signing.other-format"),
        (lambda b, _: b.update(mediaType="text/plain"), "signing.other-format"),
        (lambda b, _: b["dsseEnvelope"].update(payloadType="text/plain"), "signing.other-format"),
        (lambda b, _: b["dsseEnvelope"].update(signatures=[]), "signing.malformed"),
        (lambda b, _: b["dsseEnvelope"]["signatures"].append({"sig": "AA=="}), "signing.malformed"),
        (lambda b, _: b["dsseEnvelope"]["signatures"][0].update(sig="?"), "signing.malformed"),
        (lambda b, _: b.update(verificationMaterial={}), "signing.no-key"),
        (
            lambda b, _: b.update(verificationMaterial={"publicKey": {"hint": "12"}}),
            "signing.malformed",
        ),
    ],
)
def test_what_is_signed_but_not_about_this_package_is_refused(package, signature, change, code):
    """The signer may sign anything: only the list of exactly this package counts."""
    bent = bend(signature, change)
    with pytest.raises(Refusal) as caught:
        open_signature(bent, package.manifest, package.digest)
    assert caught.value.code == code


def test_order_white_space_and_unknown_fields_are_free(package, signature):
    def change(bundle, statement):
        resources(statement).reverse()
        digests = b"".join(bytes.fromhex(r["digest"]) for r in resources(statement))
        statement["subject"][0]["digest"]["sha256"] = sha256(digests).hex()
        statement["predicate"]["future"] = {"a": [1, None]}
        bundle["future"] = 1

    bent = bend(signature, change, resign=SIGNER)
    open_signature(bent, package.manifest, package.digest).check(SIGNER.key)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, b" " * (limits.SIGNATURE_BYTES + 1)]
)
def test_what_is_no_signature_is_refused(package, data):
    assert code_of(package, data) == "signing.malformed"


def test_keeping_a_signed_package_needs_no_cryptography_library(package, signature):
    (package.folder / "model.sig").write_bytes(signature)
    code = "import sys; from pathlib import Path; from probatum.hub.package import load_package\n"
    code += "import probatum.nodes.inference.run\n"
    code += "assert load_package(Path(sys.argv[1])).signature\n"
    code += "print('cryptography' in sys.modules)"
    command = [sys.executable, "-c", code, str(package.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
