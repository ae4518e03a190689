"""Whether a node may act: it exists, it is its turn, its key signed, its stake is bonded.

The operating key's signature makes the act the node's own, whoever pays the fee. Must not know
what the act is.
"""

from __future__ import annotations

import msgspec

from probatum.errors import Refusal
from probatum.ledger.balances import check_stake
from probatum.ledger.context import Context
from probatum.ledger.state import State
from probatum.protocol.primitives import Address
from probatum.protocol.records import NodeRecord
from probatum.protocol.transactions.kinds import (
    DeclareLoss,
    Heartbeat,
    Offer,
    OpenLog,
    WithdrawOffer,
)
from probatum.protocol.transactions.signed import check_authority

__all__ = ["authorise", "get_node"]


def get_node(state: State, operator: Address) -> NodeRecord:
    """Get a registered node. Raises Refusal `ledger.no-such-node`."""
    node = state.get_node(operator)
    if node is None:
        raise Refusal("ledger.no-such-node", "the operator has registered no node")
    return node


def authorise(
    state: State,
    context: Context,
    sender: Address,
    body: Offer | WithdrawOffer | Heartbeat | OpenLog | DeclareLoss,
    *,
    staked: bool = True,
) -> NodeRecord:
    """Check a node's authority and use its number up, so that an authority acts once.

    Args:
        state: The state.
        context: The block.
        sender: Who pays.
        body: The act.
        staked: Whether the act needs the stake of the node's roles.

    Returns:
        The node as it is now written: after its next sequence or session number.

    Raises:
        Refusal: `ledger.no-such-node`, `ledger.wrong-session`, `ledger.wrong-sequence`,
            `ledger.stake-too-low`, `ed25519.bad-signature`.
    """
    node = get_node(state, body.operator)
    if isinstance(body, OpenLog):
        if body.session != node.sessions:
            raise Refusal(
                "ledger.wrong-session", f"the next session is {node.sessions}, not {body.session}"
            )
        after = msgspec.structs.replace(node, sessions=node.sessions + 1)
    else:
        if body.sequence != node.sequence:
            raise Refusal(
                "ledger.wrong-sequence",
                f"the node's next number is {node.sequence}, not {body.sequence}",
            )
        after = msgspec.structs.replace(node, sequence=node.sequence + 1)
    if staked:
        check_stake(state, context.params, node.account, node.roles)
    check_authority(context.domain, node.operating_key, sender, body)
    state.put_node(after)
    return after
