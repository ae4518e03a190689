"""Makes the client with which commands ask. Must not know what is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from probatum.cli.settings import Common

if TYPE_CHECKING:
    from probatum.client.client import Client
    from probatum.client.paying import PaymentRules

__all__ = ["connect"]


def connect(common: Common, payment: PaymentRules | None, *, is_told: bool) -> Client:
    """Make the client.

    A ledger proves what comes, if there is one to be trusted; who pays has it prove the escrow in
    any case.

    Args:
        common: Where the network is.
        payment: What may be spent.
        is_told: Whether a ledger has been asked what the model is.

    Raises:
        Refusal: `settings.*`.
    """
    from probatum.client.client import Client  # noqa: PLC0415 - brings numpy and asyncio along

    trust = common.find_trust()
    is_proven = payment is not None or (is_told and trust is not None)
    return Client(
        common.get_gateway(),
        ledger=common.get_ledger() if is_proven else None,
        trust=trust,
        receipts=common.folder / "receipts",
        api_key=common.api_key,
        payment=payment,
    )
