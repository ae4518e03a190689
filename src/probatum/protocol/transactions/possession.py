"""Proofs that who registers a key holds it (`SIGN-2`, `VAL-1`).

Without one anybody could register another's key: be taken for the signer of another's models, or
for the validator that another is. The proof names chain and account, so it serves nobody else.
Must not know the ledger's rules.
"""

from __future__ import annotations

from probatum.protocol.ed25519 import OperatingSigner, check_signature
from probatum.protocol.eip712 import Domain
from probatum.protocol.hashing import hash_tagged
from probatum.protocol.p256 import PublisherSigner, check_publisher_signature
from probatum.protocol.primitives import (
    Address,
    ConsensusKey,
    OperatingSignature,
    PublisherKey,
    PublisherSignature,
    make_operating_key,
)

__all__ = [
    "check_consensus_possession",
    "check_possession",
    "sign_consensus_possession",
    "sign_possession",
]


def sign_possession(
    domain: Domain, account: Address, signer: PublisherSigner
) -> PublisherSignature:
    """Sign that this key is to speak for an account on a chain."""
    return signer.sign(_compute_message("publisher", domain, account, signer.key))


def check_possession(
    domain: Domain, account: Address, key: PublisherKey, possession: PublisherSignature
) -> None:
    """Check a proof of possession. Raises Refusal `p256.bad-signature`, `p256.bad-key`."""
    check_publisher_signature(key, _compute_message("publisher", domain, account, key), possession)


def sign_consensus_possession(
    domain: Domain, account: Address, signer: OperatingSigner
) -> OperatingSignature:
    """Sign that this key is to vote for an account on a chain."""
    return signer.sign(_compute_message("consensus", domain, account, signer.key))


def check_consensus_possession(
    domain: Domain, account: Address, key: ConsensusKey, possession: OperatingSignature
) -> None:
    """Check a validator's proof of possession. Raises Refusal `ed25519.bad-signature`."""
    message = _compute_message("consensus", domain, account, key)
    check_signature(make_operating_key(key), message, possession)


def _compute_message(kind: str, domain: Domain, account: Address, key: bytes) -> bytes:
    return hash_tagged(
        f"probatum/{kind}-key/1",
        domain.chain_id.to_bytes(8, "big"),
        domain.genesis_hash,
        account,
        key,
    )
