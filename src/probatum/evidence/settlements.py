"""Finding the signed checkpoint that settled a log, in the block that did it (`LOG-1`).

It stays true whatever is settled later, so an accusation that shows it cannot be outrun. What comes
out is signed by the session's key: it does not matter who gave the block. Must not know who
accuses. Read next: `prosecution`.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from probatum.protocol import limits
from probatum.protocol.blocks import Block
from probatum.protocol.eip712 import Domain
from probatum.protocol.encoding import decode
from probatum.protocol.notes import log_origin, open_checkpoint
from probatum.protocol.primitives import Digest
from probatum.protocol.records import LogRecord
from probatum.protocol.transactions.kinds import SettleCheckpoint
from probatum.protocol.transactions.signed import decode_transaction

__all__ = ["Settled", "find_settlement", "pin_log"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What one session was settled as once, with the node's word for it.

    Attributes:
        raw: The signed checkpoint.
        size: Entries in it.
        root: Of that many entries.
    """

    raw: bytes
    size: int
    root: Digest


def find_settlement(domain: Domain, log: LogRecord, data: bytes) -> Settled | None:
    """Find the longest checkpoint of a session that a block settles, None if it settles none.

    Args:
        domain: The network.
        log: The session, with its key.
        data: An encoded block.

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


def pin_log(log: LogRecord, settled: Settled) -> LogRecord:
    """Say what a session's record was when that checkpoint settled it."""
    return msgspec.structs.replace(log, size=settled.size, root=settled.root)
