"""Accounts' signatures: ECDSA over secp256k1 with public-key recovery, as in EVM wallets.

A signature is r ‖ s ‖ v with v 27 or 28 and s in the lower half (EIP-2), so that a signed
transaction has one signature that anyone can derive from it. Must not know what is signed:
see `eip712`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from coincurve import PrivateKey, PublicKey

from probatum.errors import Refusal
from probatum.protocol.hashing import keccak256
from probatum.protocol.primitives import (
    Address,
    RecoverableSignature,
    make_address,
    make_recoverable_signature,
)

__all__ = ["GROUP_ORDER", "AccountSigner", "recover_address"]

GROUP_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""The order of the curve's group (SEC 2, §2.4.1)."""

_HALF_ORDER = GROUP_ORDER // 2


def _address_of(public: PublicKey) -> Address:
    return make_address(keccak256(public.format(compressed=False)[1:])[12:])


@dataclass(frozen=True, slots=True)
class AccountSigner:
    """An account's secret key. Never shows its secret in `repr`.

    Attributes:
        secret: 32 bytes, a number from 1 to the group order less one.
        address: The account that it controls.
    """

    secret: bytes = field(repr=False, compare=False)
    address: Address = field(init=False)
    _key: PrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Derive the address. Raises Refusal `secp256k1.bad-secret` if out of range."""
        if len(self.secret) != 32 or not 0 < int.from_bytes(self.secret, "big") < GROUP_ORDER:
            raise Refusal(
                "secp256k1.bad-secret", "a secret key has 32 bytes, within the group order"
            )
        key = PrivateKey(self.secret)
        object.__setattr__(self, "address", _address_of(key.public_key))
        object.__setattr__(self, "_key", key)

    def sign_digest(self, digest: bytes) -> RecoverableSignature:
        """Sign 32 bytes, deterministically (RFC 6979), with low s.

        Raises:
            Refusal: `secp256k1.bad-digest` unless 32 bytes are given.
        """
        if len(digest) != 32:
            raise Refusal("secp256k1.bad-digest", f"a digest has 32 bytes, not {len(digest)}")
        signature = self._key.sign_recoverable(digest, hasher=None)
        return make_recoverable_signature(signature[:64] + bytes((signature[64] + 27,)))


def recover_address(digest: bytes, signature: RecoverableSignature) -> Address:
    """Compute which account signed 32 bytes.

    Raises:
        Refusal: `secp256k1.bad-signature` for a high s, a v other than 27 and 28, r or s out of
            range, a point at infinity, wrong sizes.
    """
    if (
        len(digest) == 32
        and len(signature) == 65
        and signature[64] in (27, 28)
        and 0 < int.from_bytes(signature[:32], "big") < GROUP_ORDER
        and 0 < int.from_bytes(signature[32:64], "big") <= _HALF_ORDER
    ):
        plain = signature[:64] + bytes((signature[64] - 27,))
        try:
            return _address_of(PublicKey.from_signature_and_message(plain, digest, hasher=None))
        except ValueError:
            pass
    raise Refusal(
        "secp256k1.bad-signature",
        "not a recoverable signature with low s and v 27 or 28",
    )
