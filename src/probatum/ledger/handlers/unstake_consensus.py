"""Unstaking consensus stake: bonded units begin to unbond (`VAL-1`).

They are slashable for what was done while they counted, so they stay for longer than evidence
does, by blocks and by header time: neither a fast chain nor a halted one lets them go early.
"""

from __future__ import annotations

import msgspec

from probatum.errors import Refusal
from probatum.ledger.balances import check_amount
from probatum.ledger.context import Context
from probatum.ledger.state import State
from probatum.ledger.validators import check_others_qualify, get_consensus_params, get_validator
from probatum.protocol.primitives import Address
from probatum.protocol.transactions.validators import UnstakeConsensus
from probatum.protocol.validators import UNBONDING_ENTRIES, ConsensusUnbonding

__all__ = ["apply_unstake_consensus"]


def apply_unstake_consensus(
    state: State, context: Context, sender: Address, body: UnstakeConsensus
) -> None:
    """Begin to unbond units; those unbonded in one block are one entry.

    Raises:
        Refusal: `ledger.no-validators`, `ledger.no-such-validator`, `ledger.zero-amount`,
            `ledger.stake-too-low`, `ledger.unbonding-full`, `ledger.last-validator`.
    """
    params = get_consensus_params(context)
    record = get_validator(state, sender)
    check_amount(body.amount)
    if record.bonded < body.amount:
        raise Refusal(
            "ledger.stake-too-low", f"{record.bonded} units are bonded, not {body.amount}"
        )
    entries, amount = record.unbonding, body.amount
    if entries and entries[-1].began_at == context.height:
        amount += entries[-1].amount
        entries = entries[:-1]
    if len(entries) == UNBONDING_ENTRIES:
        raise Refusal(
            "ledger.unbonding-full",
            f"{UNBONDING_ENTRIES} amounts are unbonding already",
            hint="withdraw what has matured",
        )
    entry = ConsensusUnbonding(
        amount=amount,
        began_at=context.height,
        matures_at=context.height + params.consensus_unbonding_blocks,
        matures_ms=context.time_ms + params.consensus_unbonding_ms,
    )
    after = msgspec.structs.replace(
        record, bonded=record.bonded - body.amount, unbonding=(*entries, entry)
    )
    check_others_qualify(state, params, record, after)
    state.put_validator(after)
