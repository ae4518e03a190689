"""What a transaction must pay at least: by what it may make everybody check, carry and keep.

Must not know accounts.
"""

from __future__ import annotations

from probatum.ledger.params import Params
from probatum.protocol import limits
from probatum.protocol.encoding import encode
from probatum.protocol.transactions.kinds import Body, CollectVouchers, SettleCheckpoint, Transfer

__all__ = ["count_shares", "get_least_fee"]


def count_shares(body: Body) -> int:
    """Count the shares of the least fee that a body owes: one, and one for each voucher.

    One for each started `limits.SHARE_BYTES`, if that is more: else a hundred of the largest, for
    next to nothing, would be a whole block.
    """
    if isinstance(body, Transfer):
        return 1  # as small as most are, and by far the most
    signatures = 1
    if isinstance(body, CollectVouchers | SettleCheckpoint):
        signatures += len(body.vouchers)
    return max(signatures, -(-len(encode(body)) // limits.SHARE_BYTES))


def get_least_fee(params: Params, body: Body) -> int:
    """Compute the least fee of a transaction with this body."""
    return params.min_fee_units * count_shares(body)
