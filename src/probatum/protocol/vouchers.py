"""Vouchers: what a payer signs so that no request needs a transaction of its own (`PAY-1`).

A voucher states the sum of all that its payer has promised in one escrow, so the newest is worth
all, and presenting one twice brings nothing. An ordinary wallet shows and signs it, for one
network only. Must not know what is in an escrow (`probatum.ledger`).
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.eip712 import Domain, Field, compute_signing_digest
from probatum.protocol.encoding import LedgerValue, decode, encode
from probatum.protocol.hashing import hash_tagged
from probatum.protocol.primitives import Address, Amount, Digest, RecoverableSignature
from probatum.protocol.secp256k1 import AccountSigner, recover_address

__all__ = [
    "VOUCHER_NAME",
    "SignedVoucher",
    "Voucher",
    "check_voucher",
    "compute_escrow_id",
    "decode_voucher",
    "encode_voucher",
    "get_voucher_fields",
    "sign_voucher",
]

VOUCHER_NAME: Final = "Voucher"
"""The name under which a wallet shows it; no kind of transaction has it."""

_LastRequest = Annotated[str, Meta(pattern=r"^(?:[0-7][0-9A-HJKMNP-TV-Z]{25})?\Z", max_length=26)]


class Voucher(LedgerValue, frozen=True, kw_only=True):
    """A promise to pay from one escrow.

    Attributes:
        escrow: Which, by its id (`compute_escrow_id`): payer, payee and network.
        total_units: All that was ever promised in it, this included; it only grows.
        last_request: The request that it was signed for, or empty. The ledger does not look at
            it; a payee takes a voucher for that request only, so that no other can spend it.
    """

    escrow: Digest
    total_units: Amount
    last_request: _LastRequest = ""


class SignedVoucher(LedgerValue, frozen=True, kw_only=True):
    """A voucher with its payer's signature."""

    voucher: Voucher
    signature: RecoverableSignature


def compute_escrow_id(domain: Domain, payer: Address, payee: Address) -> Digest:
    """Compute the id of the one escrow that a payer has for a payee on a network.

    The network is in it, because statements that name an escrow are signed by keys that may
    serve in several networks.
    """
    return hash_tagged(
        "probatum/escrow/1",
        domain.chain_id.to_bytes(8, "big"),
        domain.genesis_hash,
        payer,
        payee,
    )


def get_voucher_fields(voucher: Voucher) -> tuple[Field, ...]:
    """List the typed-data fields (name, EIP-712 type, value) that the payer signs."""
    return (
        ("escrow", "bytes32", voucher.escrow),
        ("total", "uint64", voucher.total_units),
        ("last_request", "string", voucher.last_request),
    )


def _compute_digest(domain: Domain, voucher: Voucher) -> bytes:
    return compute_signing_digest(domain, VOUCHER_NAME, get_voucher_fields(voucher))


def sign_voucher(domain: Domain, signer: AccountSigner, voucher: Voucher) -> SignedVoucher:
    """Sign a voucher with the payer's key."""
    signature = signer.sign_digest(_compute_digest(domain, voucher))
    return SignedVoucher(voucher=voucher, signature=signature)


def check_voucher(domain: Domain, signed: SignedVoucher, payer: Address) -> None:
    """Check that the payer signed a voucher for this network.

    Raises:
        Refusal: `secp256k1.bad-signature`, `voucher.wrong-signer`.
    """
    if recover_address(_compute_digest(domain, signed.voucher), signed.signature) != payer:
        raise Refusal(
            "voucher.wrong-signer",
            "the voucher is not signed by the payer of its escrow",
            hint="sign with the payer's account, for this chain id and this genesis hash",
        )


def encode_voucher(signed: SignedVoucher) -> bytes:
    """Encode a signed voucher, as transactions carry it."""
    return encode(signed)


def decode_voucher(data: bytes) -> SignedVoucher:
    """Decode a signed voucher, strictly; its signature is not checked. Refusal `encoding.*`."""
    return decode(SignedVoucher, data, limit_bytes=limits.VOUCHER_BYTES)
