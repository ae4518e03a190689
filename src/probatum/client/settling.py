"""From a pending bundle to a settled one: which proofs it needs, and putting them together.

Pure functions over bytes that others sent, which are checked against the ledger's proven records.
The records of the bundle itself are their holder's own. Must not know who fetches (`pending`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from probatum.errors import Refusal
from probatum.evidence.custody import CheckedBranch
from probatum.evidence.log import check_place
from probatum.evidence.settlement import (
    Signer,
    check_key_record,
    decode_key_record,
    encode_header,
    list_signers,
)
from probatum.protocol import limits
from probatum.protocol.bundles import decode_bundle, encode_settlement
from probatum.protocol.custody import decode_handover
from probatum.protocol.dsse import Envelope, decode_payload
from probatum.protocol.encoding import decode, decode_document
from probatum.protocol.hexes import address_from_document
from probatum.protocol.mapproof import StateProof, check_state_proof
from probatum.protocol.merkle import Proof, check_inclusion, leaf_hash
from probatum.protocol.messages import GotState
from probatum.protocol.parties import Party
from probatum.protocol.primitives import Address, Digest
from probatum.protocol.receipts import LogPosition, Receipt, decode_receipt
from probatum.protocol.records import LogRecord, get_key_key
from probatum.protocol.statements import compute_record_digest
from probatum.protocol.tiles import TILE_WIDTH, ProvenTiles, needed_tiles, tile_path
from probatum.protocol.trust import HeaderCheck

__all__ = [
    "Pending",
    "ProvenLog",
    "list_tiles",
    "make_pending",
    "read_pending",
    "read_state",
    "settle",
    "settle_again",
]


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A pending bundle, and what of its records only the ledger can prove.

    Attributes:
        operator: Whose log.
        node: The same as the receipt names it.
        place: Which entry of which session, and by when the node promised to settle it.
        leaf: The receipt's leaf hash, which that entry must have.
        signers: The other keys that signed, in the bundle's order.
    """

    bundle: bytes
    operator: Address
    node: Party
    place: LogPosition
    leaf: Digest
    signers: tuple[Signer, ...]

    @property
    def session(self) -> int:
        """Which session of the log."""
        return self.place.session

    @property
    def index(self) -> int:
        """Which entry."""
        return self.place.index

    @property
    def include_by(self) -> int:
        """Height by which the node promised to settle it."""
        return self.place.include_by

    @property
    def keys(self) -> tuple[bytes, ...]:
        """State keys of the `KeyRecord`s to prove, in the bundle's order."""
        return tuple([get_key_key(signer.key) for signer in self.signers])


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenLog:
    """A log session as proven against one header, with the records of keys that came along.

    Attributes:
        header: The signed header as bundles hold it.
        log_proof: What proves `log`, canonically encoded.
        keys: Under a state key what the ledger holds, and what proves it.
    """

    header: str
    log: LogRecord
    log_proof: bytes
    keys: Mapping[bytes, tuple[bytes | None, bytes]]


def _read_branch(envelope: Envelope) -> CheckedBranch:
    payload = decode_payload(envelope)
    return CheckedBranch(
        digest=compute_record_digest(payload),
        record=decode_handover(payload),
        acknowledged=len(envelope.signatures) > 1,
    )


def read_pending(data: bytes) -> Pending:
    """Read what the settlement of a pending bundle takes; signatures are not checked here.

    Raises:
        Refusal: `encoding.*`, `statement.*`, `dsse.*`, `custody.bad-form`,
            `receipt.failed-request`, `receipt.two-owners`.
    """
    bundle = decode_bundle(data)
    if bundle.receipt is None:
        raise Refusal("receipt.failed-request", "a failed request has no receipt to settle")
    payload = decode_payload(bundle.receipt)
    branches = tuple(_read_branch(envelope) for envelope in bundle.custody)
    return make_pending(data, decode_receipt(payload), compute_record_digest(payload), branches)


def make_pending(
    data: bytes, receipt: Receipt, entry: Digest, branches: tuple[CheckedBranch, ...]
) -> Pending:
    """Say what the settlement of a bundle takes whose records are at hand.

    Args:
        data: The pending bundle.
        receipt: Its receipt.
        entry: The receipt's digest, which is its log entry.
        branches: Its hand-overs.

    Raises:
        Refusal: `receipt.two-owners`.
    """
    return Pending(
        bundle=data,
        operator=address_from_document(receipt.node.account),
        node=receipt.node,
        place=receipt.log,
        leaf=leaf_hash(entry),
        signers=list_signers(receipt, branches),
    )


def read_state(state: GotState, keys: tuple[bytes, ...], check: HeaderCheck) -> ProvenLog:
    """Check a full node's answer: a session's record first, then records of keys, all proven.

    Raises:
        Refusal: what `check` raises, `encoding.*`, `mapproof.*`, `settle.wrong-reply`,
            `receipt.unknown-log`.
    """
    header = check(state.header)
    if tuple(item.key for item in state.items) != keys:
        raise Refusal("settle.wrong-reply", "the full node answered with other records")
    proven: dict[bytes, tuple[bytes | None, bytes]] = {}
    for item in state.items:
        limit = 4 * limits.STATE_VALUE_BYTES
        proof = decode_document(StateProof, item.proof, limit_bytes=limit)
        value = check_state_proof(header.state_root, item.key, proof)
        proven[item.key] = (value, item.proof)
    value, log_proof = proven.pop(keys[0])
    if value is None:
        raise Refusal("receipt.unknown-log", "the ledger holds no such log session")
    return ProvenLog(
        header=encode_header(state.header),
        log=decode(LogRecord, value, limit_bytes=limits.STATE_VALUE_BYTES),
        log_proof=log_proof,
        keys=proven,
    )


def _leaf_tile(index: int, size: int) -> str:
    number = index // TILE_WIDTH
    return tile_path(0, number, min(TILE_WIDTH, size - number * TILE_WIDTH))


def list_tiles(index: int, size: int) -> tuple[str, ...]:
    """List the tiles to fetch for an entry: those of its inclusion proof, and its own."""
    return tuple(dict.fromkeys((*needed_tiles(index, size), _leaf_tile(index, size))))


def settle(item: Pending, proven: ProvenLog, tiles: ProvenTiles) -> bytes:
    """Make a bundle's settlement, encoded; check all that it adds to what was checked before.

    The records of the bundle were checked, or signed, by who holds it, the header and the state's
    proofs by `read_state`: what is left is that they are of these records, and the inclusion.

    Args:
        item: The pending bundle.
        proven: Its log session.
        tiles: Of that log at its settled size; at least those that `list_tiles` lists.

    Raises:
        Refusal: `receipt.left-out` if the settled log provably has another entry at the promised
            index (`LOG-1`); `tile.*` and `merkle.*` for tiles that are not the log's;
            `receipt.wrong-log`, `receipt.wrong-key`, `receipt.unknown-key`,
            `receipt.wrong-account`, `receipt.retired-key`.
    """
    check_place(item.node, item.place, proven.log)
    leaf, proof = tiles.prove(item.index)
    if leaf != item.leaf:
        # The settled root proves that leaf, so the log has another entry there for good.
        why = f"the settled log has another entry at index {item.index}"
        raise Refusal("receipt.left-out", why)
    return _encode(item, proven, proof)


def settle_again(item: Pending, proven: ProvenLog, proof: Proof) -> bytes:
    """Make a settlement of an inclusion proof that is at hand; the same as `settle` otherwise.

    Args:
        item: The bundle, pending.
        proven: Its log session.
        proof: From an earlier settlement; good as long as the log has not grown since.

    Raises:
        Refusal: `merkle.*` if it has; and as `settle`.
    """
    check_place(item.node, item.place, proven.log)
    check_inclusion(item.leaf, item.index, proven.log.size, proof, proven.log.root)
    return _encode(item, proven, proof)


def _encode(item: Pending, proven: ProvenLog, proof: Proof) -> bytes:
    key_proofs = []
    for signer in item.signers:
        value, key_proof = proven.keys[get_key_key(signer.key)]
        record = decode_key_record(signer.key, value)
        check_key_record(signer.key, record, signer.party, signer.signed_at)
        key_proofs.append(key_proof)
    return encode_settlement(
        inclusion=tuple([node.hex() for node in proof]),
        header=proven.header,
        log=proven.log_proof,
        keys=tuple(key_proofs),
    )
