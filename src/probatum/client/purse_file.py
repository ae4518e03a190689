"""A purse on disk: what was signed is written down before the voucher leaves (`PAY-1`).

One file an escrow, beside the receipts, and a lock: two programs that sign for one escrow at the
same time would each forget what the other signed. Must not know vouchers or the network.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final, Literal

import msgspec

from probatum.client.purse import Purse
from probatum.client.whole_files import write_whole
from probatum.errors import Fault, Refusal
from probatum.protocol.encoding import Document, decode_document, encode_document
from probatum.protocol.hexes import HexDigest, digest_from_hex
from probatum.protocol.primitives import Amount, Digest

__all__ = ["PurseFile", "PurseState", "list_purses"]

_ENDING: Final = ".purse.json"
_BYTES: Final = 4_096


class PurseState(Document, frozen=True, kw_only=True):
    """What is kept of a purse.

    Attributes:
        base_units: What the ledger said was collected when the purse was made: the spend cap
            counts from here.
        signed_units: The greatest total that was ever signed; written before the voucher leaves.
        charged_units: The greatest running total that the payee has stated and proven.
        seen_units: Sum of the prices of the answers that came.
    """

    format: Literal["probatum-purse/1"]
    escrow: HexDigest
    base_units: Amount
    signed_units: Amount
    charged_units: Amount
    seen_units: Amount

    def open(self) -> Purse:
        """Make the purse that this is of."""
        return Purse(
            digest_from_hex(self.escrow),
            signed_units=self.signed_units,
            charged_units=self.charged_units,
            seen_units=self.seen_units,
        )


class PurseFile:
    """The file of one escrow's purse, held by one program at a time."""

    def __init__(self, folder: Path, escrow: Digest) -> None:
        """Take the file's lock; the folder is made if need be.

        Raises:
            Refusal: `purse.in-use` if another program has it open.
            Fault: `store.cannot-write`.
        """
        self._path = folder / f"{escrow.hex()}{_ENDING}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Fault("store.cannot-write", f"{self._path}: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise Refusal(
                "purse.in-use",
                "another program pays from the same escrow and receipts folder",
                hint="wait until it has ended, or let one client ask for both",
            ) from None

    def load(self) -> PurseState | None:
        """Load what is kept, None if nothing is. Raises Refusal `encoding.*`, Fault `store.*`."""
        return _read(self._path)

    def save(self, state: PurseState) -> None:
        """Keep a state; it is on disk when this returns. Raises Fault `store.cannot-write`."""
        write_whole(self._path, encode_document(state), 0o600)

    def close(self) -> None:
        """Give the lock back."""
        os.close(self._lock)


def list_purses(folder: Path) -> tuple[PurseState, ...]:
    """List the purses of a folder, by escrow; files that are none are left out."""
    found = []
    for path in sorted(folder.glob("*" + _ENDING)):
        try:
            state = _read(path)
        except Refusal:
            continue
        if state is not None:
            found.append(state)
    return tuple(found)


def _read(path: Path) -> PurseState | None:
    try:
        with path.open("rb") as file:
            data = file.read(_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Fault("store.cannot-read", f"{path}: {error.strerror}") from None
    return decode_document(PurseState, data, limit_bytes=_BYTES)


def keep(purse: Purse, state: PurseState) -> PurseState:
    """Make the state that a purse has now."""
    return msgspec.structs.replace(
        state,
        signed_units=purse.signed_units,
        charged_units=purse.charged_units,
        seen_units=purse.seen_units,
    )
