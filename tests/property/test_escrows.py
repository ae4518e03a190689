"""Whatever payer and payee do, nobody is paid more than was signed and deposited (`PAY-1`)."""

from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from probatum.ledger.invariants import check_records
from probatum.ledger.params import Params
from probatum.ledger.queries import decode_record
from probatum.protocol.primitives import UNITS_PER_TOKEN
from probatum.protocol.records import (
    PARAMS_KEY,
    Account,
    EscrowRecord,
    get_account_key,
    get_escrow_key,
)
from probatum.protocol.transactions.kinds import (
    CloseEscrow,
    CollectVouchers,
    FundEscrow,
    WithdrawEscrow,
)
from probatum.protocol.vouchers import (
    Voucher,
    compute_escrow_id,
    encode_voucher,
    sign_voucher,
)
from tests.chain import FEE, RICH, Chain, account, make_test_genesis

DELAY = 2
PARAMS = Params(escrow_delay_blocks=DELAY)
PEOPLE = 3
"""Everybody may pay everybody, themselves included; one more sends what anybody may send."""
SENDER = account(PEOPLE)
SUPPLY = (PEOPLE + 1) * RICH


@dataclass
class Model:
    """What escrows come to, by the words of the clause alone: sums of what happened."""

    funded: dict = field(default_factory=dict)
    returned: dict = field(default_factory=dict)
    paid: dict = field(default_factory=dict)
    signed: dict = field(default_factory=dict)
    """Every total ever signed."""
    closing: dict = field(default_factory=dict)

    def left(self, pair):
        return self.funded[pair] - self.returned.get(pair, 0) - self.paid.get(pair, 0)

    def fund(self, pair, amount, have):
        if amount == 0:
            return "ledger.zero-amount"
        if amount > have:
            return "ledger.balance-too-low"
        self.funded[pair] = self.funded.get(pair, 0) + amount
        self.closing.pop(pair, None)
        return "ok"

    def collect(self, presented):
        """Pay what each voucher adds; presented in order."""
        if any(pair not in self.funded for pair, _ in presented):
            return "ledger.no-such-escrow"
        gained = 0
        for pair, total in presented:
            gain = min(total - self.paid.get(pair, 0), self.left(pair))
            if gain > 0:
                self.paid[pair] = self.paid.get(pair, 0) + gain
                gained += gain
        return "ok" if gained else "ledger.nothing-new"

    def close(self, pair, height):
        if pair not in self.funded:
            return "ledger.no-such-escrow"
        if pair in self.closing:
            return "ledger.closing-already"
        if not self.left(pair):
            return "ledger.escrow-empty"
        self.closing[pair] = height + DELAY
        return "ok"

    def withdraw(self, pair, height):
        if pair not in self.funded:
            return "ledger.no-such-escrow"
        if height <= self.closing.get(pair, height):
            return "ledger.escrow-open"
        if not self.left(pair):
            return "ledger.escrow-empty"
        self.returned[pair] = self.returned.get(pair, 0) + self.left(pair)
        del self.closing[pair]
        return "ok"


class Street:
    """A chain, the model beside it, and the vouchers that were signed."""

    def __init__(self):
        self.chain = Chain(make_test_genesis(PEOPLE + 1, params=PARAMS))
        self.model = Model()
        self.vouchers = []

    def balance(self, who):
        return self.chain.record(get_account_key(account(who).address), Account).balance

    def sign(self, pair, total):
        payer, payee = (account(number) for number in pair)
        escrow = compute_escrow_id(self.chain.domain, payer.address, payee.address)
        made = sign_voucher(self.chain.domain, payer, Voucher(escrow=escrow, total_units=total))
        self.vouchers.append((pair, total, encode_voucher(made)))
        self.model.signed.setdefault(pair, []).append(total)

    def collect(self, picks):
        chosen = [self.vouchers[pick % len(self.vouchers)] for pick in picks]
        body = CollectVouchers(vouchers=tuple(data for _, _, data in chosen))
        expected = self.model.collect([(pair, total) for pair, total, _ in chosen])
        assert self.chain.do(SENDER, body, fee=FEE * (1 + len(chosen))) == expected

    def act(self, step, pair, amount, picks):
        payer, payee = (account(number) for number in pair)
        height = self.chain.engine.height + 1
        match step:
            case "fund":
                expected = self.model.fund(pair, amount, self.balance(pair[0]) - FEE)
                body = FundEscrow(payee=payee.address, amount=amount)
            case "close":
                expected = self.model.close(pair, height)
                body = CloseEscrow(payee=payee.address)
            case "withdraw":
                expected = self.model.withdraw(pair, height)
                body = WithdrawEscrow(payee=payee.address)
            case "wait":
                self.chain.block()
                return
            case "sign":
                self.sign(pair, amount)
                return
            case "collect":
                if self.vouchers:
                    self.collect(picks)
                return
        assert self.chain.do(payer, body) == expected

    def get(self, pair):
        payer, payee = (account(number).address for number in pair)
        escrow = compute_escrow_id(self.chain.domain, payer, payee)
        return self.chain.record(get_escrow_key(escrow), EscrowRecord)

    def check(self):
        records = self.chain.records()
        check_records(decode_record(k, v) for k, v in records.items() if k != PARAMS_KEY)
        model = self.model
        for pair in model.funded:
            record = self.get(pair)
            paid = model.paid.get(pair, 0)
            assert record.collected_units == paid
            assert record.deposited_units - record.collected_units == model.left(pair) >= 0
            assert record.closing_at == model.closing.get(pair)
            assert paid <= max(model.signed.get(pair, [0]))
            assert paid + model.returned.get(pair, 0) <= model.funded[pair]

    def check_that_payees_are_paid(self):
        """Every payee gets, at once, what was signed as far as it is deposited."""
        for pair, totals in sorted(self.model.signed.items()):
            record = self.get(pair)
            if record is None:
                continue
            best = totals.index(max(totals))
            data = [data for whose, _, data in self.vouchers if whose == pair][best]
            before = self.balance(pair[1])
            due = min(max(totals), record.deposited_units) - record.collected_units
            code = self.chain.do(SENDER, CollectVouchers(vouchers=(data,)), fee=2 * FEE)
            assert code == ("ok" if due > 0 else "ledger.nothing-new")
            assert self.balance(pair[1]) == before + max(0, due)


person = st.integers(0, PEOPLE - 1)
amounts = st.one_of(st.integers(0, 40), st.sampled_from([UNITS_PER_TOKEN, RICH, SUPPLY, 2**63 - 1]))
steps = st.lists(
    st.tuples(
        st.sampled_from(["fund", "fund", "sign", "sign", "collect", "close", "withdraw", "wait"]),
        st.tuples(person, person),
        amounts,
        st.lists(st.integers(0, 20), max_size=4),
    ),
    min_size=1,
    max_size=16,
)
A = (0, 1)
RETURN = [
    ("fund", A, 30, []),
    ("sign", A, 10, []),
    ("sign", A, 50, []),
    ("collect", A, 0, [0]),
    ("close", A, 0, []),
    ("wait", A, 0, []),
    ("wait", A, 0, []),
    ("withdraw", A, 0, []),
    ("collect", A, 0, [0, 1]),
    ("fund", A, 100, []),
    ("collect", A, 0, [1, 0]),
]


@settings(max_examples=60, deadline=None)
@example(history=RETURN)
@given(history=steps)
def test_nobody_is_paid_more_than_was_signed_and_deposited(history):
    street = Street()
    for step in history:
        street.act(*step)
        street.check()
    street.check_that_payees_are_paid()


def test_the_example_reaches_a_payment_after_a_withdrawal():
    street = Street()
    for step in RETURN:
        street.act(*step)
    assert street.model.returned == {A: 20}
    assert street.model.paid == {A: 50}
