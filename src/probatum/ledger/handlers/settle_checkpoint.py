"""Settling a checkpoint of a log session: one transaction for thousands of receipts (`LOG-1`).

The checkpoint's signature is its own authority, so anybody may settle it and pay for it; stake
and registration play no part, so that what was promised can be settled after a node has left.
A retired key has as long for it as stake takes to unbond: it may be retired because it was stolen,
and its thief must not settle answers in the operator's name for ever.
"""

from __future__ import annotations

import msgspec

from probatum.errors import Refusal
from probatum.ledger.context import Context
from probatum.ledger.escrows import collect_riding
from probatum.ledger.sessions import check_key, get_log
from probatum.ledger.state import State
from probatum.protocol.merkle import check_consistency
from probatum.protocol.notes import Checkpoint, log_origin, open_checkpoint
from probatum.protocol.primitives import Address
from probatum.protocol.records import LogRecord
from probatum.protocol.transactions.kinds import SettleCheckpoint

__all__ = ["apply_settle_checkpoint"]


def apply_settle_checkpoint(
    state: State, context: Context, sender: Address, body: SettleCheckpoint
) -> None:
    """Settle a longer checkpoint that begins with the settled one, and collect its vouchers.

    A voucher that cannot be collected is passed over: nobody shall be late for it (`PAY-1`).

    Raises:
        Refusal: `ledger.no-such-log`; `ledger.key-retired` if the session's key was, long ago;
            `note.*` unless the checkpoint is of this session and
            signed by the session's key; `ledger.checkpoint-behind` if it is shorter than the
            settled one; `ledger.nothing-new` if it is the settled one; `log.not-append-only` if
            the proof does not show that the log only grew; `merkle.*` if the proof is malformed.
    """
    del sender
    log = get_log(state, body.operator, body.session)
    check_key(state, context, log, context.height)
    origin = log_origin(context.domain, body.operator, body.session)
    checkpoint = open_checkpoint(body.checkpoint, origin, log.operating_key)
    _check_growth(log, checkpoint, body)
    collect_riding(state, context, body.vouchers)
    state.put_log(
        msgspec.structs.replace(
            log, size=checkpoint.size, root=checkpoint.root, settled_at=context.height
        )
    )


def _check_growth(log: LogRecord, checkpoint: Checkpoint, body: SettleCheckpoint) -> None:
    if checkpoint.size < log.size:
        raise Refusal(
            "ledger.checkpoint-behind",
            f"size {checkpoint.size} is below the settled size {log.size}",
        )
    if checkpoint.size == log.size:
        if checkpoint.root == log.root:
            raise Refusal("ledger.nothing-new", f"size {log.size} is settled already")
        raise Refusal("log.not-append-only", f"size {log.size} is settled with another root")
    try:
        check_consistency(log.size, log.root, checkpoint.size, checkpoint.root, body.consistency)
    except Refusal as refusal:
        if refusal.code != "merkle.not-consistent":
            raise
        raise Refusal(
            "log.not-append-only",
            f"size {checkpoint.size} is not shown to begin with the settled size {log.size}",
        ) from None
