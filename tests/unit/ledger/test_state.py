"""One block's view of the state: writes are seen, rolled back, and told once."""

from probatum.ledger.state import EMPTY_ACCOUNT, EMPTY_STAKE, State
from probatum.protocol.encoding import encode
from probatum.protocol.records import (
    Account,
    OfferRecord,
    StakeRecord,
    get_account_key,
    get_offer_key,
)
from tests.chain import PACKAGE, account, key

A, B = account(0).address, account(1).address


class Counting(dict):
    def __init__(self, *args):
        super().__init__(*args)
        self.reads = 0

    def get(self, name):
        self.reads += 1
        return super().get(name)


def make():
    reader = Counting({get_account_key(A): encode(Account(balance=9, nonce=1))})
    return reader, State(reader)


def test_each_record_is_read_once():
    reader, state = make()
    for _ in range(3):
        assert state.get_account(A).balance == 9
        assert state.get_account(B) == EMPTY_ACCOUNT
        assert state.get_stake(B) == EMPTY_STAKE
    assert reader.reads == 3


def test_a_roll_back_forgets_writes_since_begin_only():
    _, state = make()
    state.put_account(A, Account(balance=8, nonce=2))
    state.begin()
    state.put_account(A, Account(balance=0, nonce=2))
    state.put_account(A, Account(balance=1, nonce=2))
    state.put_account(B, Account(balance=7, nonce=0))
    state.roll_back()
    assert state.get_account(A) == Account(balance=8, nonce=2)
    assert state.get_account(B) == EMPTY_ACCOUNT
    assert [c.key for c in state.compute_changes()] == [get_account_key(A)]


def test_what_came_back_to_what_it_was_is_no_change():
    _, state = make()
    state.put_account(A, Account(balance=8, nonce=1))
    state.put_account(A, Account(balance=9, nonce=1))
    state.put_stake(A, StakeRecord(bonded=1, unbonding=()))
    state.put_stake(A, EMPTY_STAKE)
    assert state.compute_changes() == ()


def test_a_removed_record_is_a_change_without_value():
    offer = OfferRecord(
        operator=A,
        package=PACKAGE,
        arithmetic="float",
        evidence="signed",
        price_units=1,
        offered_at=1,
    )
    place = get_offer_key(A, PACKAGE, "float")
    state = State(Counting({place: encode(offer)}))
    state.remove_offer(A, PACKAGE, "float")
    assert state.get_offer(A, PACKAGE, "float") is None
    (change,) = state.compute_changes()
    assert (change.key, change.value) == (place, None)
    assert state.get_key(key(0).key) is None
