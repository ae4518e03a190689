"""Who has which keys: every key of a storm, derived from its seed and the holder's name.

The keys are real and so are all signatures. Must not know what anybody does with them.
"""

from __future__ import annotations

from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.hashing import hash_tagged
from probatum.protocol.secp256k1 import AccountSigner

__all__ = ["derive_account", "derive_operating"]


def _derive(seed: int, kind: str, name: str) -> bytes:
    return hash_tagged("probatum/storm/key", f"{seed}/{kind}/{name}".encode())


def derive_operating(seed: int, name: str) -> OperatingSigner:
    """Derive a party's operating key."""
    return OperatingSigner(_derive(seed, "operating", name))


def derive_account(seed: int, name: str) -> AccountSigner:
    """Derive the key of an account."""
    return AccountSigner(_derive(seed, "account", name))
