"""A prosecutor that follows the decisions convicts cheaters, and leaves honest nodes alone."""

import pytest

from probatum.errors import Refusal
from probatum.evidence.prosecution import (
    Accuse,
    Done,
    FetchBlock,
    FetchTiles,
    Wait,
    find_rivals,
    prosecute,
)
from probatum.evidence.settlements import find_settlement
from probatum.protocol.hashing import sha256
from probatum.protocol.merkle import leaf_hash
from probatum.protocol.transactions.kinds import (
    ChallengeReceipt,
    CloseChallenge,
    ConvictOmission,
    ReportTwoReceipts,
    ReportWrongEntry,
)
from tests.cases import ChainFacts, hold, tiles_of
from tests.chain import FEE, Chain, account, key, make_test_genesis
from tests.unit.ledger.handlers.test_losses import handed_back, loss
from tests.unit.ledger.handlers.test_offences import (
    OPERATOR,
    PARAMS,
    REPORTER,
    challenge,
    get_balance,
    get_stake,
    make_log,
    make_payload,
    pass_blocks,
    settle,
    wrong_entry,
)

FIRST, SECOND = make_payload(), make_payload(salt=b"other")


@pytest.fixture
def chain():
    made = Chain(make_test_genesis(params=PARAMS))
    made.register()
    assert made.do(account(0), made.opening()) == "ok"
    return made


def decide(chain, payload=FIRST, **named):
    facts = ChainFacts(chain)
    return prosecute(hold(payload), facts, facts.windows, **named)


def find_block(chain, height):
    facts = ChainFacts(chain)
    return find_settlement(chain.domain, facts.get_log(OPERATOR, 0), chain.engine.get_block(height))


def act(chain, decision, kind):
    assert isinstance(decision, Accuse)
    assert isinstance(decision.body, kind)
    assert chain.do(REPORTER, decision.body) == "ok"


def test_an_omission_is_followed_to_its_end(chain):
    decision = decide(chain)
    assert isinstance(decision, Wait)
    assert decision.until == 6
    pass_blocks(chain, decision.until)
    act(chain, decide(chain), ChallengeReceipt)
    decision = decide(chain)
    assert isinstance(decision, Wait)
    pass_blocks(chain, decision.until)
    act(chain, decide(chain), ConvictOmission)
    end = decide(chain)
    assert isinstance(end, Done)
    assert end.convicted


def test_a_late_node_pays_its_fee_and_no_more(chain):
    pass_blocks(chain, 6)
    act(chain, decide(chain), ChallengeReceipt)
    log = make_log(FIRST, b"after")
    assert settle(chain, log) == "ok"
    decision = decide(chain)
    assert isinstance(decision, FetchTiles)
    assert decision.size == 2
    act(chain, decide(chain, tiles=tiles_of(log, decision.paths)), CloseChallenge)
    end = decide(chain, tiles=tiles_of(log, decision.paths))
    assert isinstance(end, Done)
    assert not end.convicted


def test_who_is_shown_nothing_gets_the_bond_back(chain):
    """A node that settles under a challenge and hides its log keeps nobody's bond."""
    pass_blocks(chain, 6)
    before = get_balance(chain, REPORTER)
    act(chain, decide(chain), ChallengeReceipt)
    assert settle(chain, make_log(FIRST, b"after")) == "ok"
    decision = decide(chain, withheld=True)
    assert isinstance(decision, Wait)
    giving_up = CloseChallenge(operator=OPERATOR, session=0, index=0, inclusion=())
    assert chain.do(REPORTER, giving_up) == "merkle.bad-proof"
    pass_blocks(chain, decision.until)
    # Nobody else may end it so, and it costs the node nothing.
    assert chain.do(account(1), giving_up) == "merkle.bad-proof"
    bonded = get_stake(chain).bonded
    act(chain, decide(chain, withheld=True), CloseChallenge)
    assert get_balance(chain, REPORTER) == before - 3 * FEE
    assert get_stake(chain).bonded == bonded
    assert isinstance(decide(chain, withheld=True), Done)


def test_another_entry_convicts_and_bad_tiles_do_not(chain):
    log, other = make_log(SECOND, b"after"), make_log(b"x", b"y")
    assert settle(chain, log) == "ok"
    paths = decide(chain).paths
    with pytest.raises(Refusal, match="not in the tree"):
        decide(chain, tiles=tiles_of(other, paths))
    # Where nobody gives the block that settled it, the root of the moment has to do.
    shown = decide(chain, tiles=tiles_of(log, paths), unsigned=True)
    assert shown.body.checkpoint == b""
    act(chain, shown, ReportWrongEntry)


def test_a_node_that_settles_at_every_block_outruns_no_report(chain):
    log = make_log(SECOND, *(b"%d" % number for number in range(9)))
    assert settle(chain, log, 2) == "ok"
    tiles = tiles_of(log, decide(chain).paths)
    asked = decide(chain, tiles=tiles)
    assert asked == FetchBlock(height=chain.engine.height)
    settled = find_block(chain, asked.height)
    pinned = decide(chain, tiles=tiles, settled=settled)
    outrun = decide(chain, tiles=tiles, unsigned=True)
    for size in (3, 4, 5):
        assert settle(chain, log, size, size - 1) == "ok"
    # Tiles of the log as it is now are not needed any more, and where they are wanting no excuse.
    assert decide(chain, tiles=tiles, settled=settled) == pinned
    assert chain.do(REPORTER, outrun.body).startswith("merkle.")
    act(chain, pinned, ReportWrongEntry)
    assert decide(chain).convicted


def test_a_settlement_of_no_use_is_passed_over(chain):
    log = make_log(FIRST, b"between", b"after")
    assert settle(chain, log, 1) == "ok"
    first = find_block(chain, chain.engine.height)
    assert settle(chain, log, 3, 1) == "ok"
    later = find_block(chain, chain.engine.height)
    assert (first.size, later.size) == (1, 3)
    assert find_block(chain, chain.engine.height - 2) is None
    # It does not reach the entry; its tiles are not there; it has the very receipt.
    second = make_payload(1)
    paths = decide(chain, second).paths
    assert decide(chain, second, settled=first) == FetchTiles(size=3, paths=paths)
    assert decide(chain, second, settled=later) == FetchTiles(size=3, paths=paths)
    done = decide(chain, FIRST, settled=later, tiles=tiles_of(log, paths))
    assert isinstance(done, Done)
    assert not done.convicted
    # Tiles of another log are found out before anybody pays a fee.
    with pytest.raises(Refusal, match="not in the tree"):
        decide(chain, second, settled=later, tiles=tiles_of(make_log(b"x", b"y", b"z"), paths))


def test_a_receipt_that_was_handed_back_is_done_with(chain):
    pass_blocks(chain, 6)
    act(chain, decide(chain), ChallengeReceipt)
    assert chain.do(account(0), chain.opening(session=1)) == "ok"
    assert chain.do(account(1), loss(chain)) == "ok"
    # Handing back goes one by one: whoever lost a log has an epoch for it.
    waiting = decide(chain)
    assert isinstance(waiting, Wait)
    assert waiting.until == chain.engine.height + PARAMS.loss_epoch_blocks
    log = make_log(FIRST)
    assert settle(chain, log, session=1) == "ok"
    assert chain.do(account(1), handed_back(log, index=0)) == "ok"
    end = decide(chain)
    assert isinstance(end, Done)
    assert "entry 0 of session 1" in end.why


@pytest.mark.parametrize("handed_in", [False, True])
def test_a_second_receipt_that_the_ledger_saw_convicts(chain, handed_in):
    """Its holder alone need not have both: the ledger checked the other's signature."""
    pass_blocks(chain, 6)
    act(chain, decide(chain), ChallengeReceipt)
    if handed_in:
        assert chain.do(account(0), chain.opening(session=1)) == "ok"
        assert chain.do(account(1), loss(chain)) == "ok"
        log = make_log(FIRST)
        assert settle(chain, log, session=1) == "ok"
        assert chain.do(account(1), handed_back(log, index=0)) == "ok"
    # The one that was challenged is no second one, and no other leaf will do.
    own = wrong_entry(FIRST, make_log(FIRST), leaf=leaf_hash(sha256(FIRST)), proof=())
    assert chain.do(REPORTER, own) == "ledger.not-covered"
    other = wrong_entry(SECOND, make_log(FIRST), leaf=leaf_hash(sha256(b"no receipt")), proof=())
    assert chain.do(REPORTER, other) == "ledger.not-covered"
    act(chain, decide(chain, SECOND), ReportWrongEntry)
    end = decide(chain, SECOND)
    assert isinstance(end, Done)
    assert end.convicted


def test_rivals_are_found_and_convict(chain):
    held = [hold(make_payload(3)), hold(FIRST), hold(SECOND), hold(FIRST)]
    ((first, second),) = find_rivals(held)
    assert (first.payload, second.payload) == (FIRST, SECOND)
    act(chain, decide(chain, rival=second), ReportTwoReceipts)
    assert find_rivals([hold(FIRST), hold(make_payload(opener=None, salt=b"x"))]) == ()


def test_what_a_receipt_cannot_show(chain):
    for payload, words in (
        (make_payload(opener=None), "does not say who opened"),
        (make_payload(opener="ab" * 32), "another life"),
        (make_payload(session=1), "no such log session"),
    ):
        end = decide(chain, payload)
        assert isinstance(end, Done)
        assert words in end.why


def test_a_retired_key_is_challenged_only_while_it_can_still_settle(chain):
    assert chain.do(account(0), chain.registration(operating=key(5))) == "ok"
    retired = chain.engine.height
    pass_blocks(chain, retired + 16)
    assert isinstance(decide(chain), Accuse)
    pass_blocks(chain, retired + 17)
    assert isinstance(decide(chain), Done)
    assert chain.do(REPORTER, challenge(FIRST)) == "ledger.key-retired"
