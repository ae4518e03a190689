"""A gateway's transactions: it fills its escrows towards nodes, and collects from its payers.

Each is planned from what the ledger shows, one of a name at a time; a repeated one would do no
harm but cost a fee. All escrows together never hold more than the operator allows. Must not know
requests. Read next: `spending`, `till`.
"""

from __future__ import annotations

from typing import Final

from probatum.client.ledger_view import LedgerView
from probatum.client.wallet import TransactionSender
from probatum.errors import Refusal
from probatum.machine.events import Event, Moment
from probatum.machine.wishes import Report, Wish
from probatum.nodes.gateway.settings import GatewaySettings
from probatum.nodes.gateway.spending import Spending
from probatum.nodes.gateway.till import Till
from probatum.protocol import limits
from probatum.protocol.encoding import encode
from probatum.protocol.primitives import Address
from probatum.protocol.transactions.kinds import Body, CollectVouchers, FundEscrow

__all__ = ["Funding"]

_FUND: Final = "fund:"
_COLLECT: Final = "collect"


class Funding:
    """Moves money on the ledger, from the gateway's paying account."""

    def __init__(
        self, settings: GatewaySettings, view: LedgerView, spending: Spending, till: Till
    ) -> None:
        """Make it with nothing on its way; without an account it does nothing, ever."""
        self._settings = settings
        self._view = view
        self._spending = spending
        self._till = till
        self._sender: TransactionSender | None = None
        if settings.payer is not None:
            self._sender = TransactionSender(
                settings.ledger, settings.domain, settings.payer, settings.fee_units
            )
        self._open: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._not_before: dict[str, int] = {}
        self._told = False

    def owns(self, event: Event) -> bool:
        """Tell whether an event belongs to the gateway's transactions."""
        return self._sender is not None and self._sender.owns(event)

    def step(self, event: Event, moment: Moment) -> tuple[Wish, ...]:
        """Take an event that `owns` claims."""
        if self._sender is None:
            return ()
        step = self._sender.step(event, moment)
        wishes = list(step.wishes)
        for outcome in step.outcomes:
            amount = self._open.pop(outcome.ticket, 0)
            height = outcome.height
            if outcome.code != "ok":
                height = max(self._view.height, height) + self._settings.retry_blocks
                why = f"the ledger refused {outcome.ticket}: {outcome.code}"
                fields = (("refusal", outcome.code),)
                wishes.append(Report("warning", "gateway.transaction-refused", why, fields))
            else:
                self._done[outcome.ticket] = amount
            self._not_before[outcome.ticket] = height
        return tuple(wishes)

    def plan(self, *, hurry: bool) -> tuple[Wish, ...]:
        """Do what is due; with `hurry`, collect all that is worth its fee."""
        if self._sender is None or self._view.header is None:
            return ()
        wishes: list[Wish] = []
        for node, total_units in self._spending.list_wanted():
            wishes += self._fund(node, total_units)
        wishes += self._collect(hurry=hurry)
        return tuple(wishes)

    @property
    def is_done(self) -> bool:
        """Whether nothing is on its way and nothing worth its fee is left to collect."""
        if self._sender is None:
            return True
        return not self._open and not self._till.tabs.count_due(least_units=self._share)

    @property
    def _share(self) -> int:
        """What the ledger takes for each voucher that is collected."""
        return self._settings.fee_units

    def _collect(self, *, hurry: bool) -> tuple[Wish, ...]:
        tabs, share = self._till.tabs, self._share
        due = tabs.count_due(least_units=share)
        now = hurry or due >= self._settings.collect_units or tabs.has_closing(least_units=share)
        if not due or not now or not self._is_free(_COLLECT):
            return ()
        vouchers = tabs.list_due(limits.VOUCHERS, least_units=share)
        body = CollectVouchers(vouchers=tuple(encode(one) for one in vouchers))
        return self._submit(_COLLECT, 0, body)

    def _fund(self, node: Address, total_units: int) -> tuple[Wish, ...]:
        name = f"{_FUND}{node.hex()}"
        if not self._is_free(name):
            return ()
        record = self._spending.get_escrow(node)
        have = record.deposited_units if record is not None else 0
        want = total_units + self._settings.escrow_units
        if want <= have:
            return ()
        amount = min(want - have, self._settings.escrow_limit_units - self.locked_units)
        if amount <= 0 or total_units > have + amount:
            return self._complain()
        return self._submit(name, amount, FundEscrow(payee=node, amount=amount))

    @property
    def locked_units(self) -> int:
        """What lies in the gateway's escrows, and what is on its way there."""
        payer = self._settings.payer
        held = sum(
            record.deposited_units - record.collected_units
            for record in self._view.get_escrows()
            if payer is not None and record.payer == payer.address
        )
        # What the ledger has taken and the view does not show yet is on its way too.
        unseen = sum(amount for name, amount in self._done.items() if not self._is_free(name))
        return held + sum(self._open.values()) + unseen

    def _complain(self) -> tuple[Wish, ...]:
        if self._told:
            return ()
        self._told = True
        limit = self._settings.escrow_limit_units
        why = f"the escrows towards nodes may hold {limit} units in all, and do"
        return (Report("error", "payment.escrow-limit", why),)

    def _is_free(self, name: str) -> bool:
        return name not in self._open and self._view.height >= self._not_before.get(name, 0)

    def _submit(self, name: str, amount: int, body: Body) -> tuple[Wish, ...]:
        assert self._sender is not None, "plan has checked it"
        self._open[name] = amount
        try:
            return self._sender.submit(name, body)
        except Refusal:
            # More transactions than may wait; the next block plans it again.
            del self._open[name]
            return ()
