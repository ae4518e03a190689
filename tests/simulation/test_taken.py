"""Storms in which a node takes the money and is silent: nobody loses more than was allowed for.

The checker is shown to be able to fail.
"""

from collections import Counter
from dataclasses import replace
from functools import cache

import msgspec
import pytest

from probatum.ledger.genesis import get_domain
from probatum.protocol.encoding import decode, encode
from probatum.protocol.records import EscrowRecord, get_escrow_key
from probatum.protocol.vouchers import compute_escrow_id
from probatum.storm.checkers.chain import replay
from probatum.storm.checkers.exposure import check_exposure
from probatum.storm.people import derive_account
from probatum.storm.plan import PLANS, Plan
from probatum.storm.report import format_report
from probatum.storm.run import blow, run_storm
from probatum.storm.world import build_world

SEEDS = 6


@cache
def run(seed):
    return run_storm(seed, PLANS["taken"])


@pytest.mark.parametrize("offset", range(SEEDS))
def test_who_takes_and_is_silent_gets_no_more_than_was_allowed_for(offset, seed_round):
    report = run(SEEDS * seed_round + offset)
    assert report.findings == (), format_report(report, lines=80)


def test_there_was_something_to_take(seed_round):
    total = Counter()
    for offset in range(SEEDS):
        total.update(run(SEEDS * seed_round + offset).counts)
    wanted = {
        "answers withheld": 6,
        "units paid for answers that never came": 20_000,
        "releases with a price": 120,
    }
    assert {what: total[what] for what, least in wanted.items() if total[what] < least} == {}


@pytest.fixture(scope="module")
def world():
    plan = Plan(
        clients=2,
        requests_per_client=5,
        storm_ms=15_000,
        price_units=5_000,
        takers=1,
        crashes=0,
        traps=0,
    )
    world = build_world(7, plan)
    blow(world)
    return world


def list_codes(world, done):
    check_exposure(world, done)
    codes = {finding.code for finding in world.kernel.trace.findings}
    world.kernel.trace.findings.clear()
    return codes


def test_a_gateway_that_paid_for_more_than_came_is_found(world):
    done = replay(world)
    assert list_codes(world, done) == set()
    payer = derive_account(world.kernel.seed, "payer of gateway-0").address
    payee = derive_account(world.kernel.seed, "operator of node-0").address
    place = get_escrow_key(compute_escrow_id(get_domain(world.genesis), payer, payee))
    record = decode(EscrowRecord, done.state[place], limit_bytes=1 << 16)
    done.state[place] = encode(msgspec.structs.replace(record, collected_units=10**8))
    assert list_codes(world, done) == {"exposure.paid-too-much"}


def test_a_gateway_that_signed_for_more_than_came_is_found(world):
    done = replay(world)
    journal = world.kernel.parties["gateway-0"].disk.journal
    kept, plan = list(journal), world.plan
    journal.clear()
    # What it paid for never came, as far as its disk says, and hardly anything was allowed for.
    world.plan = replace(plan, price_units=1)
    try:
        codes = list_codes(world, done)
    finally:
        journal.extend(kept)
        world.plan = plan
    assert codes == {"exposure.signed-too-much", "exposure.paid-too-much"}
