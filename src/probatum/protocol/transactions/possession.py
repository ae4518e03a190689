"""Proof that a publisher holds the key that it registers (`SIGN-2`).

Without it anybody could register another's key and be taken for the signer of another's models.
The proof names chain and account, so it serves nobody else. Must not know the ledger's rules.
"""

from __future__ import annotations

from probatum.protocol.eip712 import Domain
from probatum.protocol.hashing import hash_tagged
from probatum.protocol.p256 import PublisherSigner, check_publisher_signature
from probatum.protocol.primitives import Address, PublisherKey, PublisherSignature

__all__ = ["check_possession", "sign_possession"]


def sign_possession(
    domain: Domain, account: Address, signer: PublisherSigner
) -> PublisherSignature:
    """Sign that this key is to speak for an account on a chain."""
    return signer.sign(_compute_message(domain, account, signer.key))


def check_possession(
    domain: Domain, account: Address, key: PublisherKey, possession: PublisherSignature
) -> None:
    """Check a proof of possession. Raises Refusal `p256.bad-signature`, `p256.bad-key`."""
    check_publisher_signature(key, _compute_message(domain, account, key), possession)


def _compute_message(domain: Domain, account: Address, key: PublisherKey) -> bytes:
    return hash_tagged(
        "probatum/publisher-key/1",
        domain.chain_id.to_bytes(8, "big"),
        domain.genesis_hash,
        account,
        key,
    )
