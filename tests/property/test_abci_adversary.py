"""Hostile bytes through the real server into the real application: no answer is an exception.

Whatever strangers send to any node's RPC, whatever a proposer puts into a block, and whatever is
decided in the end: every call is answered, connections come and go at any point, and the chain is
the one of an application that was given the decided blocks alone.
"""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probatum.consensus.cometbft import messages as m
from probatum.consensus.cometbft import parts as p
from probatum.ledger.genesis import compute_genesis_set
from probatum.protocol import limits
from tests.adversary import Adversary
from tests.comet import Comet
from tests.validators import make_test_validator_genesis
from tests.wires import Wires

ACCOUNTS = 4
GENESIS = make_test_validator_genesis(validators=3, accounts=ACCOUNTS)
ACCEPT = p.ProposalStatus.ACCEPT


def judge(wires, block):
    return wires.ask(
        m.RequestProcessProposal(
            txs=block.txs,
            proposed_last_commit=block.decided_last_commit,
            misbehavior=block.misbehavior,
            height=block.height,
            time=block.time,
            proposer_address=block.proposer_address,
        )
    )


def prepare(wires, block, txs, room):
    """What this node would propose with that block's votes and time."""
    votes = tuple(
        p.ExtendedVoteInfo(validator=vote.validator, block_id_flag=vote.block_id_flag)
        for vote in block.decided_last_commit.votes
    )
    return wires.ask(
        m.RequestPrepareProposal(
            max_tx_bytes=room,
            txs=txs,
            local_last_commit=p.ExtendedCommitInfo(votes=votes),
            misbehavior=block.misbehavior,
            height=block.height,
            time=block.time,
            proposer_address=block.proposer_address,
        )
    ).txs


async def play(seed, steps):
    comet, witness = Comet(GENESIS), Comet(GENESIS)
    wires, stranger = Wires(comet.adapter), Adversary(seed, comet)
    dice = stranger.dice
    seats = {bytes(seat.key): seat.power for seat in compute_genesis_set(GENESIS).seats}
    decided = 0
    for _ in range(steps):
        match dice.randrange(8):
            case 0 | 1:
                for data in stranger.draw_transactions():
                    kind = dice.choice((0, 0, 1, 7))
                    said = wires.ask(m.RequestCheckTx(tx=data, type=kind), wire=2)
                    assert (said.code == 0) == (said.codespace == "")
            case 2:
                wires.ask(stranger.draw_query(), wire=0)
            case 3:
                judge(wires, stranger.draw_block(stranger.draw_transactions()))
            case 4:
                wires.die()
            case 5:
                comet.seal()
            case _:
                decided += 1
                decide(wires, witness, stranger, seats)
                if dice.random() < 0.2:
                    comet.seal()
    info = wires.ask(m.RequestInfo(), wire=0)
    assert (info.last_block_height, info.last_block_app_hash) == witness.info()
    assert info.last_block_height == decided
    assert comet.records() == witness.records()


def tell(seats, updates):
    """Do with validators what CometBFT does, refusing what stops it."""
    keys = [update.pub_key.ed25519 for update in updates]
    assert len(set(keys)) == len(keys)
    for key, update in zip(keys, updates, strict=True):
        assert update.power >= 0
        if update.power:
            seats[key] = update.power
        else:
            del seats[key]
    assert 0 < sum(seats.values()) <= ((1 << 63) - 1) // 8


def decide(wires, witness, stranger, seats):
    """One height: proposals of every quality, deaths in between, one decision."""
    dice, comet = stranger.dice, stranger.comet
    block = stranger.draw_block(stranger.draw_transactions())
    if dice.random() < 0.6:
        room = dice.choice((0, 500, 5_000, limits.BLOCK_BYTES))
        chosen = prepare(wires, block, stranger.draw_transactions(), room)
        assert sum(map(len, chosen)) <= room
        block = dataclasses.replace(block, txs=chosen)
        assert judge(wires, block).status == ACCEPT
        witness.time, witness.decided = comet.time, comet.decided
        assert witness.judge(block) == ACCEPT, "what one proposes, every other accepts"
    said = wires.ask(block)
    if dice.random() < 0.3:
        wires.die()
        assert wires.ask(block) == said
    assert len(said.tx_results) == len(block.txs)
    assert wires.ask(m.RequestCommit()) == m.ResponseCommit()
    comet.decided.append(block)
    tell(seats, said.validator_updates)
    again = witness.finalize(block)
    witness.commit()
    assert again == said


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_hostile_bytes_are_answered_and_change_nothing_else(seed):
    asyncio.run(play(seed, 30))


@pytest.mark.nightly
@settings(max_examples=500, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_hostile_bytes_through_a_night(seed):
    asyncio.run(play(seed, 200))
