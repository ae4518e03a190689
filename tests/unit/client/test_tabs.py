import pytest

from probatum.client.ledger_view import LedgerView
from probatum.client.tabs import Tabs
from probatum.errors import Misuse, Refusal
from probatum.protocol.eip712 import Domain
from probatum.protocol.hashing import sha256
from probatum.protocol.primitives import make_request_id
from probatum.protocol.records import EscrowRecord
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.vouchers import Voucher, compute_escrow_id, sign_voucher

DOMAIN = Domain(chain_id=7, genesis_hash=sha256(b"genesis"))
PAYER = AccountSigner(sha256(b"payer"))
PAYEE = AccountSigner(sha256(b"payee")).address
ESCROW = compute_escrow_id(DOMAIN, PAYER.address, PAYEE)


class View(LedgerView):
    def __init__(self, **changes):
        super().__init__()
        self.record = {
            "payer": PAYER.address,
            "payee": PAYEE,
            "deposited_units": 1_000,
            "collected_units": 0,
            "closing_at": None,
            "opened_at": 1,
        } | changes

    def get_escrow(self, escrow):
        return EscrowRecord(**self.record) if escrow == ESCROW else None


def rid(number):
    return make_request_id(sha256(b"%d" % number)[:16])


def sign(number, total, signer=PAYER):
    voucher = Voucher(escrow=ESCROW, total_units=total, last_request=rid(number))
    return sign_voucher(DOMAIN, signer, voucher)


def reserve(tabs, number, total, price, user="gateway"):
    return tabs.reserve(
        f"work-{number}",
        sign(number, total),
        user=user,
        request_id=rid(number),
        price_units=price,
    )


def charge(tabs, number, price):
    tabs.state(tabs.charge(f"work-{number}", price), b"statement %d" % number)


def list_due(tabs, least=0):
    return [signed.voucher.total_units for signed in tabs.list_due(64, least_units=least)]


@pytest.fixture
def view():
    return View()


@pytest.fixture
def tabs(view):
    return Tabs(DOMAIN, PAYEE, view)


def test_only_a_better_voucher_is_to_be_written_down(tabs):
    assert reserve(tabs, 1, 30, 10).voucher.total_units == 30
    assert reserve(tabs, 2, 20, 10) is None
    assert reserve(tabs, 3, 30, 10) is None
    with pytest.raises(Refusal) as caught:
        reserve(tabs, 4, 30, 10)
    assert caught.value.code == "payment.voucher-too-low"
    tabs.release("work-2")
    assert reserve(tabs, 4, 30, 10) is None


def test_no_more_is_collected_than_was_charged_and_is_on_disk(tabs):
    for number, total in ((1, 10), (2, 20), (3, 30)):
        reserve(tabs, number, total, 10)
    assert list_due(tabs) == []
    done = tabs.charge("work-2", 10)
    assert list_due(tabs) == []
    tabs.state(done, b"statement")
    assert list_due(tabs) == [10]
    assert list_due(tabs, least=10) == []
    charge(tabs, 1, 10)
    assert list_due(tabs) == [20]


def test_from_an_escrow_that_closes_all_that_was_charged_is_collected(tabs, view):
    reserve(tabs, 1, 100, 10)
    charge(tabs, 1, 10)
    assert list_due(tabs) == []
    view.record["closing_at"] = 70
    assert list_due(tabs) == [100]
    assert tabs.has_closing(least_units=0)
    view.record["collected_units"] = 100
    assert (list_due(tabs), tabs.count_due(least_units=0)) == ([], 0)


def test_more_than_was_deposited_is_no_due(tabs, view):
    reserve(tabs, 1, 500, 500)
    charge(tabs, 1, 500)
    view.record["deposited_units"] = 300
    assert tabs.count_due(least_units=0) == 300


def test_a_tab_shows_what_a_statement_on_disk_says_and_calls_the_rest_reserved(tabs):
    reserve(tabs, 1, 50, 10)
    reserve(tabs, 2, 50, 10)
    reserve(tabs, 3, 50, 10)
    charge(tabs, 1, 10)
    tabs.charge("work-2", 5)
    shown = tabs.show(ESCROW, lambda kept: kept)
    assert (shown.charged_units, shown.reserved_units) == (10, 15)
    assert shown.statement == b"statement 1"
    hidden = tabs.show(ESCROW, lambda _: None)
    assert (hidden.charged_units, hidden.reserved_units, hidden.statement) == (0, 25, b"")


def test_what_was_collected_was_charged_also_for_a_party_that_lost_its_journal(view):
    view.record["collected_units"] = 40
    tabs = Tabs(DOMAIN, PAYEE, view)
    with pytest.raises(Refusal) as caught:
        reserve(tabs, 1, 49, 10)
    assert caught.value.code == "payment.voucher-too-low"
    reserve(tabs, 1, 50, 10)
    assert tabs.plan_charge("work-1", 10).running_total_units == 50


def test_vouchers_of_one_escrow_are_bounded_and_the_best_one_stays(tabs):
    for number in range(1, 200):
        reserve(tabs, number, number, 1)
    (tab,) = tabs
    assert len(tab.vouchers) == 64
    assert tab.vouchers[-1].voucher.total_units == 199


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"payee": PAYER.address}, "payment.no-escrow"),
        ({"closing_at": 5}, "payment.escrow-closing"),
        ({"deposited_units": 9}, "payment.not-funded"),
    ],
)
def test_an_escrow_that_will_not_pay_is_refused(changes, code):
    tabs = Tabs(DOMAIN, PAYEE, View(**changes))
    with pytest.raises(Refusal) as caught:
        reserve(tabs, 1, 10, 10)
    assert caught.value.code == code
    assert list(tabs) == []


def test_who_else_shows_the_voucher_is_refused(tabs):
    reserve(tabs, 1, 100, 10)
    with pytest.raises(Refusal) as caught:
        reserve(tabs, 2, 100, 10, user="thief")
    assert caught.value.code == "payment.other-user"
    with pytest.raises(Refusal) as caught:
        tabs.reserve("x", sign(1, 100), user="gateway", request_id=rid(9), price_units=1)
    assert caught.value.code == "payment.other-request"
    forged = sign(3, 900, AccountSigner(sha256(b"thief")))
    with pytest.raises(Refusal) as caught:
        tabs.reserve("x", forged, user="gateway", request_id=rid(3), price_units=1)
    assert caught.value.code == "voucher.wrong-signer"


def test_more_than_was_reserved_is_never_charged(tabs):
    reserve(tabs, 1, 10, 10)
    with pytest.raises(Misuse):
        tabs.charge("work-1", 11)
    with pytest.raises(Misuse):
        tabs.charge("work-2", 1)


def test_a_voucher_of_before_a_withdrawal_pays_for_no_work_after_it():
    view = View()
    tabs = Tabs(DOMAIN, PAYEE, view)
    reserve(tabs, 1, 1_000, 10)
    charge(tabs, 1, 10)
    # The payee collected what it charged; the payer took the rest back and put one unit in.
    view.record |= {"deposited_units": 11, "collected_units": 10}
    with pytest.raises(Refusal) as caught:
        reserve(tabs, 2, 11, 10)
    assert caught.value.code == "payment.not-funded"
    view.record |= {"deposited_units": 20}
    reserve(tabs, 2, 11, 10)
