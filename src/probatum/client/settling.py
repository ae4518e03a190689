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
from probatum.evidence.log import compute_leaf
from probatum.evidence.settlement import (
    check_against_header,
    encode_header,
    list_needed_keys,
)
from probatum.protocol import limits
from probatum.protocol.bundles import Bundle, Settlement, decode_bundle, encode_bundle
from probatum.protocol.custody import decode_handover
from probatum.protocol.dsse import Envelope, decode_payload
from probatum.protocol.encoding import decode, decode_document
from probatum.protocol.headers import SignedHeader
from probatum.protocol.hexes import address_from_document
from probatum.protocol.mapproof import StateProof, check_state_proof
from probatum.protocol.merkle import check_inclusion
from probatum.protocol.messages import GotState
from probatum.protocol.primitives import Address, make_digest
from probatum.protocol.receipts import Receipt, decode_receipt
from probatum.protocol.records import LogRecord, get_key_key
from probatum.protocol.statements import compute_record_digest
from probatum.protocol.tiles import TILE_WIDTH, TileReader, needed_tiles, tile_path
from probatum.protocol.trust import Trust, check_signed_header

__all__ = [
    "Pending",
    "ProvenLog",
    "list_tiles",
    "make_pending",
    "read_pending",
    "read_state",
    "settle",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A pending bundle, and what its settlement takes.

    Attributes:
        operator: Whose log.
        session: Which session of it.
        index: Which entry.
        include_by: Height by which the node promised to settle it.
        keys: State keys of the `KeyRecord`s to prove, in the bundle's order.
    """

    bundle: bytes
    operator: Address
    session: int
    index: int
    include_by: int
    keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenLog:
    """A log session as proven against one header, with the proofs of keys that came along."""

    header: SignedHeader
    log: LogRecord
    log_proof: StateProof
    key_proofs: Mapping[bytes, StateProof]


def _read_branch(envelope: Envelope) -> CheckedBranch:
    payload = decode_payload(envelope)
    return CheckedBranch(
        digest=compute_record_digest(payload),
        record=decode_handover(payload),
        acknowledged=len(envelope.signatures) > 1,
    )


def _read_records(bundle: Bundle) -> tuple[Receipt, tuple[CheckedBranch, ...]]:
    if bundle.receipt is None:
        raise Refusal("receipt.failed-request", "a failed request has no receipt to settle")
    receipt = decode_receipt(decode_payload(bundle.receipt))
    return receipt, tuple(_read_branch(envelope) for envelope in bundle.custody)


def read_pending(data: bytes) -> Pending:
    """Read what the settlement of a pending bundle takes; signatures are not checked here.

    Raises:
        Refusal: `encoding.*`, `statement.*`, `dsse.*`, `custody.bad-form`,
            `receipt.failed-request`, `receipt.two-owners`.
    """
    bundle = decode_bundle(data)
    return make_pending(data, *_read_records(bundle))


def make_pending(data: bytes, receipt: Receipt, branches: tuple[CheckedBranch, ...]) -> Pending:
    """Say what the settlement of a bundle takes whose records are at hand.

    Raises:
        Refusal: `receipt.two-owners`.
    """
    needed = list_needed_keys(receipt, branches)
    return Pending(
        bundle=data,
        operator=address_from_document(receipt.node.account),
        session=receipt.log.session,
        index=receipt.log.index,
        include_by=receipt.log.include_by,
        keys=tuple(get_key_key(key) for key, _ in needed),
    )


def read_state(state: GotState, keys: tuple[bytes, ...], trust: Trust) -> ProvenLog:
    """Check a full node's answer: a session's record first, then records of keys, all proven.

    Raises:
        Refusal: `trust.*`, `ed25519.bad-signature`, `encoding.*`, `mapproof.*`,
            `settle.wrong-reply`, `receipt.unknown-log`.
    """
    header = check_signed_header(trust, state.header)
    if tuple(item.key for item in state.items) != keys:
        raise Refusal("settle.wrong-reply", "the full node answered with other records")
    proofs: dict[bytes, StateProof] = {}
    for item in state.items:
        limit = 4 * limits.STATE_VALUE_BYTES
        proof = decode_document(StateProof, item.proof, limit_bytes=limit)
        check_state_proof(header.state_root, item.key, proof)
        proofs[item.key] = proof
    first = proofs.pop(keys[0])
    if first.value is None:
        raise Refusal("receipt.unknown-log", "the ledger holds no such log session")
    log = decode(LogRecord, bytes.fromhex(first.value), limit_bytes=limits.STATE_VALUE_BYTES)
    return ProvenLog(header=state.header, log=log, log_proof=first, key_proofs=proofs)


def _leaf_tile(index: int, size: int) -> str:
    number = index // TILE_WIDTH
    return tile_path(0, number, min(TILE_WIDTH, size - number * TILE_WIDTH))


def list_tiles(index: int, size: int) -> tuple[str, ...]:
    """List the tiles to fetch for an entry: those of its inclusion proof, and its own."""
    return tuple(dict.fromkeys((*needed_tiles(index, size), _leaf_tile(index, size))))


def settle(item: Pending, proven: ProvenLog, tiles: TileReader) -> bytes:
    """Make the settled bundle; check all that the settlement adds to what was checked before.

    The records of the bundle were checked, or signed, by who holds it, and the header by
    `read_state`: what is left are the proofs, and that they are of these records.

    Args:
        item: The pending bundle.
        proven: Its log session.
        tiles: Of that log at its settled size; at least those that `list_tiles` lists.

    Raises:
        Refusal: `receipt.left-out` if the settled log provably has another entry at the promised
            index (`LOG-1`); `tile.*` and `merkle.*` for tiles that are not the log's; others as
            `check_against_header`.
    """
    bundle = decode_bundle(item.bundle)
    receipt, branches = _read_records(bundle)
    assert bundle.receipt is not None, "_read_records has refused a bundle without"
    proof = tiles.prove_inclusion(item.index)
    _check_not_left_out(bundle.receipt, item.index, proven.log, proof, tiles)
    settlement = Settlement(
        inclusion=tuple(node.hex() for node in proof),
        header=encode_header(proven.header),
        log=proven.log_proof,
        keys=tuple(proven.key_proofs[key] for key in item.keys),
    )
    check_against_header(settlement, proven.header.header, bundle.receipt, receipt, branches)
    return encode_bundle(msgspec.structs.replace(bundle, settlement=settlement))


def _check_not_left_out(
    receipt: Envelope,
    index: int,
    log: LogRecord,
    proof: tuple[bytes, ...],
    tiles: TileReader,
) -> None:
    """Tell a node that left the receipt out from one that only serves bad tiles.

    If the leaf hash that the log's own tile shows at the index is proven by the log's settled
    root, and is not the receipt's, the log has another entry there for good.
    """
    shown = tiles.get_hash(0, index)
    if shown == compute_leaf(receipt):
        return
    check_inclusion(make_digest(shown), index, log.size, proof, log.root)
    raise Refusal("receipt.left-out", f"the settled log has another entry at index {index}")
