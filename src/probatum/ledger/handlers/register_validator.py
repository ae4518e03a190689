"""Registering a validator: the key that an account votes by, or another in its place (`VAL-1`).

A key serves one account, for ever, so that whoever evidence names is found however late it comes.
It counts from the next change of the set on, if the account has stake enough.
"""

from __future__ import annotations

import msgspec

from probatum.errors import Refusal
from probatum.ledger.context import Context
from probatum.ledger.state import State
from probatum.ledger.validators import check_not_tombstoned, get_consensus_params
from probatum.protocol.primitives import Address
from probatum.protocol.transactions.possession import check_consensus_possession
from probatum.protocol.transactions.validators import RegisterValidator
from probatum.protocol.validators import (
    ConsensusKeyRecord,
    ValidatorRecord,
    compute_consensus_address,
)

__all__ = ["apply_register_validator"]


def apply_register_validator(
    state: State, context: Context, sender: Address, body: RegisterValidator
) -> None:
    """Make a key the sender's consensus key from now on.

    Raises:
        Refusal: `ledger.no-validators`; `ledger.consensus-key-taken` if it is or was anybody's;
            `ledger.tombstoned`; `ed25519.bad-signature`.
    """
    get_consensus_params(context)
    address = compute_consensus_address(body.key)
    if state.get_consensus_key(address) is not None:
        raise Refusal(
            "ledger.consensus-key-taken",
            "this consensus key is registered already, or was",
            hint="make a new key",
        )
    record = state.get_validator(sender)
    if record is None:
        record = ValidatorRecord(
            account=sender, key=body.key, registered_at=context.height, bonded=0
        )
    check_not_tombstoned(record)
    check_consensus_possession(context.domain, sender, body.key, body.possession)
    state.put_consensus_key(
        address,
        ConsensusKeyRecord(account=sender, key=body.key, registered_at=context.height),
    )
    state.put_validator(msgspec.structs.replace(record, key=body.key))
