"""Convicting a node that left a receipt out, although it was challenged to settle it (`LOG-1`)."""

from __future__ import annotations

from probatum.errors import Refusal
from probatum.evidence.losses import compute_deadline
from probatum.ledger.context import Context
from probatum.ledger.offences import convict
from probatum.ledger.sessions import get_log
from probatum.ledger.state import State
from probatum.protocol.primitives import Address
from probatum.protocol.transactions.kinds import ConvictOmission

__all__ = ["apply_convict_omission"]


def apply_convict_omission(
    state: State, context: Context, sender: Address, body: ConvictOmission
) -> None:
    """Convict the operator, reward the challenger and give the bond back, whoever says so.

    The challenger's bond was at risk of time and of the node's answer; saying that the deadline
    passed takes nothing, and anybody could say it first.

    What is settled after the deadline but before this is late, not left out. Whether the session's
    key could settle up to the deadline was checked when the challenge was opened. Of a session that
    was declared lost, everything is handed back one by one: that may take the rest of the epoch.

    Raises:
        Refusal: `ledger.no-such-log`, `ledger.no-such-challenge`; `ledger.not-overdue` up to the
            deadline; `ledger.covered` if the settled log reaches the entry.
    """
    del sender
    log = get_log(state, body.operator, body.session)
    challenge = state.get_challenge(body.operator, body.session, body.index)
    if challenge is None:
        raise Refusal("ledger.no-such-challenge", f"no challenge of entry {body.index} is open")
    loss = state.get_loss(body.operator)
    deadline = compute_deadline(challenge, loss, context.params.loss_epoch_blocks)
    if context.height <= deadline:
        raise Refusal("ledger.not-overdue", f"the node has up to height {deadline} to settle it")
    if body.index < log.size:
        raise Refusal("ledger.covered", f"the log is settled up to {log.size} entries")
    convict(state, context, log, kind="omission", index=body.index, reporter=challenge.challenger)
