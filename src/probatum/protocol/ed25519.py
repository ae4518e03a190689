"""Ed25519 by nodes' operating keys: one library, one strict rule (RFC 8032, `PROTO-1`).

Libraries differ on crafted signatures, so everything that the network must agree on goes through
libsodium (by PyNaCl) and through this page. Must not know what is signed.

What is accepted: S below the group order, public key and R in their canonical encodings, neither
of small order, and the group equation *without* the cofactor (tests pin each). Only the owner of
a key can make signatures on which libraries with and without the cofactor differ; the release of
libsodium is pinned by the lock file all the same, since all nodes must decide alike.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from probatum.errors import Refusal
from probatum.protocol.primitives import (
    OperatingKey,
    OperatingSignature,
    make_operating_key,
    make_operating_signature,
)

__all__ = ["OperatingSigner", "check_signature"]

_FIELD_PRIME = 2**255 - 19
_Y_MASK = 2**255 - 1


@dataclass(frozen=True, slots=True)
class OperatingSigner:
    """A node's secret operating key. Never shows its secret in `repr`.

    Attributes:
        seed: The 32 secret bytes of RFC 8032.
        key: The public key that belongs to it.
    """

    seed: bytes = field(repr=False, compare=False)
    key: OperatingKey = field(init=False)
    _expanded: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Derive the public key. Raises Refusal `ed25519.bad-seed` unless 32 bytes are given."""
        if len(self.seed) != 32:
            raise Refusal("ed25519.bad-seed", f"a seed has 32 bytes, not {len(self.seed)}")
        public, expanded = crypto_sign_seed_keypair(self.seed)
        object.__setattr__(self, "key", make_operating_key(public))
        object.__setattr__(self, "_expanded", expanded)

    def sign(self, message: bytes) -> OperatingSignature:
        """Sign; the same message always gets the same signature."""
        return make_operating_signature(crypto_sign(message, self._expanded)[:64])


def _is_canonical_point(encoded: bytes) -> bool:
    return int.from_bytes(encoded, "little") & _Y_MASK < _FIELD_PRIME


def check_signature(key: OperatingKey, message: bytes, signature: OperatingSignature) -> None:
    """Check one signature, strictly; see the module for what is accepted.

    Raises:
        Refusal: `ed25519.bad-signature` whatever is wrong, sizes included.
    """
    if (
        len(key) == 32
        and len(signature) == 64
        and _is_canonical_point(key)
        and _is_canonical_point(signature[:32])
    ):
        try:
            crypto_sign_open(signature + message, key)
        except BadSignatureError:
            pass
        else:
            return
    raise Refusal("ed25519.bad-signature", f"not a signature by the key {key.hex()[:64]}")
