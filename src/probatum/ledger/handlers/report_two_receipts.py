"""Convicting a node of two receipts under one index: never excused (`LOG-1`).

An honest node writes an entry down before it signs for its index, so no crash, restored backup or
second copy makes it sign two.
"""

from __future__ import annotations

from probatum.errors import Refusal
from probatum.ledger.context import Context
from probatum.ledger.offences import convict
from probatum.ledger.sessions import open_receipt
from probatum.ledger.state import State
from probatum.protocol.primitives import Address
from probatum.protocol.transactions.kinds import ReportTwoReceipts

__all__ = ["apply_report_two_receipts"]


def apply_report_two_receipts(
    state: State, context: Context, sender: Address, body: ReportTwoReceipts
) -> None:
    """Convict the operator of a lie about one entry.

    Raises:
        Refusal: as `open_receipt` for either; `ledger.no-conflict` unless they are two, for one
            index of one session; `ledger.convicted-already`.
    """
    first = open_receipt(state, context, body.operator, body.first, body.first_signature)
    second = open_receipt(state, context, body.operator, body.second, body.second_signature)
    one, other = first.place, second.place
    if (one.session, one.index) != (other.session, other.index):
        raise Refusal("ledger.no-conflict", "the receipts are for two places")
    if first.entry == second.entry:
        raise Refusal("ledger.no-conflict", "it is one receipt, given twice")
    convict(state, context, first.log, kind="entry", index=one.index, reporter=sender)
