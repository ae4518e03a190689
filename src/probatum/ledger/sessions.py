"""What a log session's key may still say, and what it said: receipts and checkpoints (`LOG-1`).

A retired key has as long to speak as stake takes to unbond: it may be retired because it was
stolen, and its thief must neither settle answers in the operator's name for ever nor have the
operator convicted for ever. Must not know what follows from what was said.
"""

from __future__ import annotations

from dataclasses import dataclass

from probatum.errors import Refusal
from probatum.evidence.log import check_session
from probatum.ledger.context import Context
from probatum.ledger.state import State
from probatum.protocol.dsse import PAYLOAD_TYPE, pae
from probatum.protocol.ed25519 import check_signature
from probatum.protocol.hashing import sha256
from probatum.protocol.primitives import Address, Digest, OperatingSignature
from probatum.protocol.receipts import LogPosition, decode_receipt
from probatum.protocol.records import KeyRecord, LogRecord

__all__ = ["OpenedReceipt", "check_key", "check_spoken", "get_log", "open_receipt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedReceipt:
    """A receipt whose signature holds, and the log that it must be found in.

    Attributes:
        entry: Its log entry.
        place: Where it was promised to be, and by when.
        log: The session as the ledger has it.
        custody: The hand-over that it answers, as the receipt names it.
        price_units: What it charges.
        escrow: The escrow that it charges, in hex; None where it charges nothing.
    """

    entry: Digest
    place: LogPosition
    log: LogRecord
    custody: str
    price_units: int
    escrow: str | None


def get_log(state: State, operator: Address, session: int) -> LogRecord:
    """Get a log session. Raises Refusal `ledger.no-such-log`."""
    log = state.get_log(operator, session)
    if log is None:
        raise Refusal("ledger.no-such-log", f"the operator has no session {session}")
    return log


def check_key(state: State, context: Context, log: LogRecord, height: int) -> None:
    """Check that a session's key speaks for its operator at a height, this block's or later.

    Raises:
        Refusal: `ledger.key-retired` if it was retired too long before.
    """
    record = state.get_key(log.operating_key)
    assert record is not None, "a session's key without a record"
    check_spoken(context, record, height)


def check_spoken(context: Context, record: KeyRecord, height: int) -> None:
    """Check that a key speaks for its account at a height. Raises Refusal `ledger.key-retired`."""
    if record.retired_at is None:
        return
    last = record.retired_at + context.params.unbonding_blocks
    if height > last:
        raise Refusal(
            "ledger.key-retired",
            f"the key was retired; it could speak up to height {last}",
            hint="settle a node's logs before or soon after its key is replaced",
        )


def open_receipt(
    state: State,
    context: Context,
    operator: Address,
    payload: bytes,
    signature: OperatingSignature,
) -> OpenedReceipt:
    """Check that an operator's node signed a receipt for one of its sessions of this network.

    Raises:
        Refusal: `encoding.*`, `statement.*`, `receipt.*` unless it is a receipt of the operator's
            under the session's key; `ledger.no-such-log`, `ledger.key-retired`;
            `ledger.unbound-receipt` if it does not say who opened its session, so that it may be
            of another network; `ed25519.bad-signature`.
    """
    receipt = decode_receipt(payload)
    log = get_log(state, operator, receipt.log.session)
    check_key(state, context, log, context.height)
    if receipt.log.opener is None:
        raise Refusal(
            "ledger.unbound-receipt", "the receipt does not name the opener of its session"
        )
    check_session(receipt, log)
    check_signature(log.operating_key, pae(PAYLOAD_TYPE, payload), signature)
    return OpenedReceipt(
        entry=sha256(payload),
        place=receipt.log,
        log=log,
        custody=receipt.custody,
        price_units=receipt.price_units,
        escrow=receipt.escrow,
    )
