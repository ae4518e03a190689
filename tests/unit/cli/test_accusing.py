"""What `receipt accuse` tells people and programs of each decision."""

import pytest

from probatum.cli import accusing
from probatum.cli.prosecuting import Prosecution
from probatum.cli.settings import DEFAULTS
from probatum.errors import Refusal
from probatum.evidence.prosecution import Accuse, Done, Wait
from probatum.ledger.params import Params
from probatum.protocol.hashing import sha256
from probatum.protocol.transactions.kinds import CloseChallenge, ConvictOmission
from tests.cases import hold
from tests.unit.ledger.handlers.test_offences import (
    OPERATOR,
    challenge,
    make_payload,
    no_prefix,
    two_receipts,
)

PARAMS = Params(
    challenge_bond_units=10**7,
    challenge_window_blocks=60,
    slash_omission_units=10**8,
    slash_entry_units=10**9,
    slash_fork_units=2 * 10**9,
    late_fee_units=10_000,
    reporter_share_permille=100,
)
FIRST, SECOND = make_payload(), make_payload(salt=b"other")
PLACE = {"operator": OPERATOR, "session": 0, "index": 0}


def tell(standing):
    follows = accusing._describe(standing, PARAMS)
    return follows, "\n".join(accusing._tell(standing, follows))


def accuse(body):
    return tell(Accuse(body=body, why="so it is"))


def test_nothing_to_do_is_said_plainly():
    follows, text = tell(Done(convicted=False, why="it is there"))
    assert (follows["standing"], text) == ("done", "done: it is there")
    follows, text = tell(Done(convicted=True, why="it was convicted"))
    assert follows["standing"] == "convicted"
    follows, text = tell(Wait(until=9, why="not due"))
    assert (follows["standing"], follows["until"]) == ("waiting", 9)
    assert "before height 9" in text


def test_a_challenge_says_its_bond_and_window():
    follows, text = accuse(challenge(FIRST))
    assert (follows["bond_units"], follows["window_blocks"]) == (10**7, 60)
    assert "bond of 0.01 tokens" in text
    assert "60 blocks" in text
    assert "up to 0.1 tokens" in text
    assert "--send" in text


@pytest.mark.parametrize(
    ("body", "loses"),
    [
        (two_receipts(FIRST, SECOND), 10**9),
        (no_prefix(b"note", sha256(b"root")), 2 * 10**9),
        (ConvictOmission(**PLACE), 10**8),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_report_says_what_a_conviction_takes_and_gives(body, loses):
    follows, text = accuse(body)
    assert (follows["node_loses_units"], follows["reward_units"]) == (loses, loses // 10)
    assert "the rest is burned" in text


def test_an_answered_challenge_says_what_it_cost():
    follows, text = accuse(CloseChallenge(**PLACE, inclusion=()))
    assert follows["node_pays_units"] == 10_000
    assert "0.00001 tokens for being late" in text


@pytest.mark.parametrize("code", ["ledger.covered", "ledger.returned", "ledger.convicted-already"])
def test_a_ledger_that_went_on_meanwhile_is_no_error(monkeypatch, code):
    case = Prosecution(
        common=DEFAULTS,
        held=hold(FIRST),
        rival=None,
        params=PARAMS,
        patience_blocks=0,
        sender=None,
    )

    def refuse(*_):
        raise Refusal(code, "the ledger went on")

    monkeypatch.setattr("probatum.cli.prosecuting.send_body", refuse)
    monkeypatch.setattr("probatum.cli.prosecuting._PAUSE_S", 0)
    assert case.send(None, Accuse(body=challenge(FIRST), why="")) is None
    code = "ledger.balance-too-low"
    with pytest.raises(Refusal, match="went on"):
        case.send(None, Accuse(body=challenge(FIRST), why=""))
