"""Opening log sessions and settling their checkpoints (`LOG-1`): logs only grow."""

import pytest

from probatum.protocol.merkle import EMPTY_ROOT, MerkleLog, leaf_hash
from probatum.protocol.notes import Checkpoint, log_origin, sign_checkpoint
from probatum.protocol.records import LogRecord, get_log_key
from probatum.protocol.transactions.kinds import SettleCheckpoint
from tests.chain import OPENER, Chain, account, key


def grow(log, size, salt=b""):
    while len(log) < size:
        log.append(leaf_hash(salt + b"%d" % len(log)))
    return log


def settle(chain, log, size, old=0, *, signer=None, session=0, number=0, root=None, proof=None):
    origin = log_origin(chain.domain, account(number).address, session)
    checkpoint = Checkpoint(origin=origin, size=size, root=root or log.root(size))
    return SettleCheckpoint(
        operator=account(number).address,
        session=session,
        checkpoint=sign_checkpoint(checkpoint, signer or key(number)),
        consistency=log.consistency_proof(old, size) if proof is None else proof,
    )


def get_log(chain, session=0):
    return chain.record(get_log_key(account(0).address, session), LogRecord)


@pytest.fixture
def chain():
    made = Chain()
    made.register()
    assert made.do(account(0), made.opening(session=0)) == "ok"
    return made


def test_a_session_opens_empty_under_the_nodes_key(chain):
    assert get_log(chain) == LogRecord(
        operator=account(0).address,
        session=0,
        opener=OPENER,
        operating_key=key(0).key,
        size=0,
        root=EMPTY_ROOT,
        opened_at=3,
        settled_at=3,
    )


def test_sessions_are_numbered_one_by_one(chain):
    for session in (0, 2):
        code = chain.do(account(0), chain.opening(session=session))
        assert code == "ledger.wrong-session"
    forged = chain.opening(session=1, signer=key(1))
    assert chain.do(account(0), forged) == "ed25519.bad-signature"
    assert chain.do(account(0), chain.opening(session=1)) == "ok"


def test_checkpoints_settle_as_the_log_grows(chain):
    log = grow(MerkleLog(), 9)
    # Anybody may pay for it.
    assert chain.do(account(2), settle(chain, log, 5)) == "ok"
    assert (get_log(chain).size, get_log(chain).root) == (5, log.root(5))
    assert chain.do(account(0), settle(chain, log, 9, 5)) == "ok"
    assert (get_log(chain).size, get_log(chain).settled_at) == (9, 5)


def test_what_is_behind_or_not_new(chain):
    log = grow(MerkleLog(), 9)
    chain.do(account(0), settle(chain, log, 9))
    assert chain.do(account(0), settle(chain, log, 9, 9)) == "ledger.nothing-new"
    assert chain.do(account(0), settle(chain, log, 5)) == "ledger.checkpoint-behind"
    empty = settle(chain, MerkleLog(), 0, session=0)
    assert chain.do(account(0), empty) == "ledger.checkpoint-behind"


def test_a_log_that_does_not_begin_with_what_was_settled(chain):
    log, other = grow(MerkleLog(), 9), grow(MerkleLog(), 9, b"other")
    chain.do(account(0), settle(chain, log, 5))
    assert chain.do(account(0), settle(chain, other, 9, 5)) == "log.not-append-only"
    same_size = settle(chain, other, 5, proof=())
    assert chain.do(account(0), same_size) == "log.not-append-only"
    assert chain.do(account(0), settle(chain, log, 9, 5, proof=())) == "merkle.bad-proof"
    assert get_log(chain).size == 5
    # The proof was bad, not the log: with the right one it settles.
    assert chain.do(account(0), settle(chain, log, 9, 5)) == "ok"


def test_whose_checkpoint_it_is(chain):
    log = grow(MerkleLog(), 3)
    assert chain.do(account(0), settle(chain, log, 3, session=1)) == "ledger.no-such-log"
    other_key = settle(chain, log, 3, signer=key(1))
    assert chain.do(account(0), other_key) == "note.another-key"
    chain.do(account(0), chain.opening(session=1))
    body = settle(chain, log, 3, session=1)
    moved = SettleCheckpoint(
        operator=body.operator, session=0, checkpoint=body.checkpoint, consistency=()
    )
    assert chain.do(account(0), moved) == "note.another-key"
    bent = bytearray(settle(chain, log, 3).checkpoint)
    place = bent.index(b"\n3\n") + 1
    bent[place : place + 1] = b"4"
    changed = SettleCheckpoint(
        operator=body.operator, session=0, checkpoint=bytes(bent), consistency=()
    )
    assert chain.do(account(0), changed) == "note.bad-signature"


def test_a_session_keeps_the_key_that_opened_it(chain):
    assert chain.do(account(0), chain.registration(operating=key(5))) == "ok"
    log = grow(MerkleLog(), 3)
    assert chain.do(account(0), settle(chain, log, 3, signer=key(5))) == "note.another-key"
    assert chain.do(account(0), settle(chain, log, 3, signer=key(0))) == "ok"
    opening = chain.opening(session=1, signer=key(5))
    assert chain.do(account(0), opening) == "ok"
    assert get_log(chain, 1).operating_key == key(5).key


def test_a_retired_key_settles_only_for_a_while(chain):
    log = grow(MerkleLog(), 9)
    chain.do(account(0), chain.registration(operating=key(5)))
    retired_at = chain.engine.height
    while chain.engine.height < retired_at + 2:
        chain.block()
    # The chain of these tests unbonds in three blocks.
    assert chain.do(account(2), settle(chain, log, 3)) == "ok"
    assert chain.do(account(2), settle(chain, log, 9, 3)) == "ledger.key-retired"
    assert get_log(chain).size == 3
