"""Accusations: from what a holder has to the transaction that holds a node to it (`LOG-1`).

One function an offence. It checks what the ledger will check, as far as it can be checked without
the ledger, so that nobody pays a fee for a report that cannot hold; a Refusal says why there is
no case. Records of the ledger come in as values that the caller believes. Must not know who
fetches tiles nor who sends. Read next: `prosecution`, which picks among these.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass

from probatum.errors import Refusal
from probatum.evidence.log import check_session
from probatum.protocol import limits
from probatum.protocol.bundles import Bundle
from probatum.protocol.dsse import Envelope, check_envelope, decode_payload
from probatum.protocol.eip712 import Domain
from probatum.protocol.hashing import sha256
from probatum.protocol.hexes import address_from_document, key_from_hex
from probatum.protocol.merkle import (
    check_consistency,
    check_inclusion,
    consistency_proof,
    leaf_hash,
    tree_root,
)
from probatum.protocol.notes import log_origin, open_checkpoint
from probatum.protocol.primitives import (
    Address,
    Digest,
    OperatingSignature,
    address_to_hex,
    make_digest,
    make_operating_signature,
)
from probatum.protocol.receipts import LogPosition, Receipt, decode_receipt
from probatum.protocol.records import ChallengeRecord, LogRecord
from probatum.protocol.tiles import (
    TILE_WIDTH,
    TileReader,
    consistency_tiles,
    needed_tiles,
    tile_path,
)
from probatum.protocol.transactions.kinds import (
    ChallengeReceipt,
    CloseChallenge,
    ConvictOmission,
    ReportNoPrefix,
    ReportTwoReceipts,
    ReportWrongEntry,
)

__all__ = [
    "HeldReceipt",
    "challenge_receipt",
    "check_case",
    "close_challenge",
    "convict_omission",
    "give_up_challenge",
    "hold_bundle",
    "hold_receipt",
    "list_entry_tiles",
    "list_fork_tiles",
    "report_no_prefix",
    "report_other_receipt",
    "report_two_receipts",
    "report_wrong_entry",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldReceipt:
    """A receipt whose signature by the key that it names has been checked.

    Attributes:
        payload: Its DSSE payload: what the key signed.
        signature: That signature.
        entry: SHA-256 of the payload: its log entry.
        operator: Whose node signed, by its own word; the session's ledger record proves it.
    """

    payload: bytes
    signature: OperatingSignature
    receipt: Receipt
    entry: Digest
    operator: Address

    @property
    def place(self) -> LogPosition:
        """Where its node promised it to be, and by when."""
        return self.receipt.log


def hold_receipt(envelope: Envelope) -> HeldReceipt:
    """Read a signed receipt as evidence.

    Raises:
        Refusal: `dsse.*`, `encoding.*`, `statement.*`, `receipt.wrong-signer-role`, `hex.*`.
    """
    # The key is read from a payload that is not believed yet, then the payload is checked under it.
    key = key_from_hex(decode_receipt(decode_payload(envelope)).node.key)
    payload = check_envelope(envelope, (key,))
    receipt = decode_receipt(payload)
    return HeldReceipt(
        payload=payload,
        signature=make_operating_signature(b64decode(envelope.signatures[0].sig)),
        receipt=receipt,
        entry=sha256(payload),
        operator=address_from_document(receipt.node.account),
    )


def hold_bundle(bundle: Bundle) -> HeldReceipt:
    """Read a bundle's receipt as evidence; its custody says nothing about the log.

    Raises:
        Refusal: `receipt.failed-request` for a bundle without; else as `hold_receipt`.
    """
    if bundle.receipt is None:
        raise Refusal("receipt.failed-request", "a failed request has no receipt to accuse with")
    return hold_receipt(bundle.receipt)


def check_case(held: HeldReceipt, log: LogRecord) -> None:
    """Check that a receipt can convict at all: that it is of this session, of this network.

    Raises:
        Refusal: `accusing.no-case` if it does not name its session's opener;
            `receipt.wrong-log`, `receipt.wrong-key`.
    """
    if held.place.opener is None:
        raise Refusal("accusing.no-case", "the receipt does not say who opened its session")
    check_session(held.receipt, log)


def list_entry_tiles(index: int, size: int) -> tuple[str, ...]:
    """List the files of a log that show an entry and prove it: of its proof, and its leaf's own.

    Raises:
        Refusal: `merkle.bad-range`.
    """
    number = index // TILE_WIDTH
    own = tile_path(0, number, min(TILE_WIDTH, size - number * TILE_WIDTH))
    return tuple(dict.fromkeys((*needed_tiles(index, size), own)))


def list_fork_tiles(size: int, longer_size: int) -> tuple[str, ...]:
    """List the files of the longer of two logs that show what it has at the shorter one's size.

    Raises:
        Refusal: `merkle.bad-range`.
    """
    if size == longer_size:
        return ()
    # What stands left of the entry at the shorter size is the shorter log.
    before = needed_tiles(size, longer_size)
    return tuple(dict.fromkeys((*before, *consistency_tiles(size, longer_size))))


def report_two_receipts(first: HeldReceipt, second: HeldReceipt) -> ReportTwoReceipts:
    """Accuse a node of two receipts under one index.

    Raises:
        Refusal: `accusing.no-case` unless they are two, for one index of one session of one node.
    """
    places = [
        (held.operator, held.receipt.node.key, held.place.session, held.place.index)
        for held in (first, second)
    ]
    if places[0] != places[1]:
        raise Refusal("accusing.no-case", "the receipts are for different places")
    openers = (first.place.opener, second.place.opener)
    if None in openers or openers[0] != openers[1]:
        raise Refusal("accusing.no-case", "the receipts are not of one session: its opener differs")
    if first.entry == second.entry:
        raise Refusal("accusing.no-case", "it is one receipt, twice")
    return ReportTwoReceipts(
        operator=first.operator,
        first=first.payload,
        first_signature=first.signature,
        second=second.payload,
        second_signature=second.signature,
    )


def report_wrong_entry(
    held: HeldReceipt, log: LogRecord, tiles: TileReader, *, checkpoint: bytes = b""
) -> ReportWrongEntry:
    """Accuse a node of having settled another entry than it promised.

    Args:
        held: The receipt.
        log: Its session, with the settled size and root.
        tiles: Of the log at that size; at least those of `list_entry_tiles`.
        checkpoint: The signed one that settled that size (it is in the block `log.settled_at`).
            With it the report holds whatever is settled before it is in a block; without it a
            node that settles at every block can spoil it.

    Raises:
        Refusal: `accusing.no-case` if the log is not settled so far, or has the very receipt
            there, or the checkpoint is of something else; `note.*`; `tile.*` and `merkle.*` for
            tiles that are not the settled log's; as `check_case`.
    """
    check_case(held, log)
    index = held.place.index
    if checkpoint:
        _check_settles(checkpoint, log)
    if index >= log.size:
        raise Refusal("accusing.no-case", f"the log is settled up to {log.size} entries only")
    leaf = make_digest(tiles.get_hash(0, index))
    inclusion = tiles.prove_inclusion(index)
    check_inclusion(leaf, index, log.size, inclusion, log.root)
    if leaf == leaf_hash(held.entry):
        raise Refusal("accusing.no-case", "the settled log has the very receipt at its place")
    return ReportWrongEntry(
        operator=held.operator,
        receipt=held.payload,
        signature=held.signature,
        leaf=leaf,
        inclusion=inclusion,
        checkpoint=checkpoint,
    )


def _check_settles(checkpoint: bytes, log: LogRecord) -> None:
    # The ledger knows the network's name for the log, and compares; here its last parts do.
    origin = checkpoint[: limits.NAME_CHARS].split(b"\n", 1)[0].decode("utf-8", "replace")
    signed = open_checkpoint(checkpoint, origin, log.operating_key)
    name = f"/{address_to_hex(log.operator)}/{log.session}"
    if not origin.endswith(name) or (signed.size, signed.root) != (log.size, log.root):
        raise Refusal("accusing.no-case", "the checkpoint is not the one that was settled")


def report_other_receipt(held: HeldReceipt, log: LogRecord, entry: Digest) -> ReportWrongEntry:
    """Accuse a node of a second receipt that the ledger has seen, but the holder does not have.

    Args:
        held: The receipt.
        log: Its session.
        entry: Of the challenge or of the entry handed back that the ledger has for its place.

    Raises:
        Refusal: `accusing.no-case` if it is this very receipt's; as `check_case`.
    """
    check_case(held, log)
    if entry == held.entry:
        raise Refusal("accusing.no-case", "the ledger has the very receipt for its place")
    return ReportWrongEntry(
        operator=held.operator,
        receipt=held.payload,
        signature=held.signature,
        leaf=leaf_hash(entry),
        inclusion=(),
    )


def report_no_prefix(
    domain: Domain,
    log: LogRecord,
    checkpoint: bytes,
    tiles: TileReader,
    *,
    against: bytes = b"",
) -> ReportNoPrefix:
    """Accuse a node of two checkpoints of one session that are not of one log.

    Args:
        domain: The network.
        log: The session, with its key and what is settled.
        checkpoint: One signed checkpoint.
        tiles: Of the longer of the two logs at its size; `list_fork_tiles`.
        against: Another signed checkpoint; none to hold it against what is settled.

    Raises:
        Refusal: `note.*` unless they are signed checkpoints of the session; `accusing.no-case`
            if the longer one begins with the shorter; `tile.*` and `merkle.*` for tiles that are
            not the longer one's.
    """
    origin = log_origin(domain, log.operator, log.session)
    signed = open_checkpoint(checkpoint, origin, log.operating_key)
    pair = [(signed.size, signed.root), (log.size, log.root)]
    if against:
        other = open_checkpoint(against, origin, log.operating_key)
        pair[1] = (other.size, other.root)
    (size, root), (longer_size, longer_root) = sorted(pair)
    shown = longer_root if size == longer_size else tree_root(size, tiles.get_hash)
    proof = consistency_proof(size, longer_size, tiles.get_hash)
    check_consistency(size, shown, longer_size, longer_root, proof)
    if shown == root:
        raise Refusal("accusing.no-case", f"both checkpoints begin with the same {size} entries")
    return ReportNoPrefix(
        operator=log.operator,
        session=log.session,
        checkpoint=checkpoint,
        against=against,
        root=shown,
        consistency=proof,
    )


def challenge_receipt(held: HeldReceipt, log: LogRecord, height: int) -> ChallengeReceipt:
    """Demand that an overdue receipt be settled.

    Args:
        held: The receipt.
        log: Its session.
        height: Of the last block; the challenge is in a later one.

    Raises:
        Refusal: `accusing.no-case` if it is settled; `accusing.not-overdue`; as `check_case`.
    """
    check_case(held, log)
    if held.place.index < log.size:
        raise Refusal("accusing.no-case", f"the log is settled up to {log.size} entries")
    if height < held.place.include_by:
        raise Refusal(
            "accusing.not-overdue",
            f"the node has up to height {held.place.include_by}; the ledger is at {height}",
        )
    return ChallengeReceipt(operator=held.operator, receipt=held.payload, signature=held.signature)


def close_challenge(
    challenge: ChallengeRecord, log: LogRecord, tiles: TileReader
) -> CloseChallenge:
    """Show that a challenged entry is settled by now.

    Raises:
        Refusal: `accusing.no-case` if the log is not settled so far; `merkle.not-included` if it
            has another entry there; `tile.*`, `merkle.*` for tiles that are not the log's.
    """
    if challenge.index >= log.size:
        raise Refusal("accusing.no-case", f"the log is settled up to {log.size} entries only")
    inclusion = tiles.prove_inclusion(challenge.index)
    leaf = leaf_hash(challenge.entry)
    check_inclusion(leaf, challenge.index, log.size, inclusion, log.root)
    return CloseChallenge(
        operator=challenge.operator,
        session=challenge.session,
        index=challenge.index,
        inclusion=inclusion,
    )


def give_up_challenge(challenge: ChallengeRecord, log: LogRecord, height: int) -> CloseChallenge:
    """End a challenge whose log is settled by now, but shown to nobody; for the challenger alone.

    Raises:
        Refusal: `accusing.no-case` if the log is not settled so far, or its one entry is its root;
            `accusing.not-overdue` up to the deadline.
    """
    if challenge.index >= log.size or log.size == 1:
        raise Refusal("accusing.no-case", f"the log is settled with {log.size} entries")
    if height < challenge.deadline_at:
        raise Refusal(
            "accusing.not-overdue",
            f"the node has up to height {challenge.deadline_at}; the ledger is at {height}",
        )
    return CloseChallenge(
        operator=challenge.operator,
        session=challenge.session,
        index=challenge.index,
        inclusion=(),
    )


def convict_omission(challenge: ChallengeRecord, log: LogRecord, height: int) -> ConvictOmission:
    """Convict a node that let a challenge's deadline pass.

    Raises:
        Refusal: `accusing.no-case` if the log is settled so far; `accusing.not-overdue`.
    """
    if challenge.index < log.size:
        raise Refusal(
            "accusing.no-case", f"the log is settled up to {log.size} entries: late, not left out"
        )
    if height < challenge.deadline_at:
        raise Refusal(
            "accusing.not-overdue",
            f"the node has up to height {challenge.deadline_at}; the ledger is at {height}",
        )
    return ConvictOmission(
        operator=challenge.operator, session=challenge.session, index=challenge.index
    )
