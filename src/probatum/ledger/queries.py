"""Answering questions about the committed state, with proofs where they are asked for.

Must not know messages' ways nor how records are stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from probatum.errors import Refusal
from probatum.ledger.consensus_params import decode_consensus_params
from probatum.ledger.state import Reader
from probatum.ledger.statemap import MerkleMap
from probatum.protocol import limits, records, validators
from probatum.protocol.encoding import LedgerValue, decode, encode_document
from probatum.protocol.messages import StateItem

__all__ = ["Scanner", "decode_record", "get_items", "list_items"]

_KINDS: Final[tuple[tuple[bytes, type[LedgerValue]], ...]] = (
    (records.ACCOUNT, records.Account),
    (records.CHALLENGE, records.ChallengeRecord),
    (records.ESCROW, records.EscrowRecord),
    (records.KEY, records.KeyRecord),
    (records.LOG, records.LogRecord),
    (records.LOSS, records.LossRecord),
    (records.MODEL, records.ModelRecord),
    (records.NAME, records.NameRecord),
    (records.NODE, records.NodeRecord),
    (records.OFFENCE, records.OffenceRecord),
    (records.OFFER, records.OfferRecord),
    (records.PACKAGE, records.PackageNameRecord),
    (records.PUBLISHER, records.PublisherRecord),
    (records.PUBLISHER_KEY, records.PublisherKeyRecord),
    (records.RETURNED, records.ReturnRecord),
    (records.STAKE, records.StakeRecord),
    (validators.CONSENSUS_KEY, validators.ConsensusKeyRecord),
    (validators.INFRACTION, validators.InfractionRecord),
    (validators.MISSED, validators.MissedRecord),
    (validators.VALIDATOR, validators.ValidatorRecord),
)


class Scanner(Protocol):
    """Where committed records are listed from."""

    def __call__(self, prefix: bytes, after: bytes, limit: int) -> Iterable[tuple[bytes, bytes]]:
        """Yield at most `limit` records under a prefix, in key order, with keys above `after`."""


def get_items(
    reader: Reader, state_map: MerkleMap, keys: tuple[bytes, ...], *, prove: bool
) -> tuple[StateItem, ...]:
    """Get records, with a proof each (of absence too) if asked.

    Args:
        reader: The committed records.
        state_map: The map at the same height.
        keys: Which; absent ones come back without a value.
        prove: Whether to add proofs against the map's root.
    """
    items = []
    for key in keys:
        value = reader.get(key)
        proof = encode_document(state_map.prove(key, value)) if prove else b""
        items.append(StateItem(key=key, value=value, proof=proof))
    return tuple(items)


def list_items(
    scan: Scanner, prefix: bytes, after: bytes, limit: int
) -> tuple[tuple[StateItem, ...], bool]:
    """List records under a prefix, unproven; the second value tells whether there are more."""
    found = list(scan(prefix, after, limit + 1))
    items = tuple(StateItem(key=key, value=value, proof=b"") for key, value in found[:limit])
    return items, len(found) > limit


def decode_record(key: bytes, value: bytes) -> LedgerValue:
    """Decode any record but the ledger's parameters by its key.

    Raises:
        Refusal: `ledger.unknown-record`, `encoding.*`.
    """
    if key == records.SUPPLY_KEY:
        return decode(records.Supply, value, limit_bytes=limits.STATE_VALUE_BYTES)
    if key == validators.VALIDATOR_SET_KEY:
        return decode(validators.ValidatorSet, value, limit_bytes=limits.STATE_VALUE_BYTES)
    if key == validators.CONSENSUS_PARAMS_KEY:
        return decode_consensus_params(value)
    for prefix, kind in _KINDS:
        if key.startswith(prefix):
            return decode(kind, value, limit_bytes=limits.STATE_VALUE_BYTES)
    raise Refusal("ledger.unknown-record", f"no kind of record has the key {key[:40]!r}")
