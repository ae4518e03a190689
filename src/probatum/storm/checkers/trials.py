"""What a network with cheats in it promises (`LOG-1`).

Whoever cheated, and whose word somebody holds, is convicted within a span of blocks after that
could be known; nobody honest is convicted, nor loses stake beyond late fees; every challenge ends.
Reads the blocks, the docket and the replayed ledger. Must not know how anybody decides to accuse.
"""

from __future__ import annotations

from typing import Final, TypeVar

from probatum.consensus import tables
from probatum.protocol import limits, records
from probatum.protocol.blocks import Block
from probatum.protocol.encoding import LedgerValue, decode
from probatum.protocol.primitives import Address, address_to_hex
from probatum.protocol.transactions.kinds import (
    Body,
    ChallengeReceipt,
    CloseChallenge,
    ReturnReceipt,
)
from probatum.protocol.transactions.signed import compute_transaction_hash, decode_transaction
from probatum.storm.checkers.chain import Replay
from probatum.storm.docket import Act, Deeds
from probatum.storm.people import derive_account
from probatum.storm.world import RICH, STAKE, World

__all__ = ["KNOWN_BLOCKS", "check_trials"]

KNOWN_BLOCKS: Final = 60
"""So long after an act could be known its conviction may take, while nodes are down and packets
are lost: beyond the height by which it had to be settled, and the window of its challenge."""

R = TypeVar("R", bound=LedgerValue)


def check_trials(world: World, done: Replay) -> None:
    """Check every cheat, every honest node and every challenge; nothing where nobody accuses."""
    if not world.plan.prosecutors:
        return
    bodies = _list_done(world, done)
    offences = _list(done, records.OFFENCE, records.OffenceRecord)
    for name, deeds in sorted(world.docket.deeds.items()):
        for act in deeds.acts:
            _check_act(world, done, name, deeds, act)
        if deeds.cheat == "loser":
            _check_losses(world, done, name, deeds)
    cheats = {deeds.operator for deeds in world.docket.deeds.values()}
    for offence in offences:
        world.kernel.trace.count(f"convicted of {offence.kind}")
        if offence.operator not in cheats:
            why = f"{offence.kind} at {offence.index} of session {offence.session}"
            world.kernel.trace.find(
                "trials.honest-convicted", address_to_hex(offence.operator), why
            )
    _check_stakes(world, done, bodies, cheats)
    for name, account in sorted(world.docket.griefers.items()):
        _check_griefer(world, done, name, account, offences)
    for challenge in _list(done, records.CHALLENGE, records.ChallengeRecord):
        why = f"entry {challenge.index} of session {challenge.session} is still challenged"
        world.kernel.trace.find("trials.open-challenge", address_to_hex(challenge.operator), why)
    opened = sum(isinstance(body, ChallengeReceipt) for _, body in bodies)
    world.kernel.trace.count("challenges", opened)


def _list_done(world: World, done: Replay) -> list[tuple[Address, Body]]:
    """List sender and body of every transaction that succeeded."""
    stored = world.kernel.parties["full"].disk.tables
    found: list[tuple[Address, Body]] = []
    for _, raw in sorted(stored.get(tables.BLOCK, {}).items()):
        for data in decode(Block, raw, limit_bytes=limits.BLOCK_BYTES).transactions:
            if done.codes.get(compute_transaction_hash(data), ("", 0))[0] == "ok":
                transaction = decode_transaction(data)
                found.append((transaction.sender, transaction.body))
    return found


def _list(done: Replay, prefix: bytes, kind: type[R]) -> list[R]:
    return [
        decode(kind, value, limit_bytes=limits.STATE_VALUE_BYTES)
        for key, value in sorted(done.state.items())
        if key.startswith(prefix)
    ]


def _get(done: Replay, key: bytes, kind: type[R]) -> R | None:
    value = done.state.get(key)
    return None if value is None else decode(kind, value, limit_bytes=limits.STATE_VALUE_BYTES)


def _check_act(world: World, done: Replay, name: str, deeds: Deeds, act: Act) -> None:
    docket, params = world.docket, world.plan.params
    if act.kind == "fork":
        fork = docket.forks.get(act.entry)
        if fork is None:
            return  # nobody was shown it
        due = fork.known_at + params.include_window_blocks
    elif act.kind == "charge":
        charge = docket.charges.get(act.entry)
        if charge is None:
            return  # nobody holds both
        due = charge.known_at
    else:
        case = docket.cases.get(act.entry)
        if case is None:
            return  # nobody holds what was signed
        due = max(case.known_at, case.held.place.include_by)
        if act.kind == "omission":
            due += params.challenge_window_blocks
    world.kernel.trace.count(f"known acts of {deeds.cheat}")
    key = records.get_offence_key(deeds.operator, act.session, act.kind, act.index)
    if act.first_record is not None:
        key = records.get_charge_key(deeds.operator, act.first_record)
    offence = _get(done, key, records.OffenceRecord)
    where = f"{act.kind} at {act.index} of session {act.session}"
    if offence is not None:
        world.kernel.trace.count(f"convictions of {deeds.cheat}")
        if offence.convicted_at > due + KNOWN_BLOCKS:
            why = f"{where}, due at height {due}, was convicted at {offence.convicted_at}"
            world.kernel.trace.find("trials.late", name, why)
        return
    returned = _get(
        done,
        records.get_return_key(deeds.operator, act.session, act.index),
        records.ReturnRecord,
    )
    if returned is not None and returned.entry == act.entry:
        world.kernel.trace.count(f"returns of {deeds.cheat}")
        return
    world.kernel.trace.find("trials.not-convicted", name, f"{deeds.cheat}: {where}")


def _check_losses(world: World, done: Replay, name: str, deeds: Deeds) -> None:
    """Check that every loss but the first was paid for: a storm is shorter than an epoch."""
    loss = _get(done, records.get_loss_key(deeds.operator), records.LossRecord)
    declared = 0 if loss is None else loss.losses
    paid = sum(
        offence.operator == deeds.operator and offence.kind == "loss"
        for offence in _list(done, records.OFFENCE, records.OffenceRecord)
    )
    world.kernel.trace.count("losses declared by a loser", declared)
    if paid != max(0, declared - 1):
        why = f"{declared} losses were declared in an epoch, {paid} were paid for"
        world.kernel.trace.find("trials.free-loss", name, why)


def _check_stakes(
    world: World, done: Replay, bodies: list[tuple[Address, Body]], cheats: set[Address]
) -> None:
    fee_units = world.plan.params.late_fee_units
    for name, role in sorted(world.roles.items()):
        operator = derive_account(world.kernel.seed, f"operator of {name}").address
        if role not in ("inference", "gateway") or operator in cheats:
            continue
        late = sum(
            isinstance(body, CloseChallenge | ReturnReceipt) and body.operator == operator
            for _, body in bodies
        )
        stake = _get(done, records.get_stake_key(operator), records.StakeRecord)
        held = 0 if stake is None else stake.bonded
        world.kernel.trace.count("late fees of honest nodes", late)
        if held != STAKE - late * fee_units:
            why = f"{held} units are left of {STAKE} after {late} late fees"
            world.kernel.trace.find("trials.honest-slashed", name, why)


def _check_griefer(
    world: World,
    done: Replay,
    name: str,
    address: Address,
    offences: list[records.OffenceRecord],
) -> None:
    """Check that griefing cost its fees and earned nothing but for convicting cheats."""
    account = _get(done, records.get_account_key(address), records.Account)
    balance = 0 if account is None else account.balance
    paid = done.senders[address] * world.plan.params.min_fee_units
    # Bonds came back: no challenge is open. Rewards for honest nodes are findings of their own.
    earned = sum(offence.reward_units for offence in offences if offence.reporter == address)
    world.kernel.trace.count("units paid by griefers", paid)
    if balance != RICH - paid + earned:
        why = f"{balance} of {RICH} after {paid} of fees and {earned} of rewards"
        world.kernel.trace.find("trials.griefer-gained", name, why)
