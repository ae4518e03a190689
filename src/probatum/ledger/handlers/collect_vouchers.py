"""Collecting vouchers by themselves: a gateway, which settles no log, is paid so (`PAY-1`)."""

from __future__ import annotations

from probatum.errors import Refusal
from probatum.ledger.context import Context
from probatum.ledger.escrows import collect
from probatum.ledger.state import State
from probatum.protocol.primitives import Address
from probatum.protocol.transactions.kinds import CollectVouchers

__all__ = ["apply_collect_vouchers"]


def apply_collect_vouchers(
    state: State, context: Context, sender: Address, body: CollectVouchers
) -> None:
    """Collect to the payees, whoever sends it.

    Raises:
        Refusal: as `collect`; `ledger.nothing-new` if none of them brings anything.
    """
    del sender
    if not collect(state, context, body.vouchers):
        raise Refusal("ledger.nothing-new", "all of this is collected already, or nothing is left")
