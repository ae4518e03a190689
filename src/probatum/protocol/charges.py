"""What a signed statement says of money, and how it must fit together (`PAY-1`).

Must not know who charges: receipts (nodes) and releases (gateways) state the same three fields.
"""

from __future__ import annotations

__all__ = ["find_charge_fault"]


def find_charge_fault(
    price_units: int, escrow: str | None, running_total_units: int | None
) -> str | None:
    """Find what is wrong with a stated price.

    Args:
        price_units: What is charged.
        escrow: Where, by id.
        running_total_units: All that was charged there, this included.

    Returns:
        Why the three do not fit together, or None if they do.
    """
    if (price_units > 0) != (escrow is not None) or (price_units > 0) != (
        running_total_units is not None
    ):
        return "exactly a statement with a price names its escrow and the total charged there"
    if running_total_units is not None and running_total_units < price_units:
        return "the total charged is below the price that it includes"
    return None
