"""The last height that a full node's application has on its disk, and the hash of its header.

Read from `ledger.sqlite` beside whoever runs it, or when nobody does: an engine that was started
again on a chain it does not agree with answers no questions. Nothing is changed. Must not know
processes.
"""

from __future__ import annotations

import contextlib
import sqlite3
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from probatum.consensus import tables
from probatum.consensus.chain.blocks import Head
from probatum.consensus.cometbft import undo
from probatum.errors import Fault
from probatum.protocol import limits
from probatum.protocol.encoding import decode
from probatum.protocol.headers import Header, SignedHeader, compute_header_hash

__all__ = ["KeptTip", "read_kept_tip"]

_WAIT_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTip:
    """The last height on the disk (0 before the first), and its header's hash.

    Attributes:
        sealed: The last header that has a seal: the node checked it, so who asks for this node may
            start from it where a trust file has lapsed (`LIGHT-1`).
    """

    height: int
    header_hash: bytes
    sealed: SignedHeader | None = None


def read_kept_tip(home: Path) -> KeptTip:
    """Read where a full node's ledger stands.

    Raises:
        Fault: `store.unreadable`.
        Refusal: `encoding.*` for rows that are not what they should be.
    """
    path = home / "ledger.sqlite"
    uri = f"file:{urllib.parse.quote(str(path.absolute()))}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_WAIT_S)) as link:
            link.execute("BEGIN")  # all of one moment, though a block may be written meanwhile
            return _read(_Rows(link))
    except sqlite3.Error as error:
        raise Fault("store.unreadable", f"cannot read {path}: {error}") from None


class _Rows:
    def __init__(self, link: sqlite3.Connection) -> None:
        self._link = link

    def get(self, table: str, key: bytes) -> bytes | None:
        assert table in tables.TABLES, table
        query = f"SELECT value FROM {table}_rows WHERE key = ?"  # noqa: S608 - our own names
        found = self._link.execute(query, (key,)).fetchone()
        return None if found is None else bytes(found[0])

    def get_last(self, table: str) -> bytes | None:
        assert table in tables.TABLES, table
        query = f"SELECT value FROM {table}_rows ORDER BY key DESC LIMIT 1"  # noqa: S608 - ditto
        found = self._link.execute(query).fetchone()
        return None if found is None else bytes(found[0])


def _read(rows: _Rows) -> KeptTip:
    data = rows.get(tables.META, tables.HEAD_KEY)
    if data is None:
        return KeptTip(height=0, header_hash=b"")
    height = decode(Head, data, limit_bytes=limits.STATE_VALUE_BYTES).height
    if not height:
        return KeptTip(height=0, header_hash=b"")
    return KeptTip(
        height=height,
        header_hash=compute_header_hash(_read_header(rows, height)),
        sealed=_read_sealed(rows),
    )


def _read_sealed(rows: _Rows) -> SignedHeader | None:
    data = rows.get_last(tables.HEADER)
    if data is None:
        return None
    return decode(SignedHeader, data, limit_bytes=limits.SIGNED_HEADER_BYTES)


def _read_header(rows: _Rows, height: int) -> Header:
    """Read a header that has no seal yet, or one that has."""
    data = rows.get(tables.META, undo.get_header_key(height))
    if data is not None:
        return decode(Header, data, limit_bytes=limits.STATE_VALUE_BYTES)
    data = rows.get(tables.HEADER, tables.height_key(height))
    if data is None:
        raise Fault("store.unreadable", f"the store lacks its own height {height}")
    return decode(SignedHeader, data, limit_bytes=limits.SIGNED_HEADER_BYTES).header
