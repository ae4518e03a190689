"""Every accusation that is built convicts on a real chain; where there is no case, it says so."""

from functools import partial

import pytest

from probatum.errors import Refusal
from probatum.evidence import accusing
from probatum.evidence.accusing import list_entry_tiles, list_fork_tiles
from probatum.protocol.dsse import sign_envelope
from probatum.protocol.hashing import sha256
from probatum.protocol.merkle import EMPTY_ROOT, leaf_hash
from probatum.protocol.tiles import TileReader
from tests.cases import ChainFacts, hold, tiles_of
from tests.chain import Chain, account, key, make_test_genesis
from tests.factories import NODES, make_bundle
from tests.unit.ledger.handlers.test_offences import (
    OPERATOR,
    PARAMS,
    REPORTER,
    challenge,
    checkpoint,
    make_log,
    make_payload,
    pass_blocks,
    settle,
)

FIRST, SECOND = make_payload(), make_payload(salt=b"other")


@pytest.fixture
def chain():
    made = Chain(make_test_genesis(params=PARAMS))
    made.register()
    assert made.do(account(0), made.opening()) == "ok"
    return made


def get_log(chain):
    return ChainFacts(chain).get_log(OPERATOR, 0)


def read(log, size, paths):
    return TileReader(size, tiles_of(log, paths))


def refused(code, function, *args, **named):
    with pytest.raises(Refusal) as caught:
        function(*args, **named)
    assert caught.value.code == code
    return caught.value.message


def test_a_receipt_is_held_only_with_its_signature():
    envelope = sign_envelope(FIRST, (key(0),))
    held = accusing.hold_receipt(envelope)
    assert (held.payload, held.operator, held.place.index) == (FIRST, OPERATOR, 0)
    refused("dsse.key-id", accusing.hold_receipt, sign_envelope(FIRST, (key(1),)))
    made = make_bundle()
    assert accusing.hold_bundle(made.bundle).operator == NODES[1].account
    failed = make_bundle(failed=True).bundle
    refused("receipt.failed-request", accusing.hold_bundle, failed)


def test_two_receipts(chain):
    body = accusing.report_two_receipts(hold(FIRST), hold(SECOND))
    assert chain.do(REPORTER, body) == "ok"


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (FIRST, "it is one receipt"),
        (make_payload(1), "different places"),
        (make_payload(session=1), "different places"),
        (make_payload(salt=b"x", opener=None), "opener"),
        (make_payload(salt=b"x", opener="ab" * 32), "opener"),
    ],
)
def test_no_two_receipts(second, why):
    assert why in refused(
        "accusing.no-case", accusing.report_two_receipts, hold(FIRST), hold(second)
    )


@pytest.mark.parametrize("size", [2, 300])
def test_another_entry(chain, size):
    log = make_log(*(b"%d" % n for n in range(size - 1)), SECOND)
    held = hold(make_payload(size - 1))
    tiles = read(log, size, list_entry_tiles(size - 1, size))
    no_case = "accusing.no-case"
    refused(no_case, accusing.report_wrong_entry, held, get_log(chain), tiles)
    assert settle(chain, log) == "ok"
    record = get_log(chain)
    own = make_log(*(b"%d" % n for n in range(size - 1)), make_payload(size - 1))
    others = read(own, size, list_entry_tiles(size - 1, size))
    refused("merkle.not-included", accusing.report_wrong_entry, held, record, others)
    unbound = hold(make_payload(size - 1, opener=None))
    refused(no_case, accusing.report_wrong_entry, unbound, record, tiles)
    elsewhere = hold(make_payload(size - 1, opener="ab" * 32))
    refused("receipt.wrong-log", accusing.report_wrong_entry, elsewhere, record, tiles)
    for session, of in ((1, size), (0, size - 1)):
        note = checkpoint(chain, of, log.root(of), session=session)
        no = partial(accusing.report_wrong_entry, checkpoint=note)
        refused(no_case, no, held, record, tiles)
    note = checkpoint(chain, size, log.root(size))
    body = accusing.report_wrong_entry(held, record, tiles, checkpoint=note)
    assert body.leaf == leaf_hash(sha256(SECOND))
    assert chain.do(REPORTER, body) == "ok"


def test_the_very_entry_is_no_case(chain):
    log = make_log(b"before", make_payload(1))
    assert settle(chain, log) == "ok"
    tiles = read(log, 2, list_entry_tiles(1, 2))
    message = refused(
        "accusing.no-case",
        accusing.report_wrong_entry,
        hold(make_payload(1)),
        get_log(chain),
        tiles,
    )
    assert "the very receipt" in message


def grown(size, salt=b""):
    return make_log(*(salt + b"%d" % n for n in range(size)))


@pytest.mark.parametrize("size", [0, 1, 255, 256, 300, 400])
@pytest.mark.parametrize("forked", [False, True])
@pytest.mark.parametrize("held_against", ["settled", "signed"])
def test_a_fork(chain, size, forked, held_against):
    """A checkpoint against the settled one, or against another that was signed, of 300 entries."""
    log, own = grown(400), grown(400, b"other" if forked else b"")
    assert settle(chain, log, 300 if held_against == "settled" else 2) == "ok"
    root = own.root(size) if size or not forked else log.root(1)
    signed = checkpoint(chain, size, root)
    against = b"" if held_against == "settled" else checkpoint(chain, 300, log.root(300))
    longer = own if size > 300 else log
    low, high = sorted((size, 300))
    tiles = read(longer, high, list_fork_tiles(low, high))
    arguments = (chain.domain, get_log(chain), signed, tiles)
    if forked:
        body = accusing.report_no_prefix(*arguments, against=against)
        assert chain.do(REPORTER, body) == "ok"
    else:
        refused("accusing.no-case", accusing.report_no_prefix, *arguments, against=against)


def test_what_is_no_fork(chain):
    log = grown(9)
    assert settle(chain, log, 6) == "ok"
    record, tiles = get_log(chain), read(log, 6, list_fork_tiles(4, 6))
    report = accusing.report_no_prefix
    foreign = checkpoint(chain, 4, log.root(4), signer=key(1))
    refused("note.another-key", report, chain.domain, record, foreign, tiles)
    other = grown(9, b"other")
    wrong = read(other, 6, list_fork_tiles(4, 6))
    signed = checkpoint(chain, 4, other.root(4))
    refused("merkle.not-consistent", report, chain.domain, record, signed, wrong)
    empty = checkpoint(chain, 0, EMPTY_ROOT)
    refused("accusing.no-case", report, chain.domain, record, empty, tiles)


def test_an_omission_from_the_challenge_to_the_conviction(chain):
    facts, held = ChainFacts(chain), hold(FIRST)
    height = facts.height
    refused("accusing.not-overdue", accusing.challenge_receipt, held, get_log(chain), height)
    pass_blocks(chain, 6)
    body = accusing.challenge_receipt(held, get_log(chain), facts.height)
    assert body == challenge(FIRST)
    assert chain.do(REPORTER, body) == "ok"
    record = facts.get_challenge(OPERATOR, 0, 0)
    early = accusing.convict_omission
    refused("accusing.not-overdue", early, record, get_log(chain), facts.height)
    pass_blocks(chain, record.deadline_at)
    body = accusing.convict_omission(record, get_log(chain), facts.height)
    assert chain.do(REPORTER, body) == "ok"


def test_a_challenge_that_was_answered_is_closed(chain):
    pass_blocks(chain, 6)
    assert chain.do(REPORTER, challenge(FIRST)) == "ok"
    record = ChainFacts(chain).get_challenge(OPERATOR, 0, 0)
    log = make_log(FIRST, b"after")
    tiles = read(log, 2, list_entry_tiles(0, 2))
    refused("accusing.no-case", accusing.close_challenge, record, get_log(chain), tiles)
    assert settle(chain, log) == "ok"
    no_more = accusing.convict_omission
    refused("accusing.no-case", no_more, record, get_log(chain), 1_000)
    refused("accusing.no-case", accusing.challenge_receipt, hold(FIRST), get_log(chain), 1_000)
    body = accusing.close_challenge(record, get_log(chain), tiles)
    assert chain.do(REPORTER, body) == "ok"
