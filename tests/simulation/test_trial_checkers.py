"""Each promise of a storm with cheats is broken here, and each is noticed."""

from __future__ import annotations

from dataclasses import replace as replace_field

import msgspec
import pytest

from probatum.protocol import records
from probatum.protocol.encoding import decode, encode
from probatum.storm.cast.prosecutor import Prosecutor
from probatum.storm.checkers.chain import replay
from probatum.storm.checkers.trials import KNOWN_BLOCKS, check_trials
from probatum.storm.court import open_court
from probatum.storm.people import derive_account
from probatum.storm.run import blow, check_promises, run_storm
from probatum.storm.trials import TRIALS
from probatum.storm.world import build_world

LIMIT = 1_000_000


def live(name, seed):
    world = build_world(seed, TRIALS[name])
    blow(world)
    check_promises(world)
    assert world.kernel.trace.findings == []
    return world, replay(world)


@pytest.fixture(scope="module")
def gang():
    return live("gang", 3)


@pytest.fixture(scope="module")
def mob():
    return live("mob", 1)


def list_codes(trial, changes):
    """What the checker finds in a ledger with other records (None: without)."""
    world, done = trial
    state = {key: value for key, value in {**done.state, **changes}.items() if value is not None}
    check_trials(world, replace_field(done, state=state))
    trace = world.kernel.trace
    codes = {finding.code for finding in trace.findings}
    trace.findings.clear()
    return codes


def list_records(trial, prefix, kind):
    return {
        key: decode(kind, value, limit_bytes=LIMIT)
        for key, value in sorted(trial[1].state.items())
        if key.startswith(prefix)
    }


def get_operator(trial, name):
    return derive_account(trial[0].kernel.seed, f"operator of {name}").address


def test_nothing_is_found_where_nothing_is_wrong(gang, mob):
    assert list_codes(gang, {}) == set()
    assert list_codes(mob, {}) == set()


def test_a_cheat_that_goes_free_is_found(gang):
    key = next(iter(list_records(gang, records.OFFENCE, records.OffenceRecord)))
    assert list_codes(gang, {key: None}) == {"trials.not-convicted"}


def test_a_gateway_that_charged_twice_and_goes_free_is_found():
    trial = live("overcharger", 2)
    assert list_codes(trial, {}) == set()
    key = next(iter(list_records(trial, records.OFFENCE, records.OffenceRecord)))
    assert list_codes(trial, {key: None}) == {"trials.not-convicted"}


def test_a_late_conviction_is_found(gang):
    offences = list_records(gang, records.OFFENCE, records.OffenceRecord)
    key, offence = next(iter(offences.items()))
    late = msgspec.structs.replace(offence, convicted_at=offence.convicted_at + 2 * KNOWN_BLOCKS)
    assert list_codes(gang, {key: encode(late)}) == {"trials.late"}


def test_an_honest_node_that_is_convicted_is_found(gang):
    offence = next(iter(list_records(gang, records.OFFENCE, records.OffenceRecord).values()))
    honest = get_operator(gang, "node-2")
    forged = encode(msgspec.structs.replace(offence, operator=honest))
    key = records.get_offence_key(honest, offence.session, offence.kind, offence.index)
    assert list_codes(gang, {key: forged}) == {"trials.honest-convicted"}


@pytest.mark.parametrize("units", [1, -1])
def test_stake_of_an_honest_node_that_is_gone_is_found(gang, units):
    key = records.get_stake_key(get_operator(gang, "node-2"))
    stake = list_records(gang, key, records.StakeRecord)[key]
    changed = encode(msgspec.structs.replace(stake, bonded=stake.bonded + units))
    assert list_codes(gang, {key: changed}) == {"trials.honest-slashed"}


def test_a_challenge_without_end_is_found(gang):
    operator = get_operator(gang, "node-2")
    challenge = records.ChallengeRecord(
        operator=operator,
        session=0,
        index=0,
        entry=bytes(32),
        challenger=operator,
        bond_units=1,
        opened_at=1,
        deadline_at=2,
        refund_units=0,
        payer=None,
    )
    key = records.get_challenge_key(operator, 0, 0)
    assert list_codes(gang, {key: encode(challenge)}) == {"trials.open-challenge"}


def test_a_loss_that_costs_nothing_is_found(mob):
    offences = list_records(mob, records.OFFENCE, records.OffenceRecord)
    key = next(key for key, offence in offences.items() if offence.kind == "loss")
    assert list_codes(mob, {key: None}) == {"trials.free-loss"}


@pytest.mark.parametrize("units", [1, -1])
def test_what_a_griefer_has_too_much_is_found(mob, units):
    griefer = mob[0].docket.griefers["griefer-0"]
    key = records.get_account_key(griefer)
    account = list_records(mob, key, records.Account)[key]
    changed = encode(msgspec.structs.replace(account, balance=account.balance + units))
    assert list_codes(mob, {key: changed}) == {"trials.griefer-gained"}


@pytest.mark.parametrize("name", ["equivocator", "forker", "omitter", "substituter"])
def test_without_accusations_every_cheat_goes_free(monkeypatch, name):
    monkeypatch.setattr(Prosecutor, "_accuse", lambda *_: ())
    short = replace_field(TRIALS[name], storm_ms=30_000, heal_ms=20_000)
    codes = {finding.code for finding in run_storm(3, short).findings}
    assert "trials.not-convicted" in codes


def test_a_storm_without_trials_has_no_docket():
    world = build_world(1, replace_field(TRIALS["gang"], cheats=(), disk_losers=0))
    open_court(world)
    assert world.docket.deeds == {}
    assert not world.docket.excuses("node-0")
