"""A payer's purse against a payee's tab, over a line that loses what it likes (`PAY-1`).

Whatever gets lost, crashes or arrives late: the payee never works without a voucher that covers
it, the payer never signs past its limit, and both find back to each other.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from probatum.client.ledger_view import LedgerView
from probatum.client.purse import Purse
from probatum.client.tabs import Tabs
from probatum.errors import Refusal
from probatum.protocol.eip712 import Domain
from probatum.protocol.hashing import sha256
from probatum.protocol.primitives import make_request_id
from probatum.protocol.records import EscrowRecord
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.vouchers import compute_escrow_id

DOMAIN = Domain(chain_id=7, genesis_hash=sha256(b"genesis"))
PAYER = AccountSigner(sha256(b"payer"))
PAYEE = AccountSigner(sha256(b"payee")).address
ESCROW = compute_escrow_id(DOMAIN, PAYER.address, PAYEE)
DEPOSIT = 400
EXPOSURE = 120


class View(LedgerView):
    """A ledger of which only one escrow is known."""

    def __init__(self):
        super().__init__()
        self.collected = 0

    def get_escrow(self, escrow):
        if escrow != ESCROW:
            return None
        return EscrowRecord(
            payer=PAYER.address,
            payee=PAYEE,
            deposited_units=DEPOSIT,
            collected_units=self.collected,
            closing_at=None,
            opened_at=1,
        )


class Play:
    """Both sides, what is under way, and what each has on disk."""

    def __init__(self):
        self.view = View()
        self.tabs = Tabs(DOMAIN, PAYEE, self.view)
        self.purse = Purse(ESCROW)
        self.sent = {}
        self.accepted = {}
        self.disk = []
        self.number = 0

    def send(self, price):
        self.number += 1
        name = f"work-{self.number}"
        request = make_request_id(sha256(name.encode())[:16])
        try:
            signed = self.purse.sign(
                name,
                price,
                request,
                limit_units=min(DEPOSIT, self.purse.seen_units + EXPOSURE),
                domain=DOMAIN,
                signer=PAYER,
            )
        except Refusal as refusal:
            if refusal.code != "payment.over-limit":
                raise
            return
        self.sent[name] = (signed, request, price)

    def accept(self, name):
        signed, request, price = self.sent.pop(name)
        try:
            kept = self.tabs.reserve(
                name, signed, user="user", request_id=request, price_units=price
            )
        except Refusal as refusal:
            if refusal.code != "payment.voucher-too-low":
                raise
            self.purse.drop(name)
            self.learn()
            return
        if kept is not None:
            self.disk.append(("voucher", kept, self.tabs.get(ESCROW).charged_units))
        self.accepted[name] = price

    def finish(self, name, *, lost):
        price = self.accepted.pop(name)
        charge = self.tabs.charge(name, price)
        self.disk.append(("charge", charge))
        self.tabs.state(charge, b"statement")
        if lost:
            self.purse.drop(name)
            return
        self.purse.check_charge(
            price, charge.running_total_units, agreed_units=price, limit_units=DEPOSIT
        )
        self.purse.settle(name, price, charge.running_total_units)

    def fail(self, name):
        del self.accepted[name]
        self.tabs.release(name)
        self.purse.drop(name)

    def crash(self):
        """The payee begins anew from its disk; the payer learns that its work is gone."""
        for name in self.accepted:
            self.purse.drop(name)
        self.accepted = {}
        self.tabs = Tabs(DOMAIN, PAYEE, self.view)
        for kind, *rest in self.disk:
            if kind == "voucher":
                self.tabs.restore(rest[0], "user", rest[1])
            else:
                total = rest[0].running_total_units
                self.tabs.restore_charge(ESCROW, total, b"statement")

    def learn(self):
        try:
            tab = self.tabs.show(ESCROW, lambda kept: kept)
        except Refusal:
            return
        self.purse.take_tab(tab.charged_units, tab.reserved_units)

    def collect(self):
        for signed in self.tabs.list_due(64, least_units=0):
            worth = min(DEPOSIT, signed.voucher.total_units)
            assert worth > self.view.collected
            self.view.collected = worth

    def check(self):
        tab = self.tabs.get(ESCROW)
        if tab is not None:
            assert tab.charged_units + tab.reserved_units <= tab.signed_units
            assert self.view.collected <= tab.charged_units
            assert len(tab.vouchers) <= 64
        assert self.purse.signed_units <= self.purse.seen_units + EXPOSURE
        assert self.purse.signed_units <= DEPOSIT
        assert self.view.collected <= self.purse.signed_units


moves = st.lists(
    st.tuples(
        st.sampled_from("send send send accept accept finish lose fail crash collect drop".split()),
        st.integers(0, 7),
    ),
    max_size=60,
)


def play(steps):
    game = Play()
    for move, number in steps:
        match move:
            case "send":
                game.send(1 + number)
            case "accept" | "drop" if game.sent:
                name = sorted(game.sent)[number % len(game.sent)]
                if move == "accept":
                    game.accept(name)
                else:
                    del game.sent[name]
                    game.purse.drop(name)
            case "finish" | "lose" | "fail" if game.accepted:
                name = sorted(game.accepted)[number % len(game.accepted)]
                if move == "fail":
                    game.fail(name)
                else:
                    game.finish(name, lost=move == "lose")
            case "crash":
                game.crash()
            case "collect":
                game.collect()
            case _:
                pass
        game.check()
    return game


@settings(max_examples=150, deadline=None)
@given(moves)
def test_whatever_gets_lost_work_is_covered_and_limits_hold(steps):
    play(steps)


@settings(max_examples=80, deadline=None)
@given(moves)
def test_they_find_back_to_each_other(steps):
    game = play(steps)
    for name in sorted(game.sent):
        game.purse.drop(name)
    game.sent = {}
    for name in sorted(game.accepted):
        game.fail(name)
    for _ in range(3):
        seen = game.purse.seen_units
        game.send(1)
        if not game.sent:
            # The limit is used up by answers that got lost: nothing more is signed, rightly.
            assert game.purse.plan(1) > min(DEPOSIT, seen + EXPOSURE)
            return
        (name,) = game.sent
        game.accept(name)
        if game.accepted:
            game.finish(name, lost=False)
            assert game.purse.seen_units == seen + 1
            return
    raise AssertionError("the payer's voucher stays too low")
