"""Convicting a node whose settled log has another entry where a receipt was promised (`LOG-1`)."""

from __future__ import annotations

from probatum.errors import Refusal
from probatum.ledger.context import Context
from probatum.ledger.offences import convict
from probatum.ledger.sessions import open_receipt
from probatum.ledger.state import State
from probatum.protocol.merkle import check_inclusion, leaf_hash
from probatum.protocol.primitives import Address
from probatum.protocol.transactions.kinds import ReportWrongEntry

__all__ = ["apply_report_wrong_entry"]


def apply_report_wrong_entry(
    state: State, context: Context, sender: Address, body: ReportWrongEntry
) -> None:
    """Convict the operator of a lie about one entry.

    Raises:
        Refusal: as `open_receipt`; `ledger.no-conflict` if the leaf is the receipt's own;
            `ledger.not-covered` if the settled log does not reach it; `merkle.*` unless the proof
            shows the leaf at the promised index; `ledger.convicted-already`.
    """
    opened = open_receipt(state, context, body.operator, body.receipt, body.signature)
    log, index = opened.log, opened.place.index
    if index >= log.size:
        raise Refusal("ledger.not-covered", f"entry {index} is not settled yet")
    if leaf_hash(opened.entry) == body.leaf:
        raise Refusal("ledger.no-conflict", "the log has the very receipt at its place")
    check_inclusion(body.leaf, index, log.size, body.inclusion, log.root)
    convict(state, context, log, kind="entry", index=index, reporter=sender)
