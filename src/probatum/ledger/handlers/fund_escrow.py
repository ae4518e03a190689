"""Funding an escrow: units are set aside for one payee, who alone can collect them (`PAY-1`)."""

from __future__ import annotations

import msgspec

from probatum.errors import Refusal
from probatum.ledger.balances import burn, check_amount, debit
from probatum.ledger.context import Context
from probatum.ledger.state import State
from probatum.protocol.primitives import AMOUNT_BOUND, Address
from probatum.protocol.records import EscrowRecord
from probatum.protocol.transactions.kinds import FundEscrow
from probatum.protocol.vouchers import compute_escrow_id

__all__ = ["apply_fund_escrow"]


def apply_fund_escrow(state: State, context: Context, sender: Address, body: FundEscrow) -> None:
    """Open the sender's escrow for the payee, or add to it; one that was closing is open again.

    What opening costs is burned: the record stays for ever, and its payee has to know it.

    Raises:
        Refusal: `ledger.zero-amount`; `ledger.balance-too-low`; `ledger.escrow-full` where a
            voucher could not name the sum any more.
    """
    check_amount(body.amount)
    debit(state, sender, body.amount)
    escrow = compute_escrow_id(context.domain, sender, body.payee)
    record = state.get_escrow(escrow)
    if record is None:
        price = context.params.open_escrow_units
        debit(state, sender, price)
        burn(state, price)
        record = EscrowRecord(
            payer=sender,
            payee=body.payee,
            deposited_units=0,
            collected_units=0,
            closing_at=None,
            opened_at=context.height,
        )
    deposited = record.deposited_units + body.amount
    if deposited >= AMOUNT_BOUND:
        raise Refusal(
            "ledger.escrow-full",
            "as much as an amount can be was paid through this escrow",
            hint="pay from another account",
        )
    state.put_escrow(
        escrow, msgspec.structs.replace(record, deposited_units=deposited, closing_at=None)
    )
