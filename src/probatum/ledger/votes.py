"""Missed votes: counted by windows, and jail for who missed too many of one (`VAL-1`).

A proposer decides which late votes it includes, so one missed vote says little. Windows do not
slide: only who is absent is written down, so blocks that everybody signs cost nothing. Must not
know how votes are made.
"""

from __future__ import annotations

import msgspec

from probatum.ledger.consensus_params import ConsensusParams
from probatum.ledger.context import Context
from probatum.ledger.state import State
from probatum.ledger.validators import slash
from probatum.protocol.blocks import Vote
from probatum.protocol.primitives import Address
from probatum.protocol.validators import MissedRecord

__all__ = ["count_votes"]


def count_votes(
    state: State, context: Context, params: ConsensusParams, votes: tuple[Vote, ...]
) -> None:
    """Count who missed the block before; jail and slash who missed too many of this window.

    Who has no seat any more is not counted, though the engine hears of it for two blocks yet.
    """
    absent = [vote.validator for vote in votes if not vote.signed]
    if not absent:
        return
    waiting = {seat.account for seat in state.get_validator_set().seats}
    for address in absent:
        found = state.get_consensus_key(address)
        if found is not None and found.account in waiting:
            waiting.remove(found.account)
            _count(state, context, params, found.account)


def _count(state: State, context: Context, params: ConsensusParams, account: Address) -> None:
    record = state.get_validator(account)
    if record is None or record.jailed_until is not None or record.tombstoned_at is not None:
        return
    window = context.height // params.vote_window_blocks
    last = state.get_missed(account)
    missed = 1 + (last.missed if last is not None and last.window == window else 0)
    signable = params.vote_window_blocks - missed
    if signable * 1000 >= params.vote_window_blocks * params.least_signed_permille:
        state.put_missed(MissedRecord(account=account, window=window, missed=missed))
        return
    state.remove_missed(account)
    jailed = msgspec.structs.replace(record, jailed_until=context.height + params.jail_blocks)
    amount = record.bonded * params.slash_downtime_permille // 1000
    slash(state, jailed, amount, began_from=context.height)
