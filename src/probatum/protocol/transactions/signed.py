"""A signed transaction: common fields, body, and the EIP-712 signature of the sender (`TX-1`).

The EIP-712 domain is chain id *and* genesis hash, so a signature holds on one chain only; the
nonce makes it hold once. Must not know what a body does.
"""

from __future__ import annotations

from typing import Any

import msgspec

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.ed25519 import OperatingSigner, check_signature
from probatum.protocol.eip712 import Domain, compute_signing_digest
from probatum.protocol.encoding import LedgerValue, decode, encode
from probatum.protocol.hashing import hash_tagged, sha256
from probatum.protocol.primitives import (
    Address,
    Amount,
    Digest,
    Index,
    OperatingKey,
    OperatingSignature,
    RecoverableSignature,
    make_operating_signature,
)
from probatum.protocol.secp256k1 import AccountSigner, recover_address
from probatum.protocol.transactions.kinds import Body, NodeBody, RegisterNode

__all__ = [
    "SignedTransaction",
    "check_authority",
    "check_sender",
    "compute_transaction_hash",
    "decode_transaction",
    "get_eip712_fields",
    "sign_authority",
    "sign_transaction",
]


class SignedTransaction(LedgerValue, frozen=True, kw_only=True):
    """What travels and what blocks hold."""

    sender: Address
    nonce: Index
    fee_units: Amount
    body: Body
    signature: RecoverableSignature


def get_eip712_fields(
    sender: Address, nonce: int, fee_units: int, body: Body
) -> tuple[tuple[str, str, Any], ...]:
    """List the typed-data fields (name, EIP-712 type, value) that the sender signs."""
    common: tuple[tuple[str, str, Any], ...] = (
        ("sender", "address", sender),
        ("nonce", "uint64", nonce),
        ("fee_units", "uint64", fee_units),
    )
    return common + tuple((name, kind, getattr(body, name)) for name, kind in body.EIP712)


def _signing_digest(domain: Domain, sender: Address, nonce: int, fee: int, body: Body) -> bytes:
    fields = get_eip712_fields(sender, nonce, fee, body)
    return compute_signing_digest(domain, type(body).__name__, fields)


def sign_transaction(
    domain: Domain, signer: AccountSigner, *, nonce: int, fee_units: int, body: Body
) -> SignedTransaction:
    """Sign a body with an account's key."""
    digest = _signing_digest(domain, signer.address, nonce, fee_units, body)
    return SignedTransaction(
        sender=signer.address,
        nonce=nonce,
        fee_units=fee_units,
        body=body,
        signature=signer.sign_digest(digest),
    )


def check_sender(domain: Domain, transaction: SignedTransaction) -> None:
    """Check that the sender signed.

    Raises:
        Refusal: `secp256k1.bad-signature`, `transaction.wrong-signer`.
    """
    digest = _signing_digest(
        domain,
        transaction.sender,
        transaction.nonce,
        transaction.fee_units,
        transaction.body,
    )
    if recover_address(digest, transaction.signature) != transaction.sender:
        raise Refusal(
            "transaction.wrong-signer",
            "the signature is not the sender's",
            hint="sign for this chain id and this genesis hash",
        )


def decode_transaction(data: bytes) -> SignedTransaction:
    """Decode transaction bytes, strictly. Raises Refusal `encoding.*`."""
    return decode(SignedTransaction, data, limit_bytes=limits.TRANSACTION_BYTES)


def compute_transaction_hash(data: bytes) -> Digest:
    """Compute SHA-256 of the transaction's bytes."""
    return sha256(data)


def compute_authority_message(domain: Domain, sender: Address, body: NodeBody) -> bytes:
    """Compute what a node's operating key signs to authorise a body.

    The body is encoded with an authority of zeros. `sender` is bound for registrations only (the
    operator's account must be the sender); other bodies name their operator, and anybody may pay.
    """
    unsigned = msgspec.structs.replace(body, authority=make_operating_signature(bytes(64)))
    bound = sender if isinstance(body, RegisterNode) else b""
    return hash_tagged(
        "probatum/authority/1",
        domain.chain_id.to_bytes(8, "big"),
        domain.genesis_hash,
        bound,
        encode(unsigned),
    )


def sign_authority(
    domain: Domain, signer: OperatingSigner, sender: Address, body: NodeBody
) -> OperatingSignature:
    """Sign a body's authority with the node's operating key; `body.authority` is ignored."""
    return signer.sign(compute_authority_message(domain, sender, body))


def check_authority(domain: Domain, key: OperatingKey, sender: Address, body: NodeBody) -> None:
    """Check a body's authority by its node's key. Raises Refusal `ed25519.bad-signature`."""
    check_signature(key, compute_authority_message(domain, sender, body), body.authority)
