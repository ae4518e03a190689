"""Validators by number, a network that has them, and blocks of it at a word."""

from __future__ import annotations

from functools import cache

from probatum.ledger.apply import apply_block
from probatum.ledger.consensus_params import ConsensusParams
from probatum.ledger.genesis import (
    compute_genesis_changes,
    compute_genesis_set,
    get_domain,
    make_validator_genesis,
)
from probatum.ledger.invariants import check_records
from probatum.ledger.params import Params
from probatum.ledger.queries import decode_record
from probatum.protocol.blocks import Block, Misbehaviour, Vote
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.encoding import encode
from probatum.protocol.hashing import sha256
from probatum.protocol.primitives import UNITS_PER_TOKEN, make_consensus_key
from probatum.protocol.records import PARAMS_KEY, Account, get_account_key
from probatum.protocol.transactions.possession import sign_consensus_possession
from probatum.protocol.transactions.signed import sign_transaction
from probatum.protocol.transactions.validators import RegisterValidator
from probatum.protocol.validators import (
    VALIDATOR_SET_KEY,
    compute_consensus_address,
    get_attack_key,
    get_infraction_key,
    get_missed_key,
    get_validator_key,
)
from tests.chain import FEE, RICH, account

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


class ValidatorChain:
    """Blocks applied one after the other, and what an engine makes of the updates it is told.

    `told` is the set by key as told; `voting` what votes on the block before come from: the
    engine heeds an update after height H from H + 2 on, and its votes come in H + 3.
    """

    def __init__(self, genesis=None):
        self.genesis = genesis or make_test_validator_genesis()
        self.domain = get_domain(self.genesis)
        self.state = {c.key: c.value for c in compute_genesis_changes(self.genesis)}
        self.height, self.time_ms = 0, self.genesis.time_ms
        self.told = {s.key: s.power for s in compute_genesis_set(self.genesis).seats}
        self.sets = [self.told, self.told, self.told]
        self.blocks, self.applied = [], []

    def record(self, key):
        value = self.state.get(key)
        return None if value is None else decode_record(key, value)

    def validator(self, number):
        return self.record(get_validator_key(account(number).address))

    def missed(self, number):
        return self.record(get_missed_key(account(number).address))

    def infraction(self, number, height):
        return self.record(get_infraction_key(account(number).address, height))

    def attack(self, number):
        return self.record(get_attack_key(account(number).address))

    @property
    def set(self):
        return self.record(VALIDATOR_SET_KEY)

    def seats(self):
        """Powers of the seated, by the number of their account."""
        numbers = {account(n).address: n for n in range(20)}
        return {numbers[seat.account]: seat.power for seat in self.set.seats}

    def balance(self, number):
        record = self.record(get_account_key(account(number).address))
        return (record or Account(balance=0, nonce=0)).balance

    def registration(self, number, *, key=None, signer=None):
        signer = signer or consensus_signer(number if key is None else key)
        possession = sign_consensus_possession(self.domain, account(number).address, signer)
        return RegisterValidator(
            key=consensus_key(number if key is None else key), possession=possession
        )

    def block(self, *acts, absent=(), misbehaviour=(), after_ms=1_000):
        """Apply a block of (account, body) pairs; returns the codes."""
        nonces, data = {}, []
        for number, body in acts:
            signer = account(number)
            record = self.record(get_account_key(signer.address)) or Account(balance=0, nonce=0)
            nonce = nonces.setdefault(number, record.nonce)
            nonces[number] += 1
            data.append(
                encode(sign_transaction(self.domain, signer, nonce=nonce, fee_units=FEE, body=body))
            )
        self.height += 1
        self.time_ms += after_ms
        away = {consensus_key(n) for n in absent}
        order = sorted(self.sets[0], key=lambda k: (-self.sets[0][k], compute_consensus_address(k)))
        block = Block(
            height=self.height,
            time_ms=self.time_ms,
            transactions=tuple(data),
            proposer=compute_consensus_address(order[0]),
            votes=tuple(
                Vote(validator=compute_consensus_address(key), signed=key not in away)
                for key in order
                if self.height > 1
            ),
            misbehaviour=tuple(misbehaviour),
        )
        return self.apply(block)

    def apply(self, block):
        applied = apply_block(self.state, block, self.domain)
        for change in applied.changes:
            if change.value is None:
                del self.state[change.key]
            else:
                self.state[change.key] = change.value
        check_records(decode_record(k, v) for k, v in self.state.items() if k != PARAMS_KEY)
        self._tell(applied.validator_updates)
        self.blocks.append(block)
        self.applied.append(applied)
        return [result.code for result in applied.results]

    def _tell(self, updates):
        """Do what CometBFT does with updates, refusing what it refuses."""
        keys = [update.key for update in updates]
        assert keys == sorted(set(keys))
        told = dict(self.told)
        for update in updates:
            assert update.power >= 0
            if update.power:
                told[update.key] = update.power
            else:
                del told[update.key]
        assert told
        assert sum(told.values()) <= ((1 << 63) - 1) // 8
        self.told = told
        self.sets = [*self.sets[1:], told]
        assert {seat.key: seat.power for seat in self.set.seats} == told

    def wait(self, blocks=1, **settings):
        for _ in range(blocks):
            self.block(**settings)

    def offence(self, number, height=None, *, kind="duplicate-vote", power=POWER):
        return Misbehaviour(
            kind=kind,
            validator=consensus_address(number),
            height=self.height if height is None else height,
            time_ms=self.time_ms,
            power=power,
            total_power=sum(self.told.values()),
        )
