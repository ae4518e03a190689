"""Heartbeats: a node that beats within the window counts as alive."""

from __future__ import annotations

import msgspec

from probatum.ledger.authority import authorise
from probatum.ledger.context import Context
from probatum.ledger.state import State
from probatum.protocol.primitives import Address
from probatum.protocol.transactions.kinds import Heartbeat

__all__ = ["apply_heartbeat"]


def apply_heartbeat(state: State, context: Context, sender: Address, body: Heartbeat) -> None:
    """Note the height at which the node was alive.

    Raises:
        Refusal: `ledger.no-such-node`, `ledger.wrong-sequence`, `ledger.stake-too-low`,
            `ed25519.bad-signature`.
    """
    node = authorise(state, context, sender, body)
    state.put_node(msgspec.structs.replace(node, heartbeat_at=context.height))
