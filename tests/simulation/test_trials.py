"""Storms with cheats in them: whoever cheats is convicted, nobody honest is (`LOG-1`, `PAY-1`).

Sixty seeds in every run, others in each round of `make nightly`.
"""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

from probatum.storm.report import format_report
from probatum.storm.run import run_storm
from probatum.storm.trials import TRIALS

SEEDS = 60
NAMES = tuple(sorted(TRIALS))


@cache
def run(seed):
    return run_storm(seed, TRIALS[NAMES[seed % len(NAMES)]])


@pytest.mark.parametrize("offset", range(SEEDS))
def test_cheats_are_convicted_and_nobody_else(offset, seed_round):
    report = run(SEEDS * seed_round + offset)
    assert report.findings == (), format_report(report, lines=80)


def test_the_cheats_cheated(seed_round):
    """Convictions of nobody, for nothing, would show nothing."""
    total = Counter()
    for seed in range(SEEDS * seed_round, SEEDS * (seed_round + 1)):
        total.update(run(seed).counts)
    wanted = {
        "known acts of equivocator": 16,
        "convictions of equivocator": 16,
        "known acts of substituter": 8,
        "convictions of substituter": 8,
        "known acts of forker": 3,
        "convictions of forker": 3,
        "known acts of omitter": 30,
        "convictions of omitter": 30,
        "known acts of loser": 20,
        "returns of loser": 20,
        "losses declared by a loser": 10,
        "convicted of loss": 4,
        "known acts of overcharger": 12,
        "convictions of overcharger": 12,
        "disks lost": 20,
        "records lost with a disk": 200,
        "late fees of honest nodes": 60,
        "challenges": 150,
        "griefs challenge": 150,
        "griefs challenge in time": 100,
        "griefs one receipt twice": 100,
        "griefs two receipts of two places": 100,
        "griefs altered receipt": 100,
        "griefs wrong entry": 100,
        "griefs no prefix": 100,
        "griefs omission in time": 100,
        "false accusations of griefers": 1_500,
        "true accusations of griefers": 30,
        "crashes": 250,
        "messages lost": 300,
        "messages duplicated": 300,
        "messages corrupted": 200,
        "conversations cut": 200,
        "partitions": 60,
    }
    missing = {what: total[what] for what, least in wanted.items() if total[what] < least}
    assert missing == {}, total
