"""Finding the signed checkpoint that settled a log, in the block that did it.

It stays true whatever is settled later, so an accusation that shows it cannot be outrun. Must not
know who accuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from probatum.errors import Refusal
from probatum.evidence import accusing
from probatum.evidence.accusing import HeldReceipt
from probatum.protocol import limits
from probatum.protocol.blocks import Block
from probatum.protocol.eip712 import Domain
from probatum.protocol.encoding import decode
from probatum.protocol.notes import log_origin, open_checkpoint
from probatum.protocol.primitives import Digest
from probatum.protocol.records import LogRecord
from probatum.protocol.tiles import TileReader
from probatum.protocol.transactions.kinds import ReportWrongEntry, SettleCheckpoint
from probatum.protocol.transactions.signed import decode_transaction

__all__ = ["Settled", "find_settlement", "report_entry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What one session was settled as once, with the node's word for it."""

    raw: bytes
    size: int
    root: Digest


def find_settlement(domain: Domain, log: LogRecord, data: bytes) -> Settled | None:
    """Find the longest checkpoint of a session that a block settles.

    Raises:
        Refusal: `encoding.*`, `note.*` for a block of a ledger that lies.
    """
    found: Settled | None = None
    for raw in decode(Block, data, limit_bytes=limits.BLOCK_BYTES).transactions:
        body = decode_transaction(raw).body
        if not isinstance(body, SettleCheckpoint):
            continue
        if (body.operator, body.session) != (log.operator, log.session):
            continue
        origin = log_origin(domain, log.operator, log.session)
        signed = open_checkpoint(body.checkpoint, origin, log.operating_key)
        if found is None or signed.size > found.size:
            found = Settled(raw=body.checkpoint, size=signed.size, root=signed.root)
    return found


def report_entry(
    held: HeldReceipt, log: LogRecord, settled: Settled | None, tiles: Mapping[str, bytes] | None
) -> ReportWrongEntry | None:
    """Report another entry by a checkpoint that settled it once, if that and its tiles are there.

    Args:
        held: The receipt.
        log: Its session now.
        settled: What it was settled as once, if that is known.
        tiles: Files of the log, of any size.
    """
    if settled is None or tiles is None:
        return None
    shown = msgspec.structs.replace(log, size=settled.size, root=settled.root)
    reader = TileReader(settled.size, tiles)
    try:
        return accusing.report_wrong_entry(held, shown, reader, checkpoint=settled.raw)
    except Refusal:
        return None  # not so far yet, no tiles of it, or the very receipt
