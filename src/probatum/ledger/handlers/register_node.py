"""Registering a node: an operator's key, endpoint and roles.

An operating key serves one account, for ever: what it signed is then always the same party's.
Replacing the key retires the old one; log sessions that it opened keep it.
"""

from __future__ import annotations

import msgspec

from probatum.errors import Refusal
from probatum.ledger.balances import check_stake
from probatum.ledger.context import Context
from probatum.ledger.state import State
from probatum.protocol.primitives import Address, OperatingKey
from probatum.protocol.records import KeyRecord, NodeRecord
from probatum.protocol.transactions.kinds import RegisterNode
from probatum.protocol.transactions.signed import check_authority

__all__ = ["apply_register_node"]


def apply_register_node(
    state: State, context: Context, sender: Address, body: RegisterNode
) -> None:
    """Register the sender's node, or replace its key, endpoint and roles.

    Raises:
        Refusal: `ledger.bad-roles` unless they are distinct and in order;
            `ledger.stake-too-low`, `ledger.key-taken`, `ledger.key-retired`,
            `ed25519.bad-signature`.
    """
    if list(body.roles) != sorted(set(body.roles)):
        raise Refusal("ledger.bad-roles", "roles are distinct and in alphabetical order")
    check_stake(state, context.params, sender, body.roles)
    _check_key(state, sender, body.operating_key)
    check_authority(context.domain, body.operating_key, sender, body)
    node = state.get_node(sender)
    if node is None:
        node = NodeRecord(
            account=sender,
            operating_key=body.operating_key,
            endpoint=body.endpoint,
            roles=body.roles,
            registered_at=context.height,
            heartbeat_at=context.height,
            sequence=0,
            sessions=0,
        )
    elif node.operating_key != body.operating_key:
        _retire(state, context, node.operating_key)
    state.put_node(
        msgspec.structs.replace(
            node,
            operating_key=body.operating_key,
            endpoint=body.endpoint,
            roles=body.roles,
        )
    )
    if state.get_key(body.operating_key) is None:
        record = KeyRecord(account=sender, registered_at=context.height, retired_at=None)
        state.put_key(body.operating_key, record)


def _check_key(state: State, sender: Address, key: OperatingKey) -> None:
    record = state.get_key(key)
    if record is None:
        return
    if record.account != sender:
        raise Refusal("ledger.key-taken", "the operating key is another account's, for ever")
    if record.retired_at is not None:
        raise Refusal(
            "ledger.key-retired",
            f"the operating key was retired at height {record.retired_at}",
            hint="make a new key",
        )


def _retire(state: State, context: Context, key: OperatingKey) -> None:
    record = state.get_key(key)
    assert record is not None, "a node's key without a record"
    state.put_key(key, msgspec.structs.replace(record, retired_at=context.height))
