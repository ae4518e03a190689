"""What convicts a node, what does not, and what it costs (`LOG-1`)."""

import msgspec
import pytest

from probatum.ledger.params import Params
from probatum.protocol.dsse import PAYLOAD_TYPE, pae
from probatum.protocol.hashing import sha256
from probatum.protocol.merkle import EMPTY_ROOT, MerkleLog, leaf_hash
from probatum.protocol.notes import Checkpoint, log_origin, sign_checkpoint
from probatum.protocol.parties import Party
from probatum.protocol.primitives import UNITS_PER_TOKEN, address_to_hex
from probatum.protocol.receipts import LogPosition, Receipt, encode_receipt
from probatum.protocol.records import (
    Account,
    ChallengeRecord,
    OffenceRecord,
    StakeRecord,
    Supply,
    Unbonding,
    get_account_key,
    get_challenge_key,
    get_offence_key,
    get_stake_key,
)
from probatum.protocol.transactions.kinds import (
    ChallengeReceipt,
    CloseChallenge,
    ConvictOmission,
    ReportNoPrefix,
    ReportTwoReceipts,
    ReportWrongEntry,
    SettleCheckpoint,
    Transfer,
    Unstake,
)
from tests.chain import FEE, OPENER, Chain, account, key, make_test_genesis
from tests.factories import make_facts

TOKEN = UNITS_PER_TOKEN
PARAMS = Params(
    unbonding_blocks=20,
    challenge_window_blocks=3,
    challenge_bond_units=500,
    late_fee_units=70,
    slash_entry_units=TOKEN,
    slash_fork_units=TOKEN + 5,
    slash_omission_units=TOKEN // 2,
    reporter_share_permille=250,
)
OPERATOR = account(0).address
REPORTER = account(2)
NAMED = OPENER.hex()
NODE = Party(role="inference", account=address_to_hex(OPERATOR), key=key(0).key.hex())


def make_payload(index=0, *, salt=b"", session=0, include_by=6, opener=NAMED, node=NODE, **more):
    place = LogPosition(session=session, index=index, include_by=include_by, opener=opener)
    return encode_receipt(
        Receipt(
            request=make_facts(),
            outputs=(),
            evidence="signed",
            node=node,
            log=place,
            custody=sha256(b"hand-over" + salt).hex(),
            **more,
        )
    )


def sign(payload, signer=None):
    return (signer or key(0)).sign(pae(PAYLOAD_TYPE, payload))


def make_log(*payloads):
    log = MerkleLog()
    for payload in payloads:
        log.append(leaf_hash(sha256(payload)))
    return log


def checkpoint(chain, size, root, *, session=0, signer=None):
    origin = log_origin(chain.domain, OPERATOR, session)
    return sign_checkpoint(Checkpoint(origin=origin, size=size, root=root), signer or key(0))


def settle(chain, log, size=None, old=0, *, session=0):
    size = len(log) if size is None else size
    body = SettleCheckpoint(
        operator=OPERATOR,
        session=session,
        checkpoint=checkpoint(chain, size, log.root(size), session=session),
        consistency=log.consistency_proof(old, size),
    )
    return chain.do(account(1), body)


def two_receipts(first, second, *, signatures=None):
    one, other = signatures or (sign(first), sign(second))
    return ReportTwoReceipts(
        operator=OPERATOR,
        first=first,
        first_signature=one,
        second=second,
        second_signature=other,
    )


def wrong_entry(payload, log, index=0, *, leaf=None, proof=None, size=None):
    return ReportWrongEntry(
        operator=OPERATOR,
        receipt=payload,
        signature=sign(payload),
        leaf=leaf,
        inclusion=log.inclusion_proof(index, size or len(log)) if proof is None else proof,
    )


def no_prefix(signed, root, proof=(), against=b"", session=0):
    return ReportNoPrefix(
        operator=OPERATOR,
        session=session,
        checkpoint=signed,
        against=against,
        root=root,
        consistency=proof,
    )


def challenge(payload, signature=None):
    return ChallengeReceipt(
        operator=OPERATOR, receipt=payload, signature=signature or sign(payload)
    )


def close(log, index=0):
    proof = log.inclusion_proof(index, len(log)) if log else ()
    return CloseChallenge(operator=OPERATOR, session=0, index=index, inclusion=proof)


def omission(index=0, session=0):
    return ConvictOmission(operator=OPERATOR, session=session, index=index)


def get_offence(chain, kind, index=0):
    return chain.record(get_offence_key(OPERATOR, 0, kind, index), OffenceRecord)


def get_stake(chain):
    return chain.record(get_stake_key(OPERATOR), StakeRecord)


def get_balance(chain, signer):
    return chain.record(get_account_key(signer.address), Account).balance


def pass_blocks(chain, height):
    while chain.engine.height < height:
        chain.block()


@pytest.fixture
def chain():
    made = Chain(make_test_genesis(params=PARAMS))
    made.register()
    assert made.do(account(0), made.opening(session=0)) == "ok"
    return made


FIRST, SECOND = make_payload(), make_payload(salt=b"other")


def test_two_receipts_under_one_index_convict_and_the_slash_is_split(chain):
    balance, burned = get_balance(chain, REPORTER), chain.record(b"supply", Supply).burned
    assert chain.do(REPORTER, two_receipts(FIRST, SECOND)) == "ok"
    assert get_offence(chain, "entry") == OffenceRecord(
        operator=OPERATOR,
        session=0,
        kind="entry",
        index=0,
        reporter=REPORTER.address,
        slashed_units=TOKEN,
        reward_units=TOKEN // 4,
        convicted_at=chain.engine.height,
    )
    assert get_stake(chain).bonded == TOKEN
    assert get_balance(chain, REPORTER) == balance - FEE + TOKEN // 4
    assert chain.record(b"supply", Supply).burned == burned + FEE + TOKEN * 3 // 4
    # Nobody is punished twice for one thing, whatever shows it.
    assert chain.do(REPORTER, two_receipts(SECOND, FIRST)) == "ledger.convicted-already"
    assert settle(chain, make_log(SECOND)) == "ok"
    shown = wrong_entry(FIRST, make_log(SECOND), leaf=leaf_hash(sha256(SECOND)))
    assert chain.do(REPORTER, shown) == "ledger.convicted-already"
    assert get_stake(chain).bonded == TOKEN


def test_a_node_that_is_slashed_below_its_minimum_can_act_no_more(chain):
    assert chain.do(account(0), chain.heartbeat(sequence=0)) == "ok"
    for index in range(2):
        pair = make_payload(index), make_payload(index, salt=b"other")
        assert chain.do(REPORTER, two_receipts(*pair)) == "ok"
    assert get_stake(chain) is None
    assert chain.do(account(0), chain.heartbeat(sequence=1)) == "ledger.stake-too-low"
    # A conviction without stake is written down all the same.
    pair = make_payload(9), make_payload(9, salt=b"other")
    assert chain.do(REPORTER, two_receipts(*pair)) == "ok"
    assert get_offence(chain, "entry", 9).slashed_units == 0


def test_unbonding_stake_is_slashed_too(chain):
    assert chain.do(account(0), Unstake(amount=TOKEN // 2)) == "ok"
    matures = chain.engine.height + 20
    assert chain.do(account(0), Unstake(amount=TOKEN)) == "ok"
    assert chain.do(REPORTER, two_receipts(FIRST, SECOND)) == "ok"
    left = (Unbonding(amount=TOKEN, matures_at=matures + 1),)
    assert get_stake(chain) == StakeRecord(bonded=0, unbonding=left)


@pytest.mark.parametrize(
    ("second", "signer", "code"),
    [
        (FIRST, 0, "ledger.no-conflict"),
        (make_payload(1), 0, "ledger.no-conflict"),
        (SECOND, 1, "ed25519.bad-signature"),
        (SECOND[:-1], 0, "encoding.malformed"),
        (make_payload(session=1), 0, "ledger.no-such-log"),
        (make_payload(opener=None), 0, "ledger.unbound-receipt"),
        (make_payload(opener=sha256(b"elsewhere").hex()), 0, "receipt.wrong-log"),
        (
            make_payload(node=Party(role="inference", account=NODE.account, key=key(3).key.hex())),
            0,
            "receipt.wrong-key",
        ),
        (
            make_payload(
                node=Party(
                    role="inference", account=address_to_hex(account(3).address), key=NODE.key
                )
            ),
            0,
            "receipt.wrong-log",
        ),
    ],
)
def test_what_two_receipts_do_not_show(chain, second, signer, code):
    signatures = sign(FIRST), sign(second, key(signer))
    assert chain.do(REPORTER, two_receipts(FIRST, second, signatures=signatures)) == code
    assert get_stake(chain).bonded == 2 * TOKEN


def test_a_signed_checkpoint_shows_another_entry_whatever_is_settled_since(chain):
    log = make_log(make_payload(5), SECOND, make_payload(7))
    leaf = leaf_hash(sha256(SECOND))
    report = wrong_entry(make_payload(1), log, 1, leaf=leaf)
    assert settle(chain, log) == "ok"
    shown = msgspec.structs.replace(report, checkpoint=checkpoint(chain, 3, log.root(3)))
    more = make_log(make_payload(5), SECOND, make_payload(7), make_payload(8))
    assert settle(chain, more, old=3) == "ok"
    assert chain.do(REPORTER, report).startswith("merkle.")
    for bad, code in (
        (checkpoint(chain, 3, log.root(3), signer=key(1)), "note.another-key"),
        (checkpoint(chain, 1, log.root(1)), "ledger.not-covered"),
        (checkpoint(chain, 3, log.root(2)), "merkle.not-included"),
        (b"no note", "note.malformed"),
    ):
        wrong = msgspec.structs.replace(report, checkpoint=bad)
        assert chain.do(REPORTER, wrong) == code
    assert chain.do(REPORTER, shown) == "ok"
    assert get_offence(chain, "entry", 1).reporter == REPORTER.address


def test_another_entry_at_a_promised_index_convicts(chain):
    log = make_log(make_payload(5), SECOND, make_payload(7))
    promised = make_payload(1)
    leaf = leaf_hash(sha256(SECOND))
    report = wrong_entry(promised, log, 1, leaf=leaf)
    assert chain.do(REPORTER, report) == "ledger.not-covered"
    assert settle(chain, log) == "ok"
    own = leaf_hash(sha256(promised))
    bad = wrong_entry(promised, log, 1, leaf=own)
    assert chain.do(REPORTER, bad) == "ledger.no-conflict"
    bad = wrong_entry(promised, log, 1, leaf=leaf, proof=log.inclusion_proof(0, 3))
    assert chain.do(REPORTER, bad) == "merkle.not-included"
    bad = wrong_entry(promised, log, 1, leaf=leaf, proof=())
    assert chain.do(REPORTER, bad) == "merkle.bad-proof"
    assert chain.do(REPORTER, report) == "ok"
    assert get_offence(chain, "entry", 1).reporter == REPORTER.address


def grown(size, salt=b""):
    return make_log(*(salt + b"%d" % n for n in range(size)))


def test_checkpoints_of_one_log_convict_nobody(chain):
    log = grown(9)
    assert settle(chain, log, 6) == "ok"
    for size in (0, 1, 4, 5, 6, 7, 9):
        signed = checkpoint(chain, size, log.root(size))
        low, high = sorted((size, 6))
        body = no_prefix(signed, log.root(low), log.consistency_proof(low, high))
        assert chain.do(REPORTER, body) == "ledger.no-conflict"
    assert get_offence(chain, "fork") is None


@pytest.mark.parametrize(("size", "settled"), [(4, 6), (5, 6), (6, 6), (9, 6), (2, 0)])
def test_a_checkpoint_of_another_log_convicts(chain, size, settled):
    log, other = grown(9), grown(9, b"other")
    if settled:
        assert settle(chain, log, settled) == "ok"
    signed = checkpoint(chain, size, other.root(size))
    if not settled:
        # Nothing to hold it against but the node's own word.
        against = checkpoint(chain, 5, log.root(5))
        body = no_prefix(signed, log.root(2), log.consistency_proof(2, 5), against)
    elif size <= settled:
        body = no_prefix(signed, log.root(size), log.consistency_proof(size, settled))
    else:
        body = no_prefix(signed, other.root(settled), other.consistency_proof(settled, size))
    assert chain.do(REPORTER, body) == "ok"
    assert get_offence(chain, "fork").slashed_units == TOKEN + 5
    assert chain.do(REPORTER, body) == "ledger.convicted-already"


def test_what_checkpoints_do_not_show(chain):
    log, other = grown(9), grown(9, b"other")
    assert settle(chain, log, 6) == "ok"
    signed = checkpoint(chain, 4, other.root(4))
    proof = log.consistency_proof(4, 6)
    for body, code in (
        (no_prefix(signed, other.root(4), proof), "merkle.not-consistent"),
        (no_prefix(signed, log.root(4), ()), "merkle.bad-proof"),
        (no_prefix(signed, log.root(4), proof, session=1), "ledger.no-such-log"),
        (no_prefix(b"note", log.root(4), proof), "note.malformed"),
        (no_prefix(signed, log.root(4), proof, b"note"), "note.malformed"),
        (
            no_prefix(checkpoint(chain, 4, other.root(4), signer=key(1)), log.root(4), proof),
            "note.another-key",
        ),
        (
            no_prefix(checkpoint(chain, 4, other.root(4), session=1), log.root(4), proof),
            "note.another-key",
        ),
    ):
        assert chain.do(REPORTER, body) == code
    empty = checkpoint(chain, 0, other.root(1))
    assert chain.do(REPORTER, no_prefix(empty, other.root(1))) == "merkle.not-consistent"
    assert chain.do(REPORTER, no_prefix(empty, EMPTY_ROOT)) == "ok"


def test_an_overdue_receipt_is_challenged_and_left_out(chain):
    assert chain.do(REPORTER, challenge(FIRST)) == "ledger.not-overdue"
    pass_blocks(chain, 6)
    assert chain.do(REPORTER, omission()) == "ledger.no-such-challenge"
    balance = get_balance(chain, REPORTER)
    assert chain.do(REPORTER, challenge(FIRST)) == "ok"
    opened = chain.engine.height
    assert chain.record(get_challenge_key(OPERATOR, 0, 0), ChallengeRecord) == ChallengeRecord(
        operator=OPERATOR,
        session=0,
        index=0,
        entry=sha256(FIRST),
        challenger=REPORTER.address,
        bond_units=500,
        opened_at=opened,
        deadline_at=opened + 3,
    )
    assert get_balance(chain, REPORTER) == balance - FEE - 500
    assert chain.do(account(1), challenge(SECOND)) == "ledger.challenged-already"
    assert chain.do(account(1), omission()) == "ledger.not-overdue"
    pass_blocks(chain, opened + 3)
    assert chain.do(account(1), omission(session=1)) == "ledger.no-such-log"
    assert chain.do(account(1), omission()) == "ok"
    assert get_offence(chain, "omission").slashed_units == TOKEN // 2
    assert chain.record(get_challenge_key(OPERATOR, 0, 0), ChallengeRecord) is None
    # The bond is back, and the reward is the challenger's, whoever said that the time was up.
    assert get_balance(chain, REPORTER) == balance - FEE + TOKEN // 8
    assert chain.do(REPORTER, challenge(FIRST)) == "ledger.convicted-already"


@pytest.mark.parametrize("late", [False, True])
def test_a_receipt_settled_after_the_challenge_costs_the_late_fee(chain, late):
    pass_blocks(chain, 6)
    balance = get_balance(chain, REPORTER)
    assert chain.do(REPORTER, close(make_log(FIRST))) == "ledger.no-such-challenge"
    assert chain.do(REPORTER, challenge(FIRST)) == "ok"
    assert chain.do(REPORTER, close(make_log(FIRST))) == "ledger.not-covered"
    if late:
        pass_blocks(chain, chain.engine.height + 5)
    log = make_log(FIRST, SECOND)
    assert settle(chain, log) == "ok"
    pass_blocks(chain, chain.engine.height + 5)
    assert chain.do(REPORTER, omission()) == "ledger.covered"
    assert chain.do(REPORTER, close(make_log(SECOND, FIRST))) == "merkle.not-included"
    assert chain.do(account(1), close(log)) == "ok"
    assert get_stake(chain).bonded == 2 * TOKEN - 70
    assert get_balance(chain, REPORTER) == balance - 5 * FEE
    assert chain.do(REPORTER, challenge(FIRST)) == "ledger.covered"


def test_a_challenge_that_is_answered_with_another_entry_ends_in_a_conviction(chain):
    pass_blocks(chain, 6)
    balance = get_balance(chain, REPORTER)
    assert chain.do(REPORTER, challenge(FIRST)) == "ok"
    log = make_log(SECOND)
    assert settle(chain, log) == "ok"
    assert chain.do(account(1), close(log)) == "merkle.not-included"
    assert chain.do(account(1), wrong_entry(FIRST, log, leaf=leaf_hash(sha256(SECOND)))) == "ok"
    assert chain.record(get_challenge_key(OPERATOR, 0, 0), ChallengeRecord) is None
    assert get_balance(chain, REPORTER) == balance - FEE


def test_what_cannot_be_challenged(chain):
    pass_blocks(chain, 6)
    assert chain.do(REPORTER, challenge(FIRST, sign(SECOND))) == "ed25519.bad-signature"
    assert chain.do(REPORTER, two_receipts(FIRST, SECOND)) == "ok"
    assert chain.do(REPORTER, challenge(FIRST)) == "ledger.convicted-already"
    poor = account(3)
    rest = get_balance(chain, poor) - 2 * FEE - 499
    assert chain.do(poor, Transfer(to=OPERATOR, amount=rest)) == "ok"
    assert chain.do(poor, challenge(make_payload(3))) == "ledger.balance-too-low"


def test_a_retired_key_convicts_only_for_a_while(chain):
    assert chain.do(account(0), chain.registration(operating=key(5))) == "ok"
    retired = chain.engine.height
    pass_blocks(chain, retired + 17)
    # Up to the deadline of this one the key could not settle any more.
    assert chain.do(REPORTER, challenge(FIRST)) == "ledger.key-retired"
    signed = checkpoint(chain, 1, grown(1).root())
    against = checkpoint(chain, 1, grown(1, b"other").root())
    fork = no_prefix(signed, grown(1, b"other").root(), against=against)
    assert chain.do(REPORTER, two_receipts(FIRST, SECOND)) == "ok"
    pass_blocks(chain, retired + 20)
    assert chain.do(REPORTER, fork) == "ledger.key-retired"
    pair = make_payload(1), make_payload(1, salt=b"other")
    assert chain.do(REPORTER, two_receipts(*pair)) == "ledger.key-retired"


def test_a_key_that_is_retired_under_a_challenge_does_not_escape_it():
    params = Params(unbonding_blocks=2, challenge_window_blocks=50)
    chain = Chain(make_test_genesis(params=params))
    chain.register()
    assert chain.do(account(0), chain.opening(session=0)) == "ok"
    pass_blocks(chain, 6)
    retired, opened = chain.registration(operating=key(5)), challenge(FIRST)
    codes = chain.block(chain.make(REPORTER, opened), chain.make(account(0), retired))
    assert codes == ["ok", "ok"]
    pass_blocks(chain, chain.engine.height + 2)
    assert settle(chain, make_log(FIRST)) == "ledger.key-retired"
    assert chain.do(REPORTER, omission()) == "ok"
