"""A node that lost its log makes good for it once an epoch; then it costs stake (`LOG-1`)."""

import msgspec
import pytest

from probatum.ledger.params import Params
from probatum.protocol.hashing import sha256
from probatum.protocol.merkle import leaf_hash
from probatum.protocol.primitives import UNITS_PER_TOKEN
from probatum.protocol.receipts import decode_receipt, encode_receipt
from probatum.protocol.records import (
    ChallengeRecord,
    LossRecord,
    OffenceRecord,
    ReturnRecord,
    get_challenge_key,
    get_loss_key,
    get_offence_key,
    get_return_key,
)
from probatum.protocol.transactions.kinds import (
    DeclareLoss,
    FundEscrow,
    ReturnReceipt,
    Unstake,
    Withdraw,
)
from probatum.protocol.vouchers import compute_escrow_id
from tests.chain import FEE, NO_SIGNATURE, RICH, Chain, account, key, make_test_genesis
from tests.unit.ledger.handlers.test_offences import (
    OPERATOR,
    REPORTER,
    challenge,
    close,
    get_balance,
    get_stake,
    make_log,
    make_payload,
    omission,
    pass_blocks,
    settle,
    wrong_entry,
)

TOKEN = UNITS_PER_TOKEN
PARAMS = Params(
    unbonding_blocks=50,
    challenge_window_blocks=8,
    challenge_bond_units=500,
    late_fee_units=70,
    slash_loss_units=TOKEN // 4,
    loss_epoch_blocks=30,
)
LOST, KEPT = make_payload(1), make_payload(0)


@pytest.fixture
def chain():
    """A node that opened two sessions; it settled one entry of the first."""
    made = Chain(make_test_genesis(params=PARAMS))
    made.register()
    assert made.do(account(0), made.opening(session=0)) == "ok"
    assert settle(made, make_log(KEPT)) == "ok"
    assert made.do(account(0), made.opening(session=1)) == "ok"
    return made


def loss(chain, session=0, sequence=0, signer=None):
    body = DeclareLoss(
        operator=OPERATOR, session=session, sequence=sequence, authority=NO_SIGNATURE
    )
    return chain.authorise(body, signer or key(0))


def handed_back(log, index=1, in_session=1, in_index=0, *, session=0, size=None):
    return ReturnReceipt(
        operator=OPERATOR,
        session=session,
        index=index,
        in_session=in_session,
        in_index=in_index,
        inclusion=log.inclusion_proof(in_index, size or len(log)),
    )


def test_a_lost_receipt_is_handed_back(chain):
    pass_blocks(chain, 7)
    assert chain.do(REPORTER, challenge(LOST)) == "ok"
    assert chain.do(account(1), loss(chain)) == "ok"
    declared = chain.engine.height
    assert chain.record(get_loss_key(OPERATOR), LossRecord) == LossRecord(
        operator=OPERATOR, session=0, declared_at=declared, losses=1
    )
    log = make_log(make_payload(0, session=1), LOST)
    assert chain.do(account(1), handed_back(log, in_index=1)) == "ledger.not-covered"
    assert settle(chain, log, session=1) == "ok"
    assert chain.do(account(1), handed_back(log, in_index=0)) == "merkle.not-included"
    balance, bonded = get_balance(chain, REPORTER), get_stake(chain).bonded
    assert chain.do(account(1), handed_back(log, in_index=1)) == "ok"
    assert get_balance(chain, REPORTER) == balance + 500
    assert get_stake(chain).bonded == bonded - 70
    assert chain.record(get_challenge_key(OPERATOR, 0, 1), ChallengeRecord) is None
    assert chain.record(get_return_key(OPERATOR, 0, 1), ReturnRecord) == ReturnRecord(
        operator=OPERATOR,
        session=0,
        index=1,
        entry=sha256(LOST),
        in_session=1,
        in_index=1,
        returned_at=chain.engine.height,
    )
    # It is made good once; the declaration itself cost nothing.
    assert chain.do(REPORTER, challenge(LOST)) == "ledger.returned"
    assert chain.do(account(1), handed_back(log, in_index=1)) == "ledger.no-such-challenge"
    assert get_stake(chain).bonded == 2 * TOKEN - 70


def test_what_is_not_handed_back_convicts_all_the_same(chain):
    pass_blocks(chain, 7)
    assert chain.do(REPORTER, challenge(LOST)) == "ok"
    assert chain.do(account(1), loss(chain)) == "ok"
    declared = chain.engine.height
    # Handing back goes one by one: whoever lost a log has an epoch for it.
    pass_blocks(chain, declared + 29)
    assert chain.do(account(1), omission(1)) == "ledger.not-overdue"
    balance = get_balance(chain, REPORTER)
    assert chain.do(account(1), omission(1)) == "ok"
    # The reward is the challenger's, whoever says that the deadline passed.
    reward = PARAMS.slash_omission_units * PARAMS.reporter_share_permille // 1000
    assert get_balance(chain, REPORTER) == balance + 500 + reward


def test_after_the_epoch_a_lost_receipt_has_its_window_and_no_more(chain):
    assert chain.do(account(1), loss(chain)) == "ok"
    pass_blocks(chain, chain.engine.height + 40)
    assert chain.do(REPORTER, challenge(LOST)) == "ok"
    pass_blocks(chain, chain.engine.height + 7)
    assert chain.do(account(1), omission(1)) == "ledger.not-overdue"
    assert chain.do(account(1), omission(1)) == "ok"


def priced(chain, price, payee=OPERATOR):
    """A receipt of a session that is lost, paid out of an escrow of account 3."""
    escrow = compute_escrow_id(chain.domain, account(3).address, payee)
    receipt = msgspec.structs.replace(
        decode_receipt(LOST), price_units=price, escrow=escrow.hex(), running_total_units=price
    )
    return encode_receipt(receipt)


@pytest.mark.parametrize("payee", [OPERATOR, account(2).address])
def test_the_price_goes_back_to_who_paid_it(chain, payee):
    """Out of the sender's balance, and only where an escrow for this operator paid."""
    assert chain.do(account(3), FundEscrow(payee=payee, amount=5_000)) == "ok"
    payload = priced(chain, 3_000, payee)
    due = 3_000 if payee == OPERATOR else 0
    pass_blocks(chain, 7)
    assert chain.do(REPORTER, challenge(payload)) == "ok"
    record = chain.record(get_challenge_key(OPERATOR, 0, 1), ChallengeRecord)
    assert (record.refund_units, record.payer) == (due, account(3).address if due else None)
    assert chain.do(account(1), loss(chain)) == "ok"
    log = make_log(payload)
    assert settle(chain, log, session=1) == "ok"
    payer, sender = get_balance(chain, account(3)), get_balance(chain, account(1))
    assert chain.do(account(1), handed_back(log)) == "ok"
    assert get_balance(chain, account(3)) == payer + due
    assert get_balance(chain, account(1)) == sender - FEE - due
    assert get_stake(chain).bonded == 2 * TOKEN - 70


def test_who_cannot_pay_the_price_back_hands_nothing_back(chain):
    price = 2 * RICH
    assert chain.do(account(3), FundEscrow(payee=OPERATOR, amount=5_000)) == "ok"
    payload = priced(chain, price)
    pass_blocks(chain, 7)
    assert chain.do(REPORTER, challenge(payload)) == "ok"
    assert chain.do(account(1), loss(chain)) == "ok"
    log = make_log(payload)
    assert settle(chain, log, session=1) == "ok"
    assert chain.do(account(1), handed_back(log)) == "ledger.balance-too-low"
    assert chain.record(get_challenge_key(OPERATOR, 0, 1), ChallengeRecord) is not None


def test_losing_a_log_again_puts_no_challenge_off_again(chain):
    pass_blocks(chain, 7)
    assert chain.do(REPORTER, challenge(LOST)) == "ok"
    deadline = chain.record(get_challenge_key(OPERATOR, 0, 1), ChallengeRecord).deadline_at
    assert chain.do(account(1), loss(chain)) == "ok"
    assert chain.do(account(0), chain.opening(session=2)) == "ok"
    pass_blocks(chain, deadline + 29)
    assert chain.do(account(1), loss(chain, session=1, sequence=1)) == "ok"
    assert chain.do(account(1), omission(1)) == "ok"


def test_stake_stays_while_a_lost_log_is_made_good(chain):
    """Else a pretended loss would put the conviction off until nothing is left to slash."""
    assert chain.do(account(0), Unstake(amount=2 * TOKEN)) == "ok"
    pass_blocks(chain, chain.engine.height + 45)
    assert chain.do(REPORTER, challenge(LOST)) == "ok"
    assert chain.do(account(1), loss(chain)) == "ok"
    declared = chain.engine.height
    pass_blocks(chain, declared + 30)
    assert chain.do(account(0), Withdraw()) == "ledger.loss-open"
    assert chain.do(account(1), omission(1)) == "ok"
    offence = chain.record(get_offence_key(OPERATOR, 0, "omission", 1), OffenceRecord)
    assert offence.slashed_units == PARAMS.slash_omission_units
    pass_blocks(chain, declared + 30 + 8)
    assert chain.do(account(0), Withdraw()) == "ok"


def test_what_was_settled_is_not_lost(chain):
    """Another entry at a settled place convicts a node that says that it lost its log."""
    other = make_payload(0, salt=b"other")
    assert chain.do(account(1), loss(chain)) == "ok"
    pass_blocks(chain, 7)
    assert chain.do(REPORTER, challenge(other)) == "ledger.covered"
    report = wrong_entry(other, make_log(KEPT), leaf=leaf_hash(sha256(KEPT)))
    assert chain.do(REPORTER, report) == "ok"


def test_a_lost_log_that_turns_up_again_is_settled_as_ever(chain):
    pass_blocks(chain, 7)
    assert chain.do(REPORTER, challenge(LOST)) == "ok"
    assert chain.do(account(1), loss(chain)) == "ok"
    log = make_log(KEPT, LOST)
    assert settle(chain, log, old=1) == "ok"
    assert chain.do(account(1), close(log, 1)) == "ok"


def test_what_cannot_be_declared_lost(chain):
    assert chain.do(account(1), loss(chain, session=2)) == "ledger.no-such-log"
    assert chain.do(account(1), loss(chain, session=1)) == "ledger.session-in-use"
    assert chain.do(account(1), loss(chain, sequence=1)) == "ledger.wrong-sequence"
    assert chain.do(account(1), loss(chain, signer=key(1))) == "ed25519.bad-signature"
    assert chain.do(account(1), loss(chain)) == "ok"
    assert chain.do(account(1), loss(chain, sequence=1)) == "ledger.loss-declared"


def test_what_cannot_be_handed_back(chain):
    pass_blocks(chain, 7)
    assert chain.do(REPORTER, challenge(LOST)) == "ok"
    log = make_log(LOST)
    assert settle(chain, log, session=1) == "ok"
    assert chain.do(account(1), handed_back(log)) == "ledger.not-lost"
    assert chain.do(account(0), chain.opening(session=2)) == "ok"
    # Both sessions are lost: what is in the later one is no promise either.
    assert chain.do(account(1), loss(chain, session=1)) == "ok"
    assert chain.do(account(1), handed_back(log)) == "ledger.lost-too"
    assert chain.do(account(1), handed_back(log, session=7)) == "ledger.no-such-log"
    assert chain.do(account(1), handed_back(log, index=5)) == "ledger.no-such-challenge"


@pytest.mark.parametrize(("blocks", "price"), [(29, TOKEN // 4), (30, 0)])
def test_a_second_loss_within_an_epoch_costs_stake(chain, blocks, price):
    assert chain.do(account(1), loss(chain)) == "ok"
    first = chain.engine.height
    assert chain.do(account(0), chain.opening(session=2)) == "ok"
    pass_blocks(chain, first + blocks - 1)
    balance = get_balance(chain, account(1))
    assert chain.do(account(1), loss(chain, session=1, sequence=1)) == "ok"
    assert get_stake(chain).bonded == 2 * TOKEN - price
    # Nobody is rewarded for it: the node reports itself.
    assert get_balance(chain, account(1)) == balance - FEE
    offence = chain.record(get_offence_key(OPERATOR, 1, "loss", 0), OffenceRecord)
    assert (offence.slashed_units if offence else 0) == price
    assert chain.record(get_loss_key(OPERATOR), LossRecord).losses == 2
