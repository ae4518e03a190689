"""Convicting a node that charged twice for one hand-over (`PAY-1`).

An honest node answers a hand-over once a session, and whoever asks again is given the same bytes. A
node that lost its disk may answer it anew, but only in another session: so both receipts must be of
one. Where one of them charges nothing, nobody was charged twice.
"""

from __future__ import annotations

from probatum.errors import Refusal
from probatum.ledger.context import Context
from probatum.ledger.offences import convict
from probatum.ledger.sessions import open_receipt
from probatum.ledger.state import State
from probatum.protocol.primitives import Address
from probatum.protocol.transactions.kinds import ReportTwoCharges

__all__ = ["apply_report_two_charges"]


def apply_report_two_charges(
    state: State, context: Context, sender: Address, body: ReportTwoCharges
) -> None:
    """Convict the operator of charging twice for one hand-over.

    Raises:
        Refusal: as `open_receipt` for either; `ledger.no-conflict` unless they are two receipts
            with a price, of one session, for one hand-over; `ledger.convicted-already`.
    """
    first = open_receipt(state, context, body.operator, body.first, body.first_signature)
    second = open_receipt(state, context, body.operator, body.second, body.second_signature)
    if first.place.session != second.place.session or first.custody != second.custody:
        raise Refusal("ledger.no-conflict", "the receipts are of two hand-overs or sessions")
    if first.entry == second.entry:
        raise Refusal("ledger.no-conflict", "it is one receipt, given twice")
    if not (first.price_units and second.price_units):
        raise Refusal("ledger.no-conflict", "one of them charges nothing")
    # The later entry is the one too many, whichever is called the first: each costs once.
    index = max(first.place.index, second.place.index)
    convict(state, context, first.log, kind="charge", index=index, reporter=sender)
