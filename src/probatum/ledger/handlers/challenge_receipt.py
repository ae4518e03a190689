"""Challenging an overdue receipt: its node gets a last span of blocks to settle it (`LOG-1`).

Lateness alone convicts nobody: blocks may have been full, the node may have been down. The bond
keeps the state small: it comes back when the challenge ends, so whoever opened one ends it.
"""

from __future__ import annotations

from probatum.errors import Refusal
from probatum.ledger.balances import debit
from probatum.ledger.context import Context
from probatum.ledger.offences import check_not_convicted
from probatum.ledger.sessions import OpenedReceipt, check_key, open_receipt
from probatum.ledger.state import State
from probatum.protocol.hexes import digest_from_hex
from probatum.protocol.primitives import Address
from probatum.protocol.records import ChallengeRecord
from probatum.protocol.transactions.kinds import ChallengeReceipt

__all__ = ["apply_challenge_receipt"]


def apply_challenge_receipt(
    state: State, context: Context, sender: Address, body: ChallengeReceipt
) -> None:
    """Open a challenge.

    Raises:
        Refusal: as `open_receipt`; `ledger.not-overdue` up to the receipt's height;
            `ledger.covered` if the settled log reaches it; `ledger.returned` if it was lost and is
            in a later session since; `ledger.convicted-already`;
            `ledger.challenged-already`; `ledger.key-retired` if the session's key cannot settle
            up to the deadline; `ledger.balance-too-low` for the bond.
    """
    opened = open_receipt(state, context, body.operator, body.receipt, body.signature)
    log, place = opened.log, opened.place
    if context.height <= place.include_by:
        raise Refusal("ledger.not-overdue", f"the receipt is good up to height {place.include_by}")
    if place.index < log.size:
        raise Refusal("ledger.covered", f"the log is settled up to {log.size} entries")
    returned = state.get_return(log.operator, log.session, place.index)
    if returned is not None:
        raise Refusal(
            "ledger.returned",
            f"the entry is in session {returned.in_session}, at index {returned.in_index}",
        )
    check_not_convicted(state, log, "entry", place.index)
    check_not_convicted(state, log, "omission", place.index)
    if state.get_challenge(log.operator, log.session, place.index) is not None:
        raise Refusal("ledger.challenged-already", "a challenge of this entry is open")
    params = context.params
    # Not longer than a key retired from now on can settle: else the challenge could not end.
    deadline = context.height + min(params.challenge_window_blocks, params.unbonding_blocks)
    check_key(state, context, log, deadline)
    payer = _find_payer(state, opened)
    bond = params.challenge_bond_units
    debit(state, sender, bond)
    state.put_challenge(
        ChallengeRecord(
            operator=log.operator,
            session=log.session,
            index=place.index,
            entry=opened.entry,
            challenger=sender,
            bond_units=bond,
            opened_at=context.height,
            deadline_at=deadline,
            refund_units=0 if payer is None else opened.price_units,
            payer=payer,
        )
    )


def _find_payer(state: State, opened: OpenedReceipt) -> Address | None:
    """Find who pays for a receipt: only an escrow for its operator can have (`PAY-1`)."""
    if not opened.price_units or opened.escrow is None:
        return None
    escrow = state.get_escrow(digest_from_hex(opened.escrow))
    return escrow.payer if escrow is not None and escrow.payee == opened.log.operator else None
