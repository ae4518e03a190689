"""The tables of an engine's store, and how heights are keys.

    meta      format, genesis, head (the last height and its state root's node), stale tree nodes;
              and whose escrows there are: account, key of the escrow
    header    height → encoded `SignedHeader`
    block     height → encoded `Block`
    changes   height → encoded `BlockView` with all changes; the last heights only
    outcome   transaction hash → height, 8 bytes, and the code
    record    state key → record, for reading and listing
    node      id, 8 bytes that grow → page of the state map, for proofs

Must not know what is in a record. Read next: `chain.kept`, `embedded.engine`.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "BLOCK",
    "CHANGES",
    "FORMAT",
    "FORMAT_KEY",
    "GENESIS_KEY",
    "HEADER",
    "HEAD_KEY",
    "META",
    "NODE",
    "OUTCOME",
    "PARTY",
    "PARTY_KEY",
    "RECORD",
    "STALE_KEY",
    "TABLES",
    "height_key",
]

META: Final = "meta"
HEADER: Final = "header"
BLOCK: Final = "block"
CHANGES: Final = "changes"
OUTCOME: Final = "outcome"
RECORD: Final = "record"
NODE: Final = "node"
TABLES: Final = (META, HEADER, BLOCK, CHANGES, OUTCOME, RECORD, NODE)

FORMAT: Final = b"probatum-store/4"
FORMAT_KEY: Final = b"format"
GENESIS_KEY: Final = b"genesis"
HEAD_KEY: Final = b"head"
STALE_KEY: Final = b"stale"
PARTY_KEY: Final = b"parties"
"""There once all escrows are listed under `PARTY`."""
PARTY: Final = b"party/"
"""Before an account and the key of an escrow that it pays into or is paid from."""


def height_key(height: int) -> bytes:
    """Key of a height: 8 bytes, big-endian, so that keys sort as heights do."""
    return height.to_bytes(8, "big")
