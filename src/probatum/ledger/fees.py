"""What a transaction must pay at least: by the signatures that it may make everybody check.

Must not know accounts.
"""

from __future__ import annotations

from probatum.ledger.params import Params
from probatum.protocol.transactions.kinds import Body, CollectVouchers, SettleCheckpoint

__all__ = ["count_shares", "get_least_fee"]


def count_shares(body: Body) -> int:
    """Count the shares of the least fee that a body owes: one, and one for each voucher."""
    return 1 + len(body.vouchers) if isinstance(body, CollectVouchers | SettleCheckpoint) else 1


def get_least_fee(params: Params, body: Body) -> int:
    """Compute the least fee of a transaction with this body."""
    return params.min_fee_units * count_shares(body)
