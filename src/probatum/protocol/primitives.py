"""Sized, unmixable primitives: the words that every other page of `protocol` is written in.

A `NewType` keeps the kinds apart for the type checker; the `Annotated` alias beside it makes the
strict decoder check the size (`PROTO-1`). The constructor functions check sizes where a value is
made from loose bytes. Must not know any document. Read next: `encoding`, `limits`.
"""

from __future__ import annotations

from typing import Annotated, NewType, TypeAlias

from msgspec import Meta

from probatum.errors import Refusal

__all__ = [
    "AMOUNT_BOUND",
    "UNITS_PER_TOKEN",
    "Address",
    "Amount",
    "Code",
    "ConsensusAddress",
    "ConsensusKey",
    "Digest",
    "Height",
    "Index",
    "Millis",
    "Nonce",
    "OperatingKey",
    "OperatingSignature",
    "PublisherKey",
    "PublisherSignature",
    "RecoverableSignature",
    "RequestId",
    "Root",
    "Salt",
    "address_from_hex",
    "address_to_hex",
    "make_address",
    "make_consensus_address",
    "make_consensus_key",
    "make_digest",
    "make_nonce",
    "make_operating_key",
    "make_operating_signature",
    "make_publisher_key",
    "make_publisher_signature",
    "make_root",
    "make_salt",
]

AMOUNT_BOUND = 1 << 63
"""Every amount, height, index and the supply are below this (`PROTO-1`)."""

UNITS_PER_TOKEN = 10**9
"""One token in units; amounts are always integers of units."""

_Digest = NewType("_Digest", bytes)
_Root = NewType("_Root", bytes)
_Address = NewType("_Address", bytes)
_OperatingKey = NewType("_OperatingKey", bytes)
_OperatingSignature = NewType("_OperatingSignature", bytes)
_ConsensusAddress = NewType("_ConsensusAddress", bytes)
_ConsensusKey = NewType("_ConsensusKey", bytes)
_PublisherKey = NewType("_PublisherKey", bytes)
_PublisherSignature = NewType("_PublisherSignature", bytes)
_RecoverableSignature = NewType("_RecoverableSignature", bytes)
_Salt = NewType("_Salt", bytes)
_Nonce = NewType("_Nonce", bytes)
_RequestId = NewType("_RequestId", str)

Digest: TypeAlias = Annotated[_Digest, Meta(min_length=32, max_length=32)]
"""SHA-256 of something that strangers verify with ordinary tools."""
Root: TypeAlias = Annotated[_Root, Meta(min_length=32, max_length=32)]
"""Keyed BLAKE3 of a tensor's bytes (`CANON-5`, `SALT-1`)."""
Address: TypeAlias = Annotated[_Address, Meta(min_length=20, max_length=20)]
"""An account: the last 20 bytes of Keccak-256 of a secp256k1 public key (an EVM address)."""
OperatingKey: TypeAlias = Annotated[_OperatingKey, Meta(min_length=32, max_length=32)]
"""A node's Ed25519 public key."""
OperatingSignature: TypeAlias = Annotated[_OperatingSignature, Meta(min_length=64, max_length=64)]
"""An Ed25519 signature by a node's operating key."""
ConsensusKey: TypeAlias = Annotated[_ConsensusKey, Meta(min_length=32, max_length=32)]
"""The Ed25519 public key by which a validator signs its votes (`VAL-1`)."""
ConsensusAddress: TypeAlias = Annotated[_ConsensusAddress, Meta(min_length=20, max_length=20)]
"""How the engine names a validator: the first 20 bytes of SHA-256 of its key (`VAL-1`)."""
PublisherKey: TypeAlias = Annotated[_PublisherKey, Meta(min_length=65, max_length=65)]
"""A publisher's P-256 public key: 4, then both coordinates, 32 bytes each (`SIGN-2`)."""
PublisherSignature: TypeAlias = Annotated[_PublisherSignature, Meta(min_length=64, max_length=64)]
"""An ECDSA signature r ‖ s by a publisher's key, s in the lower half (`SIGN-2`)."""
RecoverableSignature: TypeAlias = Annotated[
    _RecoverableSignature, Meta(min_length=65, max_length=65)
]
"""A secp256k1 signature r ‖ s ‖ v, v in {27, 28}, s in the lower half."""
Salt: TypeAlias = Annotated[_Salt, Meta(min_length=32, max_length=32)]
"""The secret that keys every tensor root of one request (`SALT-1`)."""
Nonce: TypeAlias = Annotated[_Nonce, Meta(min_length=32, max_length=32)]
"""The public number that keys a request's randomness (`RECEIPT-1`)."""
RequestId: TypeAlias = Annotated[_RequestId, Meta(pattern=r"^[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")]
"""26 characters of Crockford base32, drawn at acceptance (`RECEIPT-1`)."""

Code: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.-]{0,127}\Z")]
"""A refusal's code. It ends in other people's signed records and terminals: these letters only."""

Amount: TypeAlias = Annotated[int, Meta(ge=0, le=AMOUNT_BOUND - 1)]
"""Units, never tokens, never negative."""
Height: TypeAlias = Annotated[int, Meta(ge=0, le=AMOUNT_BOUND - 1)]
"""A ledger height; genesis is height 0."""
Index: TypeAlias = Annotated[int, Meta(ge=0, le=AMOUNT_BOUND - 1)]
"""A position in a log, a session number, a count."""
Millis: TypeAlias = Annotated[int, Meta(ge=0, le=AMOUNT_BOUND - 1)]
"""Milliseconds; advice between parties, never a deadline that the ledger knows."""


def _wrong_size(value: bytes, size: int, what: str) -> Refusal:
    return Refusal("primitive.bad-length", f"{what} has {len(value)} bytes, not {size}")


def _sized(value: bytes, size: int, what: str) -> bytes:
    if len(value) != size:
        raise _wrong_size(value, size, what)
    return value


def make_digest(value: bytes) -> Digest:
    """Take 32 bytes as a SHA-256 digest. Raises Refusal `primitive.bad-length`."""
    if len(value) != 32:
        raise _wrong_size(value, 32, "a digest")
    return _Digest(value)


def make_root(value: bytes) -> Root:
    """Take 32 bytes as a tensor root. Raises Refusal `primitive.bad-length`."""
    if len(value) != 32:
        raise _wrong_size(value, 32, "a tensor root")
    return _Root(value)


def make_address(value: bytes) -> Address:
    """Take 20 bytes as an address. Raises Refusal `primitive.bad-length`."""
    return _Address(_sized(value, 20, "an address"))


def make_operating_key(value: bytes) -> OperatingKey:
    """Take 32 bytes as an Ed25519 public key. Raises Refusal `primitive.bad-length`."""
    if len(value) != 32:
        raise _wrong_size(value, 32, "an operating key")
    return _OperatingKey(value)


def make_operating_signature(value: bytes) -> OperatingSignature:
    """Take 64 bytes as an Ed25519 signature. Raises Refusal `primitive.bad-length`."""
    if len(value) != 64:
        raise _wrong_size(value, 64, "an operating signature")
    return _OperatingSignature(value)


def make_consensus_key(value: bytes) -> ConsensusKey:
    """Take 32 bytes as a validator's public key. Raises Refusal `primitive.bad-length`."""
    return _ConsensusKey(_sized(value, 32, "a consensus key"))


def make_consensus_address(value: bytes) -> ConsensusAddress:
    """Take 20 bytes as a validator's address. Raises Refusal `primitive.bad-length`."""
    return _ConsensusAddress(_sized(value, 20, "a consensus address"))


def make_publisher_key(value: bytes) -> PublisherKey:
    """Take 65 bytes as a P-256 public key. Raises Refusal `primitive.bad-length`."""
    return _PublisherKey(_sized(value, 65, "a publisher's key"))


def make_publisher_signature(value: bytes) -> PublisherSignature:
    """Take 64 bytes as r ‖ s. Raises Refusal `primitive.bad-length`."""
    return _PublisherSignature(_sized(value, 64, "a publisher's signature"))


def make_recoverable_signature(value: bytes) -> RecoverableSignature:
    """Take 65 bytes as r ‖ s ‖ v. Raises Refusal `primitive.bad-length`."""
    return _RecoverableSignature(_sized(value, 65, "a recoverable signature"))


def make_salt(value: bytes) -> Salt:
    """Take 32 bytes as a salt. Raises Refusal `primitive.bad-length`."""
    return _Salt(_sized(value, 32, "a salt"))


def make_nonce(value: bytes) -> Nonce:
    """Take 32 bytes as a nonce. Raises Refusal `primitive.bad-length`."""
    return _Nonce(_sized(value, 32, "a nonce"))


_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(first + second for first in _CROCKFORD for second in _CROCKFORD)
"""Two digits for each 10 bits."""


def make_request_id(entropy: bytes) -> RequestId:
    """Make a request id from 16 bytes of chance: 128 bits as 26 characters.

    Raises:
        Refusal: `primitive.bad-length` if not exactly 16 bytes are given.
    """
    number = int.from_bytes(_sized(entropy, 16, "a request id's entropy"), "big")
    return _RequestId("".join([_PAIRS[number >> bits & 1023] for bits in range(120, -1, -10)]))


def check_request_id(text: str) -> RequestId:
    """Take text from outside as a request id.

    Raises:
        Refusal: `primitive.bad-request-id` unless it is 26 Crockford characters below 2**128.
    """
    if len(text) != 26 or any(c not in _CROCKFORD for c in text) or text[0] > "7":
        raise Refusal(
            "primitive.bad-request-id", "a request id has 26 characters of 0-9 A-Z less I L O U"
        )
    return _RequestId(text)


def address_to_hex(address: Address) -> str:
    """Write an address as ``0x`` and 40 lower-case hex digits."""
    return "0x" + address.hex()


def address_from_hex(text: str) -> Address:
    """Read ``0x`` and 40 hex digits, any case.

    Raises:
        Refusal: `primitive.bad-address` if it is anything else.
    """
    digits = text[2:]
    # `bytes.fromhex` skips white space, so the digits are checked first.
    if len(digits) == 40 and text[:2].lower() == "0x" and set(digits) <= _HEX_DIGITS:
        return _Address(bytes.fromhex(digits))
    raise Refusal(
        "primitive.bad-address", f"not an address: {text[:60]!r}", hint="0x and 40 hex digits"
    )
