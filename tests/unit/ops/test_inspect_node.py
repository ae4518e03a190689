"""A node's place in the ledger: what is well, what is not, and what is advised."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from probatum.ledger.params import Params
from probatum.ops import inspect_node as nodes
from probatum.ops.inspect_node import Registrant, inspect_node
from probatum.protocol.encoding import encode
from probatum.protocol.messages import (
    GetLogFile,
    GetState,
    GotLogFile,
    GotState,
    ListedState,
    ListState,
    StateItem,
)
from probatum.protocol.notes import Checkpoint, log_origin, sign_checkpoint
from probatum.protocol.primitives import UNITS_PER_TOKEN, make_digest
from probatum.protocol.records import (
    PARAMS_KEY,
    Account,
    ChallengeRecord,
    LogRecord,
    OffenceRecord,
    StakeRecord,
    Unbonding,
    get_account_key,
    get_challenge_key,
    get_log_key,
    get_node_key,
    get_offence_key,
    get_stake_key,
)
from probatum.protocol.trust import get_domain
from tests.factories import Actor, make_header, make_node_record, make_trust

NODE, PAYER, OTHER = Actor("inference", 20), Actor("inference", 21), Actor("gateway", 22)
HEIGHT = 200
LEDGER = "http://127.0.0.1:9"


class Desk:
    """A full node and the node itself, in one."""

    def __init__(self):
        operator = NODE.account
        self.size = 7
        self.settled = LogRecord(
            operator=operator,
            session=0,
            opener=make_digest(bytes(32)),
            operating_key=NODE.signer.key,
            size=7,
            root=make_digest(bytes(32)),
            opened_at=100,
            settled_at=HEIGHT - 1,
        )
        self.state = {
            get_node_key(operator): make_node_record(NODE, sessions=1, heartbeat_at=HEIGHT - 3),
            get_stake_key(operator): StakeRecord(bonded=5 * UNITS_PER_TOKEN, unbonding=()),
            get_account_key(PAYER.account): Account(balance=UNITS_PER_TOKEN, nonce=1),
            get_log_key(operator, 0): self.settled,
            PARAMS_KEY: Params(),
        }

    async def converse(self, endpoint, message, timeout_s):
        state = {key: encode(value) for key, value in sorted(self.state.items())}
        match message:
            case GetState(keys=keys):
                items = [StateItem(key=key, value=state.get(key), proof=b"") for key in keys]
                yield GotState(header=make_header(HEIGHT), items=tuple(items))
            case ListState(prefix=prefix):
                items = [
                    StateItem(key=key, value=value, proof=b"")
                    for key, value in state.items()
                    if key.startswith(prefix)
                ]
                yield ListedState(height=HEIGHT, items=tuple(items), more=False)
            case GetLogFile(session=session):
                origin = log_origin(get_domain(make_trust()), NODE.account, session)
                root = make_digest(bytes(32))
                checkpoint = Checkpoint(origin=origin, size=self.size, root=root)
                yield GotLogFile(data=sign_checkpoint(checkpoint, NODE.signer))

    def look(self, **changes):
        whose = {"operator": NODE.account, "key": NODE.signer.key.hex(), "payer": PAYER.account}
        found = inspect_node(self.converse, LEDGER, make_trust(), Registrant(**whose | changes))
        return {row.check: row for row in asyncio.run(found)}


@pytest.fixture
def desk(monkeypatch):
    monkeypatch.setattr(nodes, "_SETTLE_S", 0.05)
    monkeypatch.setattr(nodes, "_POLL_S", 0.01)
    return Desk()


def test_a_node_that_is_well_has_nothing_to_do(desk):
    rows = desk.look()
    assert {row.status for row in rows.values()} == {"ok"}, rows
    assert {"registration", "stake", "convictions", "fees", "challenges"} < set(rows)
    assert {"heartbeat", "log session"} < set(rows)


def test_a_node_that_nobody_registered_or_whose_key_is_another_fails(desk):
    assert desk.look(key="ab" * 32)["registration"].status == "fail"
    assert desk.look(operator=OTHER.account)["registration"].status == "fail"


def test_too_little_stake_fails_and_what_is_leaving_is_shown(desk):
    leaving = Unbonding(amount=UNITS_PER_TOKEN, matures_at=HEIGHT + 5)
    half = StakeRecord(bonded=UNITS_PER_TOKEN // 2, unbonding=(leaving,))
    desk.state[get_stake_key(NODE.account)] = half
    row = desk.look()["stake"]
    assert row.status == "fail"
    assert "0.5 tokens are bonded, 1 are needed; 1 are on their way out" in row.detail
    del desk.state[get_stake_key(NODE.account)]
    assert desk.look()["stake"].status == "fail"


@pytest.mark.parametrize(("units", "status"), [(0, "fail"), (5_000, "warn"), (10**9, "ok")])
def test_a_payer_that_runs_dry_is_noticed_in_time(desk, units, status):
    desk.state[get_account_key(PAYER.account)] = Account(balance=units, nonce=1)
    assert desk.look()["fees"].status == status


def test_a_conviction_is_shown_for_ever(desk):
    desk.state[get_offence_key(NODE.account, 3, "omission", 4)] = OffenceRecord(
        operator=NODE.account,
        session=3,
        kind="omission",
        index=4,
        reporter=OTHER.account,
        slashed_units=UNITS_PER_TOKEN // 10,
        reward_units=1,
        convicted_at=150,
    )
    row = desk.look()["convictions"]
    assert row.status == "warn"
    assert "0.1 tokens slashed; the last: omission in session 3, at height 150" in row.detail


def test_an_open_challenge_says_how_long_there_is(desk):
    desk.state[get_challenge_key(NODE.account, 0, 8)] = ChallengeRecord(
        operator=NODE.account,
        session=0,
        index=8,
        entry=make_digest(bytes(32)),
        challenger=OTHER.account,
        bond_units=1,
        opened_at=HEIGHT - 20,
        deadline_at=HEIGHT + 40,
    )
    row = desk.look()["challenges"]
    assert row.status == "fail"
    assert "entry 8 of session 0 must be settled within 40 blocks" in row.detail


def test_a_node_that_fell_silent_fails(desk):
    record = make_node_record(NODE, sessions=1, heartbeat_at=HEIGHT - 31)
    desk.state[get_node_key(NODE.account)] = record
    assert desk.look()["heartbeat"].status == "fail"


@pytest.mark.parametrize(
    ("size", "blocks_ago", "status"), [(7, 150, "ok"), (9, 3, "ok"), (9, 21, "fail")]
)
def test_an_unsettled_tail_fails_by_its_age(desk, size, blocks_ago, status):
    desk.size = size
    changes = {"size": 7, "settled_at": HEIGHT - blocks_ago}
    desk.state[get_log_key(NODE.account, 0)] = msgspec.structs.replace(desk.settled, **changes)
    row = desk.look()["log session"]
    assert row.status == status
    assert (f"{size - 7} not settled" in row.detail) == (size > 7)


def test_a_node_that_never_opened_a_log_or_lost_its_newest_fails(desk):
    desk.state[get_node_key(NODE.account)] = make_node_record(NODE, sessions=0)
    assert desk.look()["log session"].detail == "none opened"


def test_every_bad_finding_says_what_to_do(desk):
    desk.state[get_account_key(PAYER.account)] = Account(balance=0, nonce=1)
    desk.state[get_node_key(NODE.account)] = make_node_record(NODE, sessions=0, heartbeat_at=1)
    bad = [row for row in desk.look().values() if row.status in {"warn", "fail"}]
    assert len(bad) == 3
    assert all(row.advice for row in bad)
