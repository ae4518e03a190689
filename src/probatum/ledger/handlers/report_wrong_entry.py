"""Convicting a node of another entry where a receipt was promised (`LOG-1`).

The settled log shows it, a checkpoint that the node signed, or the ledger itself: a challenge, or
the record of an entry that was handed back, is there only because the node had signed a receipt for
that place. A signed checkpoint is as good as the settled root, and stays what it is while the node
settles more: no report can be outrun.
"""

from __future__ import annotations

from probatum.errors import Refusal
from probatum.ledger.context import Context
from probatum.ledger.offences import convict
from probatum.ledger.sessions import OpenedReceipt, open_receipt
from probatum.ledger.state import State
from probatum.protocol.merkle import check_inclusion, leaf_hash
from probatum.protocol.notes import log_origin, open_checkpoint
from probatum.protocol.primitives import Address, Digest
from probatum.protocol.transactions.kinds import ReportWrongEntry

__all__ = ["apply_report_wrong_entry"]


def apply_report_wrong_entry(
    state: State, context: Context, sender: Address, body: ReportWrongEntry
) -> None:
    """Convict the operator of a lie about one entry.

    Raises:
        Refusal: as `open_receipt`; `note.*` unless the checkpoint, if there is one, is of this
            session and signed by its key; `ledger.no-conflict` if the leaf is the receipt's own;
            `ledger.not-covered` if what is settled or signed does not reach it; `merkle.*` unless
            the proof shows the leaf at the promised index, or the ledger has seen a receipt of
            the node for it; `ledger.convicted-already`.
    """
    opened = open_receipt(state, context, body.operator, body.receipt, body.signature)
    log, index = opened.log, opened.place.index
    if body.leaf in _list_signed(state, opened):
        convict(state, context, log, kind="entry", index=index, reporter=sender)
        return
    size, root = log.size, log.root
    if body.checkpoint:
        origin = log_origin(context.domain, body.operator, log.session)
        signed = open_checkpoint(body.checkpoint, origin, log.operating_key)
        size, root = signed.size, signed.root
    if index >= size:
        raise Refusal("ledger.not-covered", f"entry {index} is not settled yet")
    if leaf_hash(opened.entry) == body.leaf:
        raise Refusal("ledger.no-conflict", "the log has the very receipt at its place")
    check_inclusion(body.leaf, index, size, body.inclusion, root)
    convict(state, context, log, kind="entry", index=index, reporter=sender)


def _list_signed(state: State, opened: OpenedReceipt) -> list[Digest]:
    """List the leaves of other receipts that the ledger saw the node's signature for."""
    place = (opened.log.operator, opened.log.session, opened.place.index)
    records = (state.get_challenge(*place), state.get_return(*place))
    return [
        leaf_hash(record.entry)
        for record in records
        if record is not None and record.entry != opened.entry
    ]
