"""Conviction: a node's stake is slashed once for each thing that was proven (`LOG-1`).

At least half of what is taken is burned (`DISPUTE-2`), so that nobody gains by convicting
themselves. A node with too little stake left falls out of routing like any other. Must not know
proofs: who calls has checked them.
"""

from __future__ import annotations

from probatum.errors import Refusal
from probatum.ledger.balances import burn, credit, take_stake
from probatum.ledger.context import Context
from probatum.ledger.params import get_slash
from probatum.ledger.state import State
from probatum.protocol.primitives import Address, Digest
from probatum.protocol.records import ChallengeRecord, LogRecord, OffenceKind, OffenceRecord

__all__ = ["check_not_convicted", "convict", "convict_gateway", "end_challenge"]


def check_not_convicted(state: State, log: LogRecord, kind: OffenceKind, index: int) -> None:
    """Check that nobody was convicted of this yet. Raises Refusal `ledger.convicted-already`."""
    if state.get_offence(log.operator, log.session, kind, index) is not None:
        raise Refusal(
            "ledger.convicted-already",
            f"the node was convicted of this in session {log.session}",
        )


def end_challenge(state: State, challenge: ChallengeRecord) -> None:
    """Delete a challenge and give its bond back."""
    state.remove_challenge(challenge)
    credit(state, challenge.challenger, challenge.bond_units)


def convict(
    state: State,
    context: Context,
    log: LogRecord,
    *,
    kind: OffenceKind,
    index: int,
    reporter: Address,
) -> None:
    """Slash an operator, reward the reporter, burn the rest, and write it down.

    An open challenge of the same entry ends with it: what it asked for is decided. A loss is
    reported by the node itself, and rewards nobody.

    Raises:
        Refusal: `ledger.convicted-already`.
    """
    check_not_convicted(state, log, kind, index)
    taken, reward = _slash(state, context, log.operator, kind, reporter)
    challenge = state.get_challenge(log.operator, log.session, index)
    if kind in ("entry", "omission") and challenge is not None:
        end_challenge(state, challenge)
    state.put_offence(
        OffenceRecord(
            operator=log.operator,
            session=log.session,
            kind=kind,
            index=index,
            reporter=reporter,
            slashed_units=taken,
            reward_units=reward,
            convicted_at=context.height,
        )
    )


def convict_gateway(
    state: State, context: Context, operator: Address, *, first_record: Digest, reporter: Address
) -> None:
    """Slash a gateway's operator for two charges of one request, once a request (`PAY-1`).

    Raises:
        Refusal: `ledger.convicted-already`.
    """
    if state.get_charge(operator, first_record) is not None:
        raise Refusal("ledger.convicted-already", "the gateway was convicted of this request")
    taken, reward = _slash(state, context, operator, "charge", reporter)
    state.put_charge(
        first_record,
        OffenceRecord(
            operator=operator,
            session=0,
            kind="charge",
            index=0,
            reporter=reporter,
            slashed_units=taken,
            reward_units=reward,
            convicted_at=context.height,
            first_record=first_record,
        ),
    )


def _slash(
    state: State, context: Context, operator: Address, kind: OffenceKind, reporter: Address
) -> tuple[int, int]:
    """Take the offence's price of an operator's stake; return it, and the reporter's part of it."""
    params = context.params
    taken = take_stake(state, operator, get_slash(params, kind))
    reward = 0 if kind == "loss" else taken * params.reporter_share_permille // 1000
    credit(state, reporter, reward)
    burn(state, taken - reward)
    return taken, reward
