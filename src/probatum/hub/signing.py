"""Signs packages, and checks signatures, in the OpenSSF model-signing format (`SIGN-1`).

The signature lies beside the package's files as ``model.sig``: a Sigstore bundle around a DSSE
envelope around an in-toto statement that lists every file by SHA-256, the manifest among them. So
what was signed is what is kept, and other people's tools check it too. It is no part of the
package's digest: who signs later, or again, changes no package.

Read liberally where the format is open (unknown fields, order, white space), strictly in what is
claimed: the list is exactly this package, or the signature is another's. Must not know whose a
key is: see `provenance`. Source: the format's version 1.0, as ``model_signing`` 1.1 writes it.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.dsse import PAYLOAD_TYPE, pae
from probatum.protocol.hashing import sha256
from probatum.protocol.hexes import bytes_from_hex, digest_from_hex
from probatum.protocol.manifests import MANIFEST_NAME, SIGNATURE_NAME, Manifest
from probatum.protocol.primitives import Digest, PublisherKey
from probatum.protocol.statements import STATEMENT_TYPE

if TYPE_CHECKING:
    from probatum.protocol.p256 import PublisherSigner

__all__ = ["PackageSignature", "open_signature", "sign_package"]

_MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
T = TypeVar("T")


class _Key(msgspec.Struct, frozen=True, kw_only=True):
    hint: str = ""


class _Material(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    public_key: _Key | None = None
    tlog_entries: list[msgspec.Raw] = msgspec.field(default_factory=list)


class _Signature(msgspec.Struct, frozen=True, kw_only=True):
    sig: str
    keyid: str = ""


class _Envelope(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    payload: str
    payload_type: str
    signatures: list[_Signature]


class _Bundle(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    media_type: str
    verification_material: _Material
    dsse_envelope: _Envelope


class _Subject(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    digest: dict[str, str]


class _Resource(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    algorithm: str
    digest: str


class _Serialization(msgspec.Struct, frozen=True, kw_only=True):
    method: str
    hash_type: str = ""
    allow_symlinks: bool = False
    ignore_paths: list[str] = msgspec.field(default_factory=list)


class _Predicate(msgspec.Struct, frozen=True, kw_only=True):
    serialization: _Serialization
    resources: list[_Resource]


class _Statement(msgspec.Struct, frozen=True, kw_only=True):
    type: str = msgspec.field(name="_type")
    subject: list[_Subject]
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: _Predicate


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageSignature:
    """A signature that is about a package; whose it is, `check` says.

    Attributes:
        key_id: The key that it names, see `compute_publisher_key_id`.
        message: The bytes that were signed.
        signature: ECDSA over them, DER.
    """

    key_id: Digest
    message: bytes
    signature: bytes

    def check(self, key: PublisherKey) -> None:
        """Check that this key signed.

        Raises:
            Refusal: `signing.other-key`, `p256.bad-signature`, `p256.bad-key`.
        """
        # Whoever only keeps packages opens signatures and checks none: 9 MB that they do not need.
        from probatum.protocol.p256 import (  # noqa: PLC0415
            check_der_signature,
            compute_publisher_key_id,
        )

        if compute_publisher_key_id(key) != self.key_id:
            raise Refusal(
                "signing.other-key",
                f"signed by key {self.key_id.hex()}, not {compute_publisher_key_id(key).hex()}",
            )
        check_der_signature(key, self.message, self.signature)


def sign_package(manifest: Manifest, package: Digest, signer: PublisherSigner) -> bytes:
    """Sign a package: the bytes of its ``model.sig``; the same each time.

    Args:
        manifest: What the package holds.
        package: Its digest, which is the manifest's SHA-256.
        signer: The publisher's key.
    """
    from probatum.protocol.p256 import compute_publisher_key_id  # noqa: PLC0415 - see above

    listed = sorted(_list_files(manifest, package).items(), key=lambda f: PurePosixPath(f[0]))
    resources = [_Resource(name=path, algorithm="sha256", digest=hexed) for path, hexed in listed]
    serialization = _Serialization(
        method="files",
        hash_type="sha256",
        allow_symlinks=False,
        ignore_paths=[SIGNATURE_NAME],
    )
    statement = _Statement(
        type=STATEMENT_TYPE,
        subject=[_Subject(name=manifest.name, digest={"sha256": _hash_all(resources)})],
        predicate_type=_PREDICATE_TYPE,
        predicate=_Predicate(serialization=serialization, resources=resources),
    )
    payload = msgspec.json.encode(statement)
    signature = signer.sign_der(pae(PAYLOAD_TYPE, payload))
    envelope = _Envelope(
        payload=b64encode(payload).decode("ascii"),
        payload_type=PAYLOAD_TYPE,
        signatures=[_Signature(sig=b64encode(signature).decode("ascii"))],
    )
    hint = compute_publisher_key_id(signer.key).hex()
    material = _Material(public_key=_Key(hint=hint))
    bundle = _Bundle(media_type=_MEDIA_TYPE, verification_material=material, dsse_envelope=envelope)
    return msgspec.json.encode(bundle)


def open_signature(data: bytes, manifest: Manifest, package: Digest) -> PackageSignature:
    """Open a ``model.sig`` and hold what it lists to a package; believes no signature yet.

    Args:
        data: The file's bytes, from anywhere.
        manifest: What the package holds.
        package: Its digest.

    Raises:
        Refusal: `signing.malformed`, `signing.other-format`, `signing.no-key` if it was made
            otherwise than with a key, `signing.other-files` if it is not about exactly this
            package.
    """
    # 1. Bounded, then parsed; a bundle with one signature by a key.
    if len(data) > limits.SIGNATURE_BYTES:
        raise Refusal("signing.malformed", f"more than {limits.SIGNATURE_BYTES} bytes")
    bundle = _parse(data, _Bundle)
    envelope = bundle.dsse_envelope
    if bundle.media_type != _MEDIA_TYPE or envelope.payload_type != PAYLOAD_TYPE:
        raise Refusal("signing.other-format", f"a {bundle.media_type[:80]!r} is not what is taken")
    key_id = _read_key_id(bundle.verification_material)
    if len(envelope.signatures) != 1:
        raise Refusal("signing.malformed", f"{len(envelope.signatures)} signatures, not one")
    # 2. A statement of the format's version 1, over whole files under SHA-256.
    payload = _decode_base64(envelope.payload)
    statement = _parse(payload, _Statement)
    predicate = statement.predicate
    wanted = (STATEMENT_TYPE, _PREDICATE_TYPE, "files", "sha256")
    serialization = predicate.serialization
    found = (statement.type, statement.predicate_type, serialization.method)
    if (*found, serialization.hash_type) != wanted:
        raise Refusal(
            "signing.other-format", "not a list of whole files by SHA-256, version 1 of the format"
        )
    # 3. The list is the package's, no file more or less; ignored paths do not count as signed.
    resources = predicate.resources
    listed = {resource.name: resource.digest for resource in resources}
    if (
        len(listed) != len(resources)
        or any(resource.algorithm != "sha256" for resource in resources)
        or listed != _list_files(manifest, package)
    ):
        raise Refusal(
            "signing.other-files",
            "the signature is not about exactly this package",
            hint=f"sign it again, or delete {SIGNATURE_NAME}",
        )
    # 4. The subject's digest sums the list up; tools that read no further rely on it.
    digests = [subject.digest for subject in statement.subject]
    if digests != [{"sha256": _hash_all(resources)}]:
        raise Refusal("signing.malformed", "the subject's digest is not that of the list")
    return PackageSignature(
        key_id=key_id,
        message=pae(PAYLOAD_TYPE, payload),
        signature=_decode_base64(envelope.signatures[0].sig),
    )


def _list_files(manifest: Manifest, package: Digest) -> dict[str, str]:
    files = {entry.path: entry.sha256 for entry in manifest.files}
    return {**files, MANIFEST_NAME: package.hex()}


def _hash_all(resources: list[_Resource]) -> str:
    return sha256(b"".join(bytes_from_hex(resource.digest) for resource in resources)).hex()


def _read_key_id(material: _Material) -> Digest:
    if material.public_key is None:
        raise Refusal(
            "signing.no-key",
            "signed with a certificate, not with a publisher's key",
            hint="sign with a P-256 key",
        )
    try:
        return digest_from_hex(material.public_key.hint)
    except Refusal:
        raise Refusal("signing.malformed", "the signature does not name its key") from None


def _parse(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal("signing.malformed", f"not a model's signature: {error}") from None


def _decode_base64(text: str) -> bytes:
    try:
        return b64decode(text.encode("ascii"), validate=True)
    except (Base64Error, UnicodeEncodeError):
        raise Refusal("signing.malformed", "not standard base64") from None
