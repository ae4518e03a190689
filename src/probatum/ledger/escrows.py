"""Collecting vouchers from escrows: the one place where a payee takes units out of one (`PAY-1`).

Must not know which transaction carries them.
"""

from __future__ import annotations

import msgspec

from probatum.errors import Refusal
from probatum.ledger.balances import credit
from probatum.ledger.context import Context
from probatum.ledger.state import State
from probatum.protocol.primitives import Address, Digest
from probatum.protocol.records import EscrowRecord
from probatum.protocol.vouchers import check_voucher, compute_escrow_id, decode_voucher

__all__ = ["collect", "collect_riding", "count_held", "get_own_escrow"]


def get_own_escrow(
    state: State, context: Context, payer: Address, payee: Address
) -> tuple[Digest, EscrowRecord]:
    """Get a payer's escrow for a payee, with its id. Raises Refusal `ledger.no-such-escrow`."""
    escrow = compute_escrow_id(context.domain, payer, payee)
    return escrow, _get_escrow(state, escrow)


def _get_escrow(state: State, escrow: Digest) -> EscrowRecord:
    record = state.get_escrow(escrow)
    if record is None:
        raise Refusal("ledger.no-such-escrow", "this escrow was never funded", hint="fund it first")
    return record


def count_held(record: EscrowRecord) -> int:
    """Count the units that an escrow holds."""
    return record.deposited_units - record.collected_units


def _collect_one(state: State, context: Context, data: bytes) -> int:
    """Collect one voucher; what it writes it writes at the end, after every check."""
    signed = decode_voucher(data)
    voucher = signed.voucher
    record = _get_escrow(state, voucher.escrow)
    paid = min(voucher.total_units, record.deposited_units)
    gain = paid - record.collected_units
    if gain <= 0:
        # Before its signature is looked at: what brings nothing must cost little.
        return 0
    check_voucher(context.domain, signed, record.payer)
    state.put_escrow(voucher.escrow, msgspec.structs.replace(record, collected_units=paid))
    credit(state, record.payee, gain)
    return gain


def collect(state: State, context: Context, vouchers: tuple[bytes, ...]) -> int:
    """Move what vouchers promise, and escrows hold, to the payees' balances.

    A voucher for more than was deposited collects what is there; it can be presented again when
    more was deposited. One that brings nothing new is passed over.

    Returns:
        Units collected.

    Raises:
        Refusal: `encoding.*`, `ledger.no-such-escrow`, `secp256k1.bad-signature`,
            `voucher.wrong-signer`.
    """
    return sum([_collect_one(state, context, data) for data in vouchers])


def collect_riding(state: State, context: Context, vouchers: tuple[bytes, ...]) -> None:
    """Collect vouchers that ride on another act, which must not fail because of one of them."""
    for data in vouchers:
        try:
            _collect_one(state, context, data)
        except Refusal:
            continue
