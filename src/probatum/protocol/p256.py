"""Publishers' signatures: ECDSA over NIST P-256 with SHA-256 (`SIGN-1`, `SIGN-2`).

The curve that the OpenSSF model-signing format and ordinary tools (``openssl``) speak. A key is
the uncompressed point; its id is SHA-256 of its PEM text, as that format names keys. On the
ledger a signature is r ‖ s with s in the lower half, so that it has one form; in a model's
signature it is DER, as others write it. Must not know what is signed.
Source: FIPS 186-5; RFC 5480 for the key's DER; RFC 6979 for the choice of k.
"""

from __future__ import annotations

from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from probatum.errors import Refusal
from probatum.protocol.hashing import sha256
from probatum.protocol.primitives import (
    Digest,
    PublisherKey,
    PublisherSignature,
    make_publisher_key,
    make_publisher_signature,
)

__all__ = [
    "P256_ORDER",
    "PublisherSigner",
    "check_der_signature",
    "check_publisher_key",
    "check_publisher_signature",
    "compute_publisher_key_id",
    "key_from_pem",
    "key_to_pem",
    "signer_from_pem",
]

P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The order of the curve's group (SP 800-186, §3.2.1.3)."""

_HALF_ORDER: Final = P256_ORDER // 2
# SubjectPublicKeyInfo of every P-256 key begins with this; the uncompressed point follows.
_DER_HEAD: Final = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
_PEM_HEAD: Final = "-----BEGIN PUBLIC KEY-----\n"
_PEM_TAIL: Final = "-----END PUBLIC KEY-----\n"
_ALGORITHM: Final = ec.ECDSA(SHA256(), deterministic_signing=True)


@dataclass(frozen=True, slots=True)
class PublisherSigner:
    """A publisher's secret key. Never shows its secret in `repr`.

    Attributes:
        secret: 32 bytes, a number from 1 to the group order less one.
        key: The public key.
    """

    secret: bytes = field(repr=False, compare=False)
    key: PublisherKey = field(init=False)
    _key: ec.EllipticCurvePrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Derive the public key. Raises Refusal `p256.bad-secret` if out of range."""
        number = int.from_bytes(self.secret, "big")
        if len(self.secret) != 32 or not 0 < number < P256_ORDER:
            raise Refusal("p256.bad-secret", "a secret key has 32 bytes, within the group order")
        secret = ec.derive_private_key(number, ec.SECP256R1())
        point = secret.public_key().public_numbers()
        plain = b"\x04" + point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big")
        object.__setattr__(self, "key", make_publisher_key(plain))
        object.__setattr__(self, "_key", secret)

    def sign(self, message: bytes) -> PublisherSignature:
        """Sign a message, deterministically (RFC 6979), with low s."""
        r, s = decode_dss_signature(self._key.sign(message, _ALGORITHM))
        s = min(s, P256_ORDER - s)
        return make_publisher_signature(r.to_bytes(32, "big") + s.to_bytes(32, "big"))

    def sign_der(self, message: bytes) -> bytes:
        """Sign a message, and write the signature as DER."""
        plain = self.sign(message)
        return _encode_der(plain)


def check_publisher_key(key: PublisherKey) -> None:
    """Check that a key is a point of the curve. Raises Refusal `p256.bad-key`."""
    _open_key(key)


def check_publisher_signature(
    key: PublisherKey, message: bytes, signature: PublisherSignature
) -> None:
    """Check a signature r ‖ s.

    Raises:
        Refusal: `p256.bad-signature` if it is not the key's over the message, or s is high;
            `p256.bad-key`.
    """
    opened = _open_key(key)
    if not 0 < int.from_bytes(signature[32:], "big") <= _HALF_ORDER:
        raise Refusal("p256.bad-signature", "s is not in the lower half of the group order")
    _check(opened, message, _encode_der(signature))


def check_der_signature(key: PublisherKey, message: bytes, signature: bytes) -> None:
    """Check a DER signature, s in either half; others' tools do not choose.

    Raises:
        Refusal: `p256.bad-signature`, `p256.bad-key`.
    """
    _check(_open_key(key), message, signature)


def compute_publisher_key_id(key: PublisherKey) -> Digest:
    """Compute a key's id: SHA-256 of its PEM text."""
    return sha256(key_to_pem(key).encode())


def key_to_pem(key: PublisherKey) -> str:
    """Write a public key as PEM (SubjectPublicKeyInfo)."""
    text = b64encode(_DER_HEAD + key).decode("ascii")
    return f"{_PEM_HEAD}{text[:64]}\n{text[64:]}\n{_PEM_TAIL}"


def key_from_pem(text: str) -> PublisherKey:
    """Read a public key as `key_to_pem` and ``openssl`` write it.

    Raises:
        Refusal: `p256.bad-pem`, `p256.bad-key`.
    """
    body = text.strip().removeprefix(_PEM_HEAD.strip()).removesuffix(_PEM_TAIL.strip())
    try:
        data = a2b_base64("".join(body.split()), strict_mode=True)
        if len(data) == len(_DER_HEAD) + 65 and data.startswith(_DER_HEAD):
            key = make_publisher_key(data[len(_DER_HEAD) :])
            check_publisher_key(key)
            return key
    except (Base64Error, ValueError):
        pass
    raise Refusal(
        "p256.bad-pem",
        "not the PEM text of a P-256 public key",
        hint="openssl ec -in key.pem -pubout; the curve is prime256v1",
    )


def signer_from_pem(data: bytes) -> PublisherSigner:
    """Read an unencrypted PEM secret key, as ``openssl ecparam -genkey`` writes it.

    Raises:
        Refusal: `p256.bad-pem`; it does not show the text.
    """
    try:
        found = load_pem_private_key(data, None)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        found = None
    if isinstance(found, ec.EllipticCurvePrivateKey) and found.curve.name == "secp256r1":
        return PublisherSigner(found.private_numbers().private_value.to_bytes(32, "big"))
    raise Refusal(
        "p256.bad-pem",
        "not the unencrypted PEM text of a P-256 secret key",
        hint="openssl ecparam -name prime256v1 -genkey -noout -out key.pem",
    )


def _open_key(key: PublisherKey) -> ec.EllipticCurvePublicKey:
    try:
        # Hybrid and compressed forms are points too: only one form is a key here.
        if key[:1] == b"\x04" and len(key) == 65:
            return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)
    except ValueError:
        pass
    raise Refusal("p256.bad-key", "not an uncompressed point of the curve P-256")


def _encode_der(signature: PublisherSignature) -> bytes:
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    return encode_dss_signature(r, s)


def _check(key: ec.EllipticCurvePublicKey, message: bytes, signature: bytes) -> None:
    try:
        key.verify(signature, message, ec.ECDSA(SHA256()))
    except InvalidSignature:
        raise Refusal("p256.bad-signature", "the signature is not this key's") from None
