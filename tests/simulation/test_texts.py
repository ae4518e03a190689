"""Storms in which texts are written (`TEXT-1`): deaths in mid-stream, and engines that lie.

Every text that somebody took is the rule's, or rechecking its receipt finds the first wrong token;
a wrong beginning is refused by who is to go on with it; no token is lost or altered where nobody
lies.
"""

from collections import Counter
from functools import cache

import pytest

from probatum.consensus.trusting import make_header_check
from probatum.evidence.receipt import check_bundle
from probatum.protocol.texts import Text, make_answer, read_answer
from probatum.storm.checkers.texts import check_text_answer, check_texts
from probatum.storm.plan import PLANS, Plan
from probatum.storm.report import format_report
from probatum.storm.run import blow, check_promises, run_storm
from probatum.storm.world import build_world

SEEDS = 8
LIARS = ("scribble", "hasty", "endless", "forge")
LIAR_SEEDS = 3


@cache
def run(plan, seed):
    return run_storm(seed, PLANS[plan])


@pytest.mark.parametrize("offset", range(SEEDS))
def test_no_token_is_lost_or_altered(offset, seed_round):
    report = run("prose", SEEDS * seed_round + offset)
    assert report.findings == (), format_report(report, lines=80)


@pytest.mark.parametrize("offset", range(LIAR_SEEDS))
@pytest.mark.parametrize("plan", LIARS)
def test_who_writes_what_the_rule_does_not_is_found_out(plan, offset, seed_round):
    report = run(plan, LIAR_SEEDS * seed_round + offset)
    assert report.findings == (), format_report(report, lines=80)


def count(plan, seeds, seed_round):
    total = Counter()
    for offset in range(seeds):
        total.update(run(plan, seeds * seed_round + offset).counts)
    return total


def lacks(total, wanted):
    return {what: total[what] for what, least in wanted.items() if total[what] < least}


def test_the_storms_were_storms(seed_round):
    total = count("prose", SEEDS, seed_round)
    wanted = {
        "crashes": 80,
        "fail-overs": 20,
        "texts gone on with": 2,
        "texts cancelled": 10,
        "texts that were enough": 15,
        "prefixes heard": 150,
        "tokens heard": 3_000,
        "requests": 300,
        "answers acknowledged and settled": 200,
    }
    assert lacks(total, wanted) == {}, total


@pytest.mark.parametrize(
    ("plan", "wanted"),
    [
        ("scribble", {"texts found wrong: other choice": 10}),
        ("hasty", {"texts found wrong: ended too early": 10}),
        ("endless", {"texts found wrong: ended too late": 5}),
        ("forge", {"wrong prefixes refused": 5, "texts altered": 5}),
    ],
)
def test_the_lies_were_told(plan, wanted, seed_round):
    assert lacks(count(plan, LIAR_SEEDS, seed_round), wanted) == {}


@pytest.fixture(scope="module")
def world():
    plan = Plan(
        name="calm", texts=True, clients=2, requests_per_client=4, crashes=0, traps=0, partitions=0
    )
    world = build_world(5, plan)
    blow(world)
    check_promises(world)
    assert world.kernel.trace.findings == []
    return world


def list_taken(world):
    check = make_header_check(world.trust, now_ms=0)
    for name, notebook in sorted(world.notebooks.items()):
        for request in notebook.requests:
            if request.stand == "settled":
                yield name, request, check_bundle(request.settled, check)


def find(world, check):
    before = len(world.kernel.trace.findings)
    check()
    found = [finding.code for finding in world.kernel.trace.findings[before:]]
    del world.kernel.trace.findings[before:]
    return found


def test_a_wrong_text_of_an_honest_node_would_be_found(world):
    for name, request, final in list_taken(world):
        text = read_answer(request.outputs)
        right = request.outputs
        request.outputs = make_answer(
            Text(ids=(1 + text.ids[0] % 63, *text.ids[1:]), ended=text.ended)
        )
        found = find(world, lambda one=(name, request, final): check_text_answer(world, *one))
        request.outputs = right
        assert found == ["texts.wrong"]


def test_a_text_that_breaks_off_without_a_cancellation_would_be_found(world):
    whole = [one for one in list_taken(world) if one[2].cancellation is None]
    for name, request, final in whole[:2]:
        ids = read_answer(request.outputs).ids
        right = request.outputs
        request.outputs = make_answer(Text(ids=(*ids[:-1],), ended=False))
        if len(ids) > 1:
            one = (name, request, final)
            found = find(world, lambda one=one: check_text_answer(world, *one))
            assert found == ["texts.wrong"]
        request.outputs = right


def test_an_altered_stream_would_be_found(world):
    world.kernel.trace.counts["texts altered"] += 1
    try:
        assert find(world, lambda: check_texts(world)) == ["texts.unjust"]
    finally:
        world.kernel.trace.counts["texts altered"] -= 1
