"""What a gateway pays nodes: one escrow each, a voucher with each hand-over (`PAY-1`).

How much can be lost to one node is bounded before anything is signed: vouchers run ahead of the
answers that came by `exposure_units` at most, and by a few thousandths for answers that got lost
on the way. A node that takes vouchers and never answers is soon not asked any more. Must not know
requests or who pays the gateway (`till`). Read next: `funding`, `probatum.client.purse`.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from probatum.client.ledger_view import LedgerView
from probatum.client.purse import Purse
from probatum.errors import Refusal
from probatum.machine.events import Event, Returned, Unreachable
from probatum.machine.wishes import Report, Send, Wish
from probatum.nodes.gateway.journal_records import (
    BoughtRecord,
    ChargedRecord,
    Cost,
    SummaryRecord,
)
from probatum.nodes.gateway.settings import GatewaySettings
from probatum.protocol import limits
from probatum.protocol.dsse import Envelope, check_envelope, decode_payload
from probatum.protocol.encoding import decode_document
from probatum.protocol.hexes import address_from_document, key_from_hex
from probatum.protocol.messages import GetTab, Tab
from probatum.protocol.primitives import Address, RequestId
from probatum.protocol.receipts import Receipt, decode_receipt
from probatum.protocol.records import EscrowRecord, NodeRecord
from probatum.protocol.vouchers import SignedVoucher, compute_escrow_id

__all__ = ["TAB", "Means", "Spending"]

Means: TypeAlias = Literal["yes", "soon", "no"]
"""Whether a node can be paid: now, once its escrow is funded, or not."""

TAB: Final = "tab:"
"""Before an operator and a number: a call for what a node says was charged."""
_TIMEOUT_MS: Final = 5_000


class Spending:
    """The gateway's purses."""

    def __init__(self, settings: GatewaySettings, view: LedgerView) -> None:
        """Make it; nothing was paid yet."""
        self._settings = settings
        self._view = view
        self._purses: dict[Address, Purse] = {}
        self._named: dict[str, Purse] = {}
        self._earlier: dict[bytes, tuple[int, int]] = {}
        self._wanted: dict[Address, int] = {}
        self._asked: dict[Address, str] = {}
        self._calls = 0
        self._told: set[Address] = set()

    def recover(self, record: ChargedRecord | SummaryRecord) -> None:
        """Take what an earlier life got from a node for its money, in the journal's order."""
        match record:
            case ChargedRecord(cost=Cost() as cost):
                self._recover(cost.escrow, cost.running_total_units, cost.price_units)
            case BoughtRecord():
                self._recover(record.escrow, record.running_total_units, record.seen_units)
            case _:
                pass

    def _recover(self, escrow: bytes, total_units: int, seen_units: int) -> None:
        total, seen = self._earlier.get(escrow, (0, 0))
        # A summary stands before older records that are still needed: totals never fall.
        self._earlier[escrow] = (max(total, total_units), seen + seen_units)

    @property
    def unanswered_units(self) -> int:
        """What nodes could collect beyond the answers that came, of what this life knows."""
        return sum(purse.signed_units - purse.seen_units for purse in self._purses.values())

    def list_wanted(self) -> tuple[tuple[Address, int], ...]:
        """List whose escrows lack money, with the total that must be deposited."""
        return tuple(sorted(self._wanted.items()))

    def get_means(self, node: NodeRecord, price_units: int, *, wanting: bool = True) -> Means:
        """Tell whether a hand-over to a node at a price can be paid for.

        Args:
            node: The node.
            price_units: Its price.
            wanting: Whether its escrow shall be filled if that is all that is missing.
        """
        if self._settings.payer is None:
            return "no"
        record = self.get_escrow(node.account)
        if record is not None and record.closing_at is not None:
            return "no"
        if record is None:
            return self._want(node.account, price_units, wanting=wanting)
        purse = self._get_purse(node.account, record)
        total = purse.plan(price_units)
        if total > self._get_limit(purse):
            return "no"
        if total > record.deposited_units:
            return self._want(node.account, total, wanting=wanting)
        if total + self._settings.escrow_units // 2 > record.deposited_units:
            # Topped up before it runs dry: nobody waits for it then.
            self._wanted[node.account] = total
        return "yes"

    def _want(self, node: Address, total_units: int, *, wanting: bool) -> Means:
        if wanting:
            self._wanted[node] = total_units
        return "soon"

    def pay(
        self, name: str, node: NodeRecord, price_units: int, request_id: RequestId
    ) -> SignedVoucher:
        """Sign a voucher for a hand-over that `get_means` has just said yes to.

        Raises:
            Refusal: `payment.over-limit`.
        """
        record, payer = self.get_escrow(node.account), self._settings.payer
        if record is None or payer is None:
            raise Refusal("payment.no-escrow", "there is no escrow towards this node")
        purse = self._get_purse(node.account, record)
        signed = purse.sign(
            name,
            price_units,
            request_id,
            limit_units=min(self._get_limit(purse), record.deposited_units),
            domain=self._settings.domain,
            signer=payer,
        )
        self._named[name] = purse
        return signed

    def check(self, node: Address, receipt: Receipt, agreed_units: int) -> None:
        """Check what a receipt charges.

        Args:
            node: Who signed it.
            receipt: The receipt.
            agreed_units: What the hand-over that it cites allows.

        Raises:
            Refusal: `payment.overcharged`, `payment.wrong-escrow`.
        """
        total = receipt.running_total_units
        if not receipt.price_units:
            return
        purse, record = self._purses.get(node), self.get_escrow(node)
        if purse is None or record is None:
            raise Refusal("payment.overcharged", "a price was charged that nobody agreed to")
        if receipt.escrow != purse.escrow.hex() or total is None:
            raise Refusal("payment.wrong-escrow", "the receipt charges another escrow")
        limit = min(self._get_limit(purse), record.deposited_units)
        purse.check_charge(receipt.price_units, total, agreed_units=agreed_units, limit_units=limit)

    def settle(self, name: str, node: Address, receipt: Receipt) -> None:
        """Take an answer whose receipt `check` has passed.

        Args:
            name: Of the hand-over that it cites. That may have ended before: a node that is asked
                again answers with what it had accepted first.
            node: Who signed it.
            receipt: The receipt.
        """
        self.drop(name)
        purse = self._purses.get(node)
        if purse is not None and receipt.running_total_units is not None:
            purse.settle(name, receipt.price_units, receipt.running_total_units)

    def drop(self, name: str) -> None:
        """End a hand-over that brought no answer."""
        purse = self._named.pop(name, None)
        if purse is not None:
            purse.drop(name)

    # ------------------------------------------------------------------ what the node says it is

    def ask_tab(self, node: NodeRecord) -> tuple[Wish, ...]:
        """Ask a node what it has charged: it refused a voucher as too low."""
        record = self.get_escrow(node.account)
        if record is None or node.account in self._asked:
            return ()
        self._calls += 1
        call = f"{TAB}{node.account.hex()}:{self._calls}"
        self._asked[node.account] = call
        escrow = self._get_purse(node.account, record).escrow
        return (Send(call, node.endpoint, GetTab(escrow=escrow), _TIMEOUT_MS),)

    def owns(self, event: Event) -> bool:
        """Tell whether an event answers `ask_tab`."""
        match event:
            case Returned(call=call) | Unreachable(call=call):
                return call.startswith(TAB)
            case _:
                return False

    def step(self, event: Event) -> tuple[Wish, ...]:
        """Take an event that `owns` claims."""
        if not isinstance(event, Returned | Unreachable):
            return ()
        node = Address(bytes.fromhex(event.call.removeprefix(TAB).partition(":")[0]))
        if self._asked.get(node) != event.call:
            return ()
        del self._asked[node]
        purse = self._purses.get(node)
        if not isinstance(event, Returned) or not isinstance(event.message, Tab) or purse is None:
            return ()
        try:
            self._check_tab(node, purse, event.message)
        except Refusal as refusal:
            fields = (("operator", node.hex()),)
            return (Report("warning", refusal.code, refusal.message, fields),)
        purse.take_tab(event.message.charged_units, event.message.reserved_units)
        return self._complain(node, purse)

    def _check_tab(self, node: Address, purse: Purse, tab: Tab) -> None:
        """Check that the node has signed what it says was charged (`PAY-1`).

        Raises:
            Refusal: `payment.wrong-tab`, `dsse.*`, `encoding.*`, `statement.*`.
        """
        if tab.escrow != purse.escrow:
            raise Refusal("payment.wrong-tab", "a tab of another escrow")
        if tab.charged_units <= purse.charged_units:
            return
        if not tab.statement:
            raise Refusal("payment.wrong-tab", "a tab without a signed statement")
        envelope = decode_document(Envelope, tab.statement, limit_bytes=limits.ENVELOPE_BYTES)
        receipt = decode_receipt(decode_payload(envelope))
        key = key_from_hex(receipt.node.key)
        check_envelope(envelope, (key,))
        owner = self._view.get_key(key)
        if owner is None or owner.account != node:
            raise Refusal("payment.wrong-tab", "the tab's statement is signed by somebody else")
        if address_from_document(receipt.node.account) != node:
            raise Refusal("payment.wrong-tab", "the tab's statement is another node's")
        stated = (receipt.escrow, receipt.running_total_units)
        if stated != (purse.escrow.hex(), tab.charged_units):
            raise Refusal("payment.wrong-tab", "the tab's statement states another total")

    def _complain(self, node: Address, purse: Purse) -> tuple[Wish, ...]:
        """Say once of a node that it charged more than it ever delivered."""
        record = self.get_escrow(node)
        if record is None or node in self._told:
            return ()
        limit = self._get_limit(purse)
        if purse.plan(1) <= limit:
            return ()
        self._told.add(node)
        why = (
            f"it has charged {purse.charged_units} units; answers worth {purse.seen_units} came: "
            "it is not asked any more at a price"
        )
        return (Report("error", "payment.exposed", why, (("operator", node.hex()),)),)

    # ------------------------------------------------------------------ escrows

    def get_escrow(self, node: Address) -> EscrowRecord | None:
        """Get the escrow towards a node, None if there is none yet."""
        payer, domain = self._settings.payer, self._settings.domain
        if payer is None:
            return None
        return self._view.get_escrow(compute_escrow_id(domain, payer.address, node))

    def _get_purse(self, node: Address, record: EscrowRecord) -> Purse:
        self._wanted.pop(node, None)
        purse = self._purses.get(node)
        if purse is None:
            escrow = compute_escrow_id(self._settings.domain, record.payer, record.payee)
            known = self._earlier.pop(escrow, None)
            # Without a journal: what was collected is gone, whatever came for it.
            charged, seen = known or (record.collected_units, record.collected_units)
            purse = self._purses[node] = Purse(
                escrow, signed_units=charged, charged_units=charged, seen_units=seen
            )
        return purse

    def _get_limit(self, purse: Purse) -> int:
        """Compute the greatest total that may be signed, whatever is deposited."""
        tolerated = purse.seen_units * self._settings.lost_permille // 1000
        return purse.seen_units + tolerated + self._settings.exposure_units
