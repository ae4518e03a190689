"""Escrows and vouchers: who is paid what, and what nobody can do (`PAY-1`)."""

import msgspec
import pytest

from probatum.ledger.params import Params
from probatum.protocol import limits
from probatum.protocol.encoding import encode
from probatum.protocol.hashing import sha256
from probatum.protocol.merkle import MerkleLog, leaf_hash
from probatum.protocol.notes import Checkpoint, log_origin, sign_checkpoint
from probatum.protocol.primitives import AMOUNT_BOUND, make_recoverable_signature
from probatum.protocol.records import (
    SUPPLY_KEY,
    Account,
    EscrowRecord,
    LogRecord,
    Supply,
    get_account_key,
    get_escrow_key,
    get_log_key,
)
from probatum.protocol.transactions.kinds import (
    CloseEscrow,
    CollectVouchers,
    FundEscrow,
    SettleCheckpoint,
    Transfer,
    WithdrawEscrow,
)
from probatum.protocol.vouchers import (
    Voucher,
    compute_escrow_id,
    decode_voucher,
    encode_voucher,
    sign_voucher,
)
from tests.chain import FEE, RICH, Chain, account, key, make_test_genesis

DELAY = 3
PAYER, PAYEE, ANYBODY = account(0), account(1), account(2)
PARAMS = Params(unbonding_blocks=20, escrow_delay_blocks=DELAY)
FUND = FundEscrow(payee=PAYEE.address, amount=100)
CLOSE = CloseEscrow(payee=PAYEE.address)
WITHDRAW = WithdrawEscrow(payee=PAYEE.address)


def start(*, funded=True, chain_id=7):
    chain = Chain(make_test_genesis(params=PARAMS, chain_id=chain_id))
    if funded:
        assert chain.do(PAYER, FUND) == "ok"
    return chain


def escrow_id(chain, payer=PAYER, payee=PAYEE):
    return compute_escrow_id(chain.domain, payer.address, payee.address)


def voucher(chain, total, *, signer=PAYER, payer=PAYER, payee=PAYEE, domain=None):
    made = Voucher(escrow=escrow_id(chain, payer, payee), total_units=total)
    return encode_voucher(sign_voucher(domain or chain.domain, signer, made))


def collect(chain, *vouchers, signer=ANYBODY):
    body = CollectVouchers(vouchers=vouchers)
    return chain.do(signer, body, fee=FEE * (1 + len(vouchers)))


def get_escrow(chain, payer=PAYER, payee=PAYEE):
    return chain.record(get_escrow_key(escrow_id(chain, payer, payee)), EscrowRecord)


def held(chain):
    record = get_escrow(chain)
    return record.deposited_units, record.collected_units


def balance(chain, who):
    return chain.record(get_account_key(who.address), Account).balance


def test_funding_opens_one_escrow_a_pair_and_adds_to_it():
    chain = start()
    before = balance(chain, PAYER)
    assert chain.do(PAYER, FundEscrow(payee=PAYEE.address, amount=5)) == "ok"
    assert get_escrow(chain) == EscrowRecord(
        payer=PAYER.address,
        payee=PAYEE.address,
        deposited_units=105,
        collected_units=0,
        closing_at=None,
        opened_at=1,
    )
    assert balance(chain, PAYER) == before - 5 - FEE
    assert chain.do(PAYEE, FundEscrow(payee=PAYER.address, amount=5)) == "ok"
    assert held(chain) == (105, 0)


def test_what_is_not_there_cannot_be_funded():
    chain = start(funded=False)
    assert chain.do(PAYER, FundEscrow(payee=PAYEE.address, amount=0)) == "ledger.zero-amount"
    body = FundEscrow(payee=PAYEE.address, amount=RICH)
    assert chain.do(PAYER, body) == "ledger.balance-too-low"
    assert get_escrow(chain) is None


def test_anybody_collects_for_the_payee_and_nothing_twice():
    chain = start()
    before = balance(chain, PAYEE)
    first = voucher(chain, 30)
    assert collect(chain, first) == "ok"
    assert balance(chain, PAYEE) == before + 30
    assert collect(chain, first) == "ledger.nothing-new"
    assert collect(chain, voucher(chain, 29)) == "ledger.nothing-new"
    assert collect(chain, voucher(chain, 31), first, voucher(chain, 40)) == "ok"
    assert balance(chain, PAYEE) == before + 40
    assert held(chain) == (100, 40)


def test_a_transaction_without_vouchers_brings_nothing():
    assert collect(start()) == "ledger.nothing-new"


def test_a_voucher_for_more_than_is_there_collects_what_is_there_and_the_rest_later():
    chain = start()
    before = balance(chain, PAYEE)
    large = voucher(chain, AMOUNT_BOUND - 1)
    assert collect(chain, large) == "ok"
    assert balance(chain, PAYEE) == before + 100
    assert collect(chain, large) == "ledger.nothing-new"
    assert chain.do(PAYER, FUND) == "ok"
    assert collect(chain, large) == "ok"
    assert balance(chain, PAYEE) == before + 200
    assert held(chain) == (200, 200)


@pytest.mark.parametrize("signer", [PAYEE, ANYBODY])
def test_only_the_payer_signs(signer):
    chain = start()
    assert collect(chain, voucher(chain, 30, signer=signer)) == "voucher.wrong-signer"
    assert held(chain) == (100, 0)


def test_a_voucher_of_another_network_is_worth_nothing_here():
    chain, other = start(), start(chain_id=8)
    # Its escrow does not exist here, since the network is in an escrow's name ...
    assert collect(chain, voucher(other, 30)) == "ledger.no-such-escrow"
    # ... and one signed there for the escrow here is not signed for this network.
    assert collect(chain, voucher(chain, 30, domain=other.domain)) == "voucher.wrong-signer"


def test_one_bad_voucher_takes_the_others_of_its_transaction_with_it():
    chain = start()
    good = voucher(chain, 30)
    signed = decode_voucher(voucher(chain, 31))
    bent = encode(msgspec.structs.replace(signed, signature=make_recoverable_signature(bytes(65))))
    for bad, code in (
        (bent, "secp256k1.bad-signature"),
        (b"junk", "encoding.malformed"),
        (good + b"\x00", "encoding.malformed"),
        (voucher(chain, 1, payee=ANYBODY), "ledger.no-such-escrow"),
    ):
        assert collect(chain, good, bad) == code
    assert held(chain) == (100, 0)


def test_what_brings_nothing_is_passed_over_before_its_signature_is_looked_at():
    # Else whoever resends old vouchers would make everybody check them.
    chain = start()
    assert collect(chain, voucher(chain, 30)) == "ok"
    assert collect(chain, voucher(chain, 30, signer=ANYBODY)) == "ledger.nothing-new"


def test_as_many_as_one_transaction_takes_are_collected_and_one_more_is_not_taken():
    chain = start()
    full = tuple(voucher(chain, n + 1) for n in range(limits.VOUCHERS))
    assert collect(chain, *full) == "ok"
    assert held(chain) == (100, limits.VOUCHERS)
    data = chain.make(ANYBODY, CollectVouchers(vouchers=(*full, full[0])), fee=100 * FEE)
    with pytest.raises(Exception, match=r"encoding\.malformed"):
        chain.engine.submit(data)


def test_closing_gives_the_payee_a_span_and_then_the_rest_to_the_payer():
    chain = start()
    assert chain.do(PAYER, WITHDRAW) == "ledger.escrow-open"
    assert chain.do(PAYER, CLOSE) == "ok"
    closing_at = get_escrow(chain).closing_at
    assert closing_at == chain.engine.height + DELAY
    assert chain.do(PAYER, CLOSE) == "ledger.closing-already"
    while chain.engine.height < closing_at - 1:
        assert chain.do(PAYER, WITHDRAW) == "ledger.escrow-open"
    # In the very last block of the span both try, the payer first: the payee is paid.
    codes = chain.block(
        chain.make(PAYER, WITHDRAW),
        chain.make(PAYEE, CollectVouchers(vouchers=(voucher(chain, 30),)), fee=2 * FEE),
    )
    assert chain.engine.height == closing_at
    assert sorted(codes) == ["ledger.escrow-open", "ok"]
    before = balance(chain, PAYER)
    assert chain.do(PAYER, WITHDRAW) == "ok"
    assert balance(chain, PAYER) == before + 70 - FEE
    assert held(chain) == (30, 30)
    assert get_escrow(chain).closing_at is None
    assert chain.do(PAYER, WITHDRAW) == "ledger.escrow-open"
    assert chain.do(PAYER, CLOSE) == "ledger.escrow-empty"


def withdraw(chain):
    assert chain.do(PAYER, CLOSE) == "ok"
    for _ in range(DELAY):
        chain.block()
    assert chain.do(PAYER, WITHDRAW) == "ok"


def test_no_voucher_is_paid_twice_over_a_withdrawal():
    chain = start()
    old = voucher(chain, 30)
    assert collect(chain, old) == "ok"
    withdraw(chain)
    assert collect(chain, voucher(chain, 99)) == "ledger.nothing-new"
    assert chain.do(PAYER, FUND) == "ok"
    assert collect(chain, old) == "ledger.nothing-new"
    assert held(chain) == (130, 30)


def test_what_was_signed_and_not_collected_is_owed_by_who_comes_back():
    chain = start()
    late = voucher(chain, 50)
    withdraw(chain)
    assert chain.do(PAYER, FUND) == "ok"
    assert collect(chain, late) == "ok"
    assert held(chain) == (100, 50)


def test_nobody_else_closes_or_withdraws():
    chain = start()
    for body in (CLOSE, WITHDRAW):
        assert chain.do(PAYEE, body) == "ledger.no-such-escrow"
        assert chain.do(ANYBODY, body) == "ledger.no-such-escrow"


def test_what_was_collected_while_it_closed_leaves_nothing_to_withdraw():
    chain = start()
    assert chain.do(PAYER, CLOSE) == "ok"
    assert collect(chain, voucher(chain, 100)) == "ok"
    for _ in range(DELAY):
        chain.block()
    assert chain.do(PAYER, WITHDRAW) == "ledger.escrow-empty"


def test_funding_a_closing_escrow_opens_it_again():
    chain = start()
    assert chain.do(PAYER, CLOSE) == "ok"
    assert chain.do(PAYER, FUND) == "ok"
    assert get_escrow(chain).closing_at is None
    for _ in range(DELAY):
        chain.block()
    assert chain.do(PAYER, WITHDRAW) == "ledger.escrow-open"
    assert held(chain) == (200, 0)


def test_an_escrow_never_counts_beyond_what_a_voucher_can_name():
    supply = AMOUNT_BOUND - 1
    genesis = make_test_genesis(0, params=Params(escrow_delay_blocks=1))
    balances = msgspec.structs.replace(
        make_test_genesis(1).balances[0], balance_units=supply - 10 * RICH
    )
    rich = msgspec.structs.replace(make_test_genesis(2).balances[1], balance_units=RICH)
    both = tuple(sorted((balances, rich), key=lambda entry: entry.account))
    chain = Chain(msgspec.structs.replace(genesis, balances=both))
    payer, payee = sorted((account(0), account(1)), key=lambda who: -balance(chain, who))
    amount = supply // 2
    fund = FundEscrow(payee=payee.address, amount=amount)
    assert chain.do(payer, fund) == "ok"
    paid = voucher(chain, amount, signer=payer, payer=payer, payee=payee)
    assert collect(chain, paid, signer=payee) == "ok"
    assert chain.do(payee, Transfer(to=payer.address, amount=amount)) == "ok"
    assert chain.do(payer, fund) == "ok"
    paid = voucher(chain, 2 * amount, signer=payer, payer=payer, payee=payee)
    assert collect(chain, paid, signer=payee) == "ok"
    assert chain.do(payee, Transfer(to=payer.address, amount=amount)) == "ok"
    assert chain.do(payer, fund) == "ledger.escrow-full"
    last = FundEscrow(payee=payee.address, amount=supply - 2 * amount)
    assert chain.do(payer, last) == "ok"


# Vouchers that ride on a checkpoint


def settle(chain, vouchers, size=1, old=0):
    log = MerkleLog()
    for index in range(size):
        log.append(leaf_hash(sha256(b"%d" % index)))
    operator = PAYEE.address
    note = Checkpoint(origin=log_origin(chain.domain, operator, 0), size=size, root=log.root())
    body = SettleCheckpoint(
        operator=operator,
        session=0,
        checkpoint=sign_checkpoint(note, key(1)),
        consistency=log.consistency_proof(old, size),
        vouchers=vouchers,
    )
    return chain.do(ANYBODY, body, fee=FEE * (1 + len(vouchers)))


def open_node(chain):
    assert chain.register(1) == "ok"
    assert chain.do(PAYEE, chain.opening(1)) == "ok"


def get_size(chain):
    return chain.record(get_log_key(PAYEE.address, 0), LogRecord).size


def test_vouchers_ride_on_a_checkpoint():
    chain = start()
    open_node(chain)
    before = balance(chain, PAYEE)
    assert settle(chain, (voucher(chain, 30), voucher(chain, 35))) == "ok"
    assert (get_size(chain), held(chain)) == (1, (100, 35))
    assert balance(chain, PAYEE) == before + 35


def test_no_voucher_keeps_a_checkpoint_from_being_settled():
    chain = start()
    open_node(chain)
    bad = (
        b"",
        b"junk",
        voucher(chain, 90, signer=ANYBODY),
        voucher(chain, 5, payee=ANYBODY),
        voucher(chain, 0),
    )
    assert settle(chain, (*bad, voucher(chain, 30), *bad)) == "ok"
    assert (get_size(chain), held(chain)) == (1, (100, 30))
    assert settle(chain, (voucher(chain, 30),), size=2, old=1) == "ok"
    assert get_size(chain) == 2


def test_a_checkpoint_that_is_refused_collects_nothing():
    chain = start()
    open_node(chain)
    assert settle(chain, (), size=2) == "ok"
    assert settle(chain, (voucher(chain, 30),), size=1) == "ledger.checkpoint-behind"
    assert held(chain) == (100, 0)


def test_a_share_of_the_fee_is_due_for_each_voucher():
    chain = start()
    body = CollectVouchers(vouchers=(voucher(chain, 30),))
    with pytest.raises(Exception, match=r"ledger\.fee-too-low"):
        chain.do(ANYBODY, body, fee=2 * FEE - 1)
    assert held(chain) == (100, 0)


def test_opening_an_escrow_is_paid_for_once_and_the_price_is_burned():
    """PAY-1: its record stays for ever, so that many of them are dear."""
    price = PARAMS.open_escrow_units
    chain = start(funded=False)
    burned = chain.record(SUPPLY_KEY, Supply).burned
    assert chain.do(PAYER, FUND) == "ok"
    assert balance(chain, PAYER) == RICH - FEE - FUND.amount - price
    assert chain.record(SUPPLY_KEY, Supply).burned == burned + FEE + price
    for body in (FUND, CLOSE, FUND):
        assert chain.do(PAYER, body) == "ok"
    assert balance(chain, PAYER) == RICH - 4 * FEE - 3 * FUND.amount - price
    # Each pair has its own; a refused opening costs its fee alone.
    rest = balance(chain, PAYER) - FEE
    short = FundEscrow(payee=ANYBODY.address, amount=rest - price + 1)
    assert chain.do(PAYER, short) == "ledger.balance-too-low"
    assert balance(chain, PAYER) == rest
    fits = msgspec.structs.replace(short, amount=rest - FEE - price)
    assert chain.do(PAYER, fits) == "ok"
    assert balance(chain, PAYER) == 0
