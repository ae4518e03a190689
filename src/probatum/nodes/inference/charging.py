"""What a node charges: a voucher before it accepts, a price in the receipt (`PAY-1`).

Few lines between `work` and the tabs, so that a node whose price is 0 runs none of them. Must not
know how vouchers come to be or what the ledger does with them. Read next: `probatum.client.tabs`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from probatum.client.tabs import Tabs
from probatum.errors import Refusal
from probatum.machine.wishes import Wish
from probatum.nodes.inference.errands import Errands
from probatum.nodes.inference.handover import HandedOver
from probatum.nodes.inference.journal_records import VoucherRecord
from probatum.nodes.inference.settings import InferenceSettings
from probatum.protocol import limits
from probatum.protocol.dsse import sign_envelope
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.encoding import encode, encode_document
from probatum.protocol.messages import HandOverWork, Tab
from probatum.protocol.primitives import Digest
from probatum.protocol.receipts import Receipt, decode_receipt
from probatum.protocol.transactions.kinds import CollectVouchers

__all__ = ["Collecting", "reserve_price", "show_tab", "state_charge"]

_COLLECT: Final = "collect"


def reserve_price(
    handed: HandedOver, message: HandOverWork, settings: InferenceSettings, tabs: Tabs
) -> tuple[bytes, ...]:
    """Reserve the node's price of work that it is about to accept.

    Returns:
        What must be on disk before the work is accepted: nothing where nothing is charged.

    Raises:
        Refusal: `payment.price-too-low` if the giver has agreed to less than the price, and as
            `Tabs.reserve`.
    """
    price = settings.price_units
    if not price:
        return ()
    record = handed.record
    if record.price_units < price:
        raise Refusal(
            "payment.price-too-low",
            f"the hand-over allows {record.price_units} units, the price is {price}",
            hint="the node's offer on the ledger says what it asks",
        )
    user = record.giver.account
    better = tabs.reserve(
        handed.digest.hex(),
        message.voucher,
        user=user,
        request_id=record.request_id,
        price_units=price,
    )
    if better is None:
        return ()
    tab = tabs.get(better.voucher.escrow)
    charged = tab.charged_units if tab else 0
    return (encode(VoucherRecord(voucher=better, user=user, charged_units=charged)),)


def state_charge(receipt: Receipt, name: str, settings: InferenceSettings, tabs: Tabs) -> Receipt:
    """Add to a receipt what it charges, in the order of the log."""
    if not settings.price_units:
        return receipt
    charge = tabs.plan_charge(name, settings.price_units)
    return msgspec.structs.replace(
        receipt,
        price_units=charge.price_units,
        escrow=charge.escrow.hex(),
        running_total_units=charge.running_total_units,
    )


def show_tab(tabs: Tabs, escrow: Digest, signer: OperatingSigner) -> Tab:
    """Show what was charged to an escrow, with the last receipt that says so.

    Raises:
        Refusal: `payment.no-tab`.
    """

    def make_statement(payload: bytes) -> bytes | None:
        # One of an earlier operating key cannot be signed again.
        if decode_receipt(payload).node.key != signer.key.hex():
            return None
        return encode_document(sign_envelope(payload, (signer,)))

    return tabs.show(escrow, make_statement)


class Collecting:
    """Collects what checkpoints did not: of escrows that close, and what was left over."""

    def __init__(self, settings: InferenceSettings, errands: Errands, tabs: Tabs) -> None:
        """Make it; nothing is on its way."""
        self._fee_units = settings.fee_units
        self._errands = errands
        self._tabs = tabs

    @property
    def is_done(self) -> bool:
        """Whether nothing that is worth its fee is left to collect."""
        return not self._tabs.count_due(least_units=self._fee_units)

    def plan(self, *, is_settled: bool) -> tuple[Wish, ...]:
        """Collect what is due and worth its fee.

        Args:
            is_settled: Whether no checkpoint is due, which would carry the vouchers for nothing.
        """
        closing = self._tabs.has_closing(least_units=self._fee_units)
        if self.is_done or not (is_settled or closing):
            return ()
        if not self._errands.is_free(_COLLECT):
            return ()
        vouchers = self._tabs.list_due(limits.VOUCHERS, least_units=self._fee_units)
        body = CollectVouchers(vouchers=tuple(encode(one) for one in vouchers))
        return self._errands.submit(_COLLECT, body)
