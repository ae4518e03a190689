"""Validators by number, and a genesis document of a network that has them."""

from __future__ import annotations

from functools import cache

from probatum.ledger.consensus_params import ConsensusParams
from probatum.ledger.genesis import make_validator_genesis
from probatum.ledger.params import Params
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.hashing import sha256
from probatum.protocol.primitives import UNITS_PER_TOKEN, make_consensus_key
from probatum.protocol.validators import compute_consensus_address
from tests.chain import RICH, account

POWER = 10
STAKE = POWER * UNITS_PER_TOKEN
SMALL = ConsensusParams(
    max_validators=4,
    vote_window_blocks=10,
    least_signed_permille=500,
    jail_blocks=5,
    slash_double_sign_permille=100,
    slash_downtime_permille=10,
    consensus_unbonding_blocks=6,
    consensus_unbonding_ms=6_000,
    evidence_age_blocks=5,
    evidence_age_ms=5_000,
)
"""Spans that a test can wait for."""


@cache
def consensus_signer(number):
    return OperatingSigner(sha256(b"consensus %d" % number))


def consensus_key(number):
    return make_consensus_key(consensus_signer(number).key)


def consensus_address(number):
    return compute_consensus_address(consensus_key(number))


def make_test_validator_genesis(validators=4, accounts=8, *, consensus=SMALL, stakes=None):
    return make_validator_genesis(
        chain_id=7,
        time_ms=1_000,
        validators={
            account(n).address: (consensus_key(n), (stakes or {}).get(n, STAKE))
            for n in range(validators)
        },
        balances={account(n).address: RICH for n in range(accounts)},
        params=Params(unbonding_blocks=3),
        consensus=consensus,
    )
