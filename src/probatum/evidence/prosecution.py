"""The prosecutor: what follows for a holder's receipt from what the ledger shows now (`LOG-1`).

Pure and without memory: called again after every block, it says the next thing to do for a
receipt until there is nothing left to do:

    two receipts for its index are held            accuse at once
    another was challenged or handed back there    accuse at once
    settled so far, no tiles at hand               fetch them
    settled so far, another entry is proven there  fetch the block that settled it, then accuse
    settled so far, the receipt is there           end a challenge of it; else done
    settled so far, but shown to nobody            give a challenge up after its deadline
    not settled, within its height and patience    wait
    not settled, overdue                           challenge
    challenged, up to the deadline                 wait
    challenged, past the deadline                  convict
    lost by its node, and handed back              done

Must not know bonds, fees or who pays: whoever acts on a decision weighs that. Read next:
`accusing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from probatum.errors import Refusal
from probatum.evidence import accusing
from probatum.evidence.accusing import HeldReceipt
from probatum.evidence.losses import compute_deadline
from probatum.evidence.settlements import Settled, pin_log
from probatum.protocol.merkle import leaf_hash
from probatum.protocol.primitives import Address, Digest, OperatingKey
from probatum.protocol.records import (
    ChallengeRecord,
    KeyRecord,
    LogRecord,
    LossRecord,
    OffenceKind,
    OffenceRecord,
    ReturnRecord,
)
from probatum.protocol.tiles import TileReader
from probatum.protocol.transactions.kinds import Accusation

__all__ = [
    "Accuse",
    "Decision",
    "Done",
    "FetchBlock",
    "FetchTiles",
    "LedgerFacts",
    "Wait",
    "Windows",
    "find_rivals",
    "prosecute",
]

_CODES_OF_THE_RECEIPT = ("accusing.no-case", "receipt.")


class LedgerFacts(Protocol):
    """What a prosecutor reads of the ledger, at one height."""

    @property
    def height(self) -> int:
        """Height of the last block."""
        ...

    def get_log(self, operator: Address, session: int) -> LogRecord | None:
        """Get a log session."""
        ...

    def get_key(self, key: OperatingKey) -> KeyRecord | None:
        """Get whose a key is or was, None where it is not followed."""
        ...

    def get_challenge(self, operator: Address, session: int, index: int) -> ChallengeRecord | None:
        """Get the open challenge of an entry."""
        ...

    def get_offence(
        self, operator: Address, session: int, kind: OffenceKind, index: int
    ) -> OffenceRecord | None:
        """Get a conviction."""
        ...

    def get_return(self, operator: Address, session: int, index: int) -> ReturnRecord | None:
        """Get where the entry of a lost log is now."""
        ...

    def get_loss(self, operator: Address) -> LossRecord | None:
        """Get the last loss that an operator's node declared."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Spans in blocks.

    Attributes:
        challenge_blocks: What a challenge gives a node (`challenge_window_blocks`).
        unbonding_blocks: How long a retired key still speaks.
        loss_epoch_blocks: How long a node that lost its log has to hand all receipts back.
        patience_blocks: How long a holder waits beyond a receipt's height before it challenges:
            a node that is only late pays a fee for it.
    """

    challenge_blocks: int
    unbonding_blocks: int
    loss_epoch_blocks: int
    patience_blocks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuse:
    """Send this body.

    Attributes:
        body: The transaction.
        why: What it says, in a sentence.
    """

    body: Accusation
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchTiles:
    """Fetch these files of the receipt's log from its node, or from anybody, and decide again."""

    size: int
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchBlock:
    """Fetch the block of this height, find the settlement of the receipt's log there, decide again.

    The log as it stands convicts; but its node may settle more before the report is in a block, and
    the root that the report is about would be gone. The checkpoint in that block stays.
    """

    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing can be done before the ledger has this height."""

    until: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Nothing more follows for this receipt.

    Attributes:
        convicted: The node was convicted over this entry.
    """

    convicted: bool
    why: str


Decision: TypeAlias = Accuse | FetchTiles | FetchBlock | Wait | Done
"""What to do next for one receipt."""


def find_rivals(receipts: Iterable[HeldReceipt]) -> tuple[tuple[HeldReceipt, HeldReceipt], ...]:
    """Find pairs of receipts for one index of one session, one pair an index, by place."""
    first: dict[tuple[Address, str, int, int], HeldReceipt] = {}
    pairs: dict[tuple[Address, str, int, int], tuple[HeldReceipt, HeldReceipt]] = {}
    for held in receipts:
        place = (held.operator, held.place.opener or "", held.place.session, held.place.index)
        known = first.setdefault(place, held)
        if known.entry != held.entry and known.receipt.node.key == held.receipt.node.key:
            pairs.setdefault(place, (known, held))
    return tuple(pair for _, pair in sorted(pairs.items(), key=lambda item: item[0]))


def prosecute(
    held: HeldReceipt,
    ledger: LedgerFacts,
    windows: Windows,
    *,
    rival: HeldReceipt | None = None,
    tiles: Mapping[str, bytes] | None = None,
    withheld: bool = False,
    settled: Settled | None = None,
    unsigned: bool = False,
) -> Decision:
    """Say what follows for one receipt.

    Args:
        held: The receipt.
        ledger: What the ledger shows.
        windows: Spans in blocks.
        rival: Another receipt for its index, if one is held.
        tiles: Files of its log, by path, as fetched after `FetchTiles`.
        withheld: Nobody gives these files, so that a challenge of one's own may be given up.
        settled: The signed checkpoint that settled its log once, as found after `FetchBlock`.
        unsigned: Nobody gives that block: accuse by what is settled now, which can be outrun.

    Raises:
        Refusal: `tile.*`, `merkle.*` for tiles that are not those of the settled log: fetch them
            again, elsewhere if possible.
    """
    log = ledger.get_log(held.operator, held.place.session)
    if log is None:
        return Done(convicted=False, why="the ledger has no such log session")
    index = held.place.index
    for kind in ("entry", "omission"):
        if ledger.get_offence(log.operator, log.session, kind, index) is not None:
            return Done(convicted=True, why="its node was convicted over this entry")
    try:
        accusing.check_case(held, log)
        if rival is not None:
            body = accusing.report_two_receipts(held, rival)
            return Accuse(body=body, why=f"two receipts are signed for entry {index}")
        seen = _find_other(held, ledger)
        if seen is not None:
            other = accusing.report_other_receipt(held, log, seen)
            return Accuse(body=other, why=f"another receipt is signed for entry {index}")
        if index < log.size:
            if settled is not None:
                report = _report_pinned(held, log, settled, tiles or {})
                if report is not None:
                    return report
            return _judge_settled(held, ledger, log, tiles, withheld=withheld, unsigned=unsigned)
        returned = ledger.get_return(log.operator, log.session, index)
        if returned is not None:
            where = f"entry {returned.in_index} of session {returned.in_session}"
            return Done(convicted=False, why=f"its node lost that log; it is {where} now")
        return _judge_unsettled(held, ledger, log, windows)
    except Refusal as refusal:
        if not refusal.code.startswith(_CODES_OF_THE_RECEIPT):
            raise
        return Done(convicted=False, why=refusal.message)


def _find_other(held: HeldReceipt, ledger: LedgerFacts) -> Digest | None:
    """Find the entry of another receipt for the same place that the ledger has seen."""
    place = (held.operator, held.place.session, held.place.index)
    for record in (ledger.get_challenge(*place), ledger.get_return(*place)):
        if record is not None and record.entry != held.entry:
            return record.entry
    return None


def _judge_settled(
    held: HeldReceipt,
    ledger: LedgerFacts,
    log: LogRecord,
    tiles: Mapping[str, bytes] | None,
    *,
    withheld: bool,
    unsigned: bool,
) -> Decision:
    index = held.place.index
    needed = accusing.list_entry_tiles(index, log.size)
    challenge = ledger.get_challenge(log.operator, log.session, index)
    if tiles is None or any(path not in tiles for path in needed):
        if not withheld:
            return FetchTiles(size=log.size, paths=needed)
        return _judge_withheld(challenge, ledger, log)
    reader = TileReader(log.size, tiles)
    if reader.get_hash(0, index) != leaf_hash(held.entry):
        body = accusing.report_wrong_entry(held, log, reader)
        if not unsigned:
            return FetchBlock(height=log.settled_at)
        return Accuse(body=body, why=f"the settled log has another entry {index}")
    if challenge is not None and challenge.entry == held.entry:
        closing = accusing.close_challenge(challenge, log, reader)
        return Accuse(body=closing, why="it is settled by now: the bond comes back")
    return Done(convicted=False, why="the settled log has the receipt at its place")


def _report_pinned(
    held: HeldReceipt, log: LogRecord, settled: Settled, tiles: Mapping[str, bytes]
) -> Accuse | None:
    """Accuse by what a log was settled as once, if its tiles of then show another entry."""
    index = held.place.index
    if index >= settled.size:
        return None
    if any(path not in tiles for path in accusing.list_entry_tiles(index, settled.size)):
        return None
    reader = TileReader(settled.size, tiles)
    if reader.get_hash(0, index) == leaf_hash(held.entry):
        return None
    body = accusing.report_wrong_entry(held, pin_log(log, settled), reader, checkpoint=settled.raw)
    return Accuse(body=body, why=f"the settled log has another entry {index}")


def _judge_withheld(
    challenge: ChallengeRecord | None, ledger: LedgerFacts, log: LogRecord
) -> Decision:
    why = "its log is settled, but nobody shows what is in it"
    if challenge is None or log.size == 1:
        return Done(convicted=False, why=why)
    if ledger.height < challenge.deadline_at:
        return Wait(until=challenge.deadline_at, why=why)
    body = accusing.give_up_challenge(challenge, log, ledger.height)
    return Accuse(body=body, why=f"{why}: the challenger gets the bond back")


def _judge_unsettled(
    held: HeldReceipt, ledger: LedgerFacts, log: LogRecord, windows: Windows
) -> Decision:
    index, height = held.place.index, ledger.height
    challenge = ledger.get_challenge(log.operator, log.session, index)
    if challenge is not None:
        loss = ledger.get_loss(log.operator)
        deadline = compute_deadline(challenge, loss, windows.loss_epoch_blocks)
        if height < deadline:
            is_lost = loss is not None and log.session <= loss.session
            why = (
                "its node lost that log, and is to hand it back" if is_lost else "it is challenged"
            )
            return Wait(until=deadline, why=why)
        conviction = accusing.convict_omission(challenge, log, height)
        return Accuse(body=conviction, why="challenged, and left out all the same")
    key = ledger.get_key(log.operating_key)
    if key is not None and key.retired_at is not None:
        last = key.retired_at + windows.unbonding_blocks
        if height + 1 + min(windows.challenge_blocks, windows.unbonding_blocks) > last:
            return Done(convicted=False, why=f"its key was retired at height {key.retired_at}")
    due = held.place.include_by + windows.patience_blocks
    if height < due:
        return Wait(until=due, why=f"the node promised to settle it by {held.place.include_by}")
    body = accusing.challenge_receipt(held, log, height)
    return Accuse(body=body, why=f"it was to be settled by height {held.place.include_by}")
