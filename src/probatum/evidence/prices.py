"""What an answer's documents say that it costs, checked against each other (`PAY-1`).

A node may charge what the hand-over allows, no more; a gateway states its price in the release.
Whether a running total is right is not in one bundle: it is by the documents before it. Must not
know escrows or vouchers.
"""

from __future__ import annotations

from probatum.errors import Refusal
from probatum.protocol.custody import Release
from probatum.protocol.receipts import Receipt

__all__ = ["check_receipt_price", "describe_prices"]


def check_receipt_price(receipt: Receipt, agreed_units: int) -> None:
    """Check that a node charges no more than the hand-over that it cites allows.

    Args:
        receipt: The receipt.
        agreed_units: `HandOver.price_units` of that hand-over.

    Raises:
        Refusal: `receipt.overcharged`.
    """
    if receipt.price_units > agreed_units:
        raise Refusal(
            "receipt.overcharged",
            f"the node charges {receipt.price_units} units, agreed were {agreed_units}",
        )


def describe_prices(receipt: Receipt, release: Release) -> str:
    """Say in a sentence what the documents charge; empty if nothing."""
    said = []
    if receipt.price_units:
        said.append(
            f"the node charged the gateway {receipt.price_units} units "
            f"({receipt.running_total_units} in all)"
        )
    if release.price_units:
        total = release.running_total_units
        in_all = f" ({total} in all)" if total is not None else ""
        said.append(f"the gateway charged {release.price_units} units{in_all}")
    text = "; ".join(said)
    return text[:1].upper() + text[1:] + "." if text else ""
