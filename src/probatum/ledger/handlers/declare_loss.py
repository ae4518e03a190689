"""Declaring that a node lost its log: its receipts are handed back instead (`LOG-1`).

One declaration is about all sessions up to one, since a disk is lost with all that is on it. The
first in an epoch is free, for honest disks break; the next costs stake, for a node that loses its
log whenever it is asked about it must not be able to go on so.
"""

from __future__ import annotations

from probatum.errors import Refusal
from probatum.ledger.authority import authorise
from probatum.ledger.context import Context
from probatum.ledger.offences import convict
from probatum.ledger.sessions import get_log
from probatum.ledger.state import State
from probatum.protocol.primitives import Address
from probatum.protocol.records import LossRecord
from probatum.protocol.transactions.kinds import DeclareLoss

__all__ = ["apply_declare_loss"]


def apply_declare_loss(state: State, context: Context, sender: Address, body: DeclareLoss) -> None:
    """Write the loss down; slash the operator if the last one is less than an epoch ago.

    Needs no stake of the node's roles: whoever was slashed for something else must still be able
    to make good.

    Raises:
        Refusal: `ledger.no-such-node`, `ledger.wrong-sequence`, `ed25519.bad-signature`;
            `ledger.no-such-log`; `ledger.session-in-use` if the node has opened no later session;
            `ledger.loss-declared` if an earlier declaration is about the session already.
    """
    node = authorise(state, context, sender, body, staked=False)
    log = get_log(state, body.operator, body.session)
    if body.session + 1 >= node.sessions:
        raise Refusal(
            "ledger.session-in-use",
            f"session {body.session} is the node's newest: nothing can be handed back yet",
            hint="a node opens its next session when it starts, and declares a loss afterwards",
        )
    last = state.get_loss(body.operator)
    if last is not None:
        if body.session <= last.session:
            raise Refusal(
                "ledger.loss-declared", f"all sessions up to {last.session} are declared lost"
            )
        if context.height < last.declared_at + context.params.loss_epoch_blocks:
            convict(state, context, log, kind="loss", index=0, reporter=sender)
    state.put_loss(
        LossRecord(
            operator=body.operator,
            session=body.session,
            declared_at=context.height,
            losses=1 if last is None else last.losses + 1,
        )
    )
