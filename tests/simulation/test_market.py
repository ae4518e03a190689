"""Storms in which everything costs something (`PAY-1`): nobody charges twice, everybody is paid.

The checkers are shown to be able to fail: each promise about money is broken here, and noticed.
"""

from collections import Counter
from functools import cache

import msgspec
import pytest

from probatum.protocol.bundles import decode_bundle
from probatum.protocol.custody import decode_release, encode_release
from probatum.protocol.dsse import decode_payload
from probatum.protocol.encoding import decode, encode
from probatum.protocol.hexes import digest_from_hex
from probatum.protocol.receipts import decode_receipt, encode_receipt
from probatum.protocol.records import OFFENCE, EscrowRecord, get_escrow_key
from probatum.storm.checkers.chain import replay
from probatum.storm.checkers.money import check_money
from probatum.storm.plan import PLANS, Plan
from probatum.storm.report import format_report
from probatum.storm.run import blow, check_promises, run_storm
from probatum.storm.world import build_world

SEEDS = 12
change = msgspec.structs.replace


@cache
def run(seed):
    return run_storm(seed, PLANS["market"])


@pytest.mark.parametrize("offset", range(SEEDS))
def test_a_storm_costs_nobody_more_than_was_agreed(offset, seed_round):
    report = run(SEEDS * seed_round + offset)
    assert report.findings == (), format_report(report, lines=80)


def test_the_storms_were_storms_and_money_moved(seed_round):
    total = Counter()
    for offset in range(SEEDS):
        total.update(run(SEEDS * seed_round + offset).counts)
    wanted = {
        "crashes": 60,
        "journal writes lost": 3,
        "messages lost": 50,
        "fail-overs": 10,
        "receipts with a price": 300,
        "releases with a price": 300,
        "units collected": 3_000_000,
    }
    assert {what: total[what] for what, least in wanted.items() if total[what] < least} == {}


@pytest.fixture(scope="module")
def world():
    plan = Plan(
        clients=2,
        requests_per_client=6,
        storm_ms=20_000,
        price_units=5_000,
        margin_units=20_000,
        crashes=2,
        traps=2,
    )
    world = build_world(5, plan)
    blow(world)
    check_promises(world)
    assert world.kernel.trace.findings == []
    return world


@pytest.fixture
def witness(world):
    """The witness, as it was again afterwards."""
    kept = dict(world.witness.receipts), dict(world.witness.releases)
    yield world.witness
    for memory, before in zip((world.witness.receipts, world.witness.releases), kept, strict=True):
        memory.clear()
        memory.update(before)


def list_codes(world, done=None):
    check_money(world, done or replay(world))
    codes = {finding.code for finding in world.kernel.trace.findings}
    world.kernel.trace.findings.clear()
    return codes


def list_charges(witness):
    return [(place, decode_receipt(payload)) for place, payload in sorted(witness.receipts.items())]


def test_nothing_is_found_where_nothing_is_wrong(world):
    assert list_codes(world) == set()


def test_two_receipts_for_one_hand_over_are_found(world, witness):
    (place, first), (other, second) = next(
        pair
        for pair in zip(list_charges(witness), list_charges(witness)[1:], strict=False)
        if pair[0][0][:2] == pair[1][0][:2]
    )
    assert place != other
    witness.receipts[other] = encode_receipt(change(second, custody=first.custody))
    assert list_codes(world) == {"money.charged-twice"}


@pytest.mark.parametrize("more", [5_000, -1])
def test_a_total_that_is_no_sum_is_found(world, witness, more):
    place, last = list_charges(witness)[-1]
    total = last.running_total_units + more
    if total < last.price_units:
        total = last.price_units + 1
    witness.receipts[place] = encode_receipt(change(last, running_total_units=total))
    assert "money.wrong-total" in list_codes(world)


def test_two_releases_for_one_request_are_found(world, witness):
    payload = min(witness.releases.values())
    release = decode_release(payload)
    other = change(release, running_total_units=release.running_total_units + release.price_units)
    witness.take_release("gateway-0", encode_release(other))
    assert "witness.charged-twice" in list_codes(world)
    # Told again in the same bytes it is one.
    witness.take_release("gateway-0", payload)
    assert list_codes(world) == set()


def test_a_gateways_total_with_a_gap_is_found(world, witness):
    totals = {decode_release(p).running_total_units: f for f, p in witness.releases.items()}
    forged = decode_release(witness.releases[totals[max(totals)]])
    forged = change(forged, running_total_units=forged.running_total_units + 1)
    witness.releases["0" * 64] = encode_release(forged)
    assert "money.wrong-total" in list_codes(world)


@pytest.mark.parametrize(
    ("collected", "code"),
    [(0, "money.not-collected"), (10**9, "money.collected-too-much"), (None, "money.no-escrow")],
)
def test_what_was_not_collected_or_too_much_is_found(world, collected, code):
    done = replay(world)
    bundle = next(
        request.settled
        for notebook in world.notebooks.values()
        for request in notebook.requests
        if request.settled
    )
    release = decode_release(decode_payload(decode_bundle(bundle).release))
    place = get_escrow_key(digest_from_hex(release.escrow))
    record = decode(EscrowRecord, done.state[place], limit_bytes=1 << 16)
    if collected is None:
        del done.state[place]
    else:
        done.state[place] = encode(change(record, collected_units=collected))
    assert list_codes(world, done) == {code}


def test_a_conviction_is_found(world):
    done = replay(world)
    done.state[OFFENCE + bytes(20)] = b""
    assert list_codes(world, done) == {"money.convicted"}


def test_prices_where_there_should_be_none_are_found(world):
    plan = world.plan
    world.plan = Plan(clients=2)
    try:
        assert list_codes(world) == {"money.charged-for-nothing"}
    finally:
        world.plan = plan
