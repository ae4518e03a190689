"""Validators that signed what they must not: slashed, and out for ever (`VAL-1`).

The engine has checked the proof; nobody reports it, so all that is taken is burned. Must not know
how such proofs look.
"""

from __future__ import annotations

from typing import Final

import msgspec

from probatum.ledger.consensus_params import ConsensusParams
from probatum.ledger.context import Context
from probatum.ledger.state import State
from probatum.ledger.validators import slash
from probatum.protocol.blocks import Misbehaviour
from probatum.protocol.primitives import UNITS_PER_TOKEN, Address
from probatum.protocol.validators import InfractionRecord

__all__ = ["convict_validator"]

_UPDATE_DELAY: Final = 2
"""What the engine is told after height H it heeds from H + 2 on: until then the stake counted."""


def convict_validator(
    state: State, context: Context, params: ConsensusParams, found: Misbehaviour
) -> None:
    """Slash a validator for the power that it misused, and never seat it again.

    What it has unstaked since counts too: it backed the power at that height. Whoever the engine
    names that never registered is passed over.
    """
    whose = state.get_consensus_key(found.validator)
    if whose is None or _is_punished(state, whose.account, found):
        return
    record = state.get_validator(whose.account)
    assert record is not None, "a consensus key without a validator"
    convicted = msgspec.structs.replace(
        record,
        jailed_until=None,
        tombstoned_at=context.height if record.tombstoned_at is None else record.tombstoned_at,
    )
    amount = found.power * UNITS_PER_TOKEN * params.slash_double_sign_permille // 1000
    began_from = found.height + 1 - _UPDATE_DELAY
    burned = slash(state, convicted, amount, began_from=began_from)
    state.put_infraction(
        InfractionRecord(
            account=whose.account,
            kind=found.kind,
            height=found.height,
            slashed_units=burned,
            convicted_at=context.height,
        )
    )


def _is_punished(state: State, account: Address, found: Misbehaviour) -> bool:
    """Whether a validator has paid for this: once a height, once for attacks on light clients.

    The engine takes one false header as evidence anew for each height before it, from anybody, and
    it shall not cost more than it does once. Two votes do not pay for it: who attacks could show
    some of a height at which it had little power, and have all else for nothing.
    """
    attack = state.get_attack(account)
    if attack is not None and (found.kind == attack.kind or found.height == attack.height):
        return True
    return state.get_infraction(account, found.height) is not None
