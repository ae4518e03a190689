"""Opening a node's next log session (`LOG-1`): every start of a node opens a new one."""

from __future__ import annotations

from probatum.ledger.authority import authorise
from probatum.ledger.context import Context
from probatum.ledger.state import State
from probatum.protocol.merkle import EMPTY_ROOT
from probatum.protocol.primitives import Address
from probatum.protocol.records import LogRecord
from probatum.protocol.transactions.kinds import OpenLog

__all__ = ["apply_open_log"]


def apply_open_log(state: State, context: Context, sender: Address, body: OpenLog) -> None:
    """Open the next session under the node's current operating key.

    Raises:
        Refusal: `ledger.no-such-node`, `ledger.wrong-session`, `ledger.stake-too-low`,
            `ed25519.bad-signature`.
    """
    node = authorise(state, context, sender, body)
    state.put_log(
        LogRecord(
            operator=body.operator,
            session=body.session,
            opener=body.opener,
            operating_key=node.operating_key,
            size=0,
            root=EMPTY_ROOT,
            opened_at=context.height,
            settled_at=context.height,
        )
    )
