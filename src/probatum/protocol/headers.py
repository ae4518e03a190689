"""Block headers: what a light client believes, and how an engine seals them (`HEADER-1`).

A header commits to the state after its block. Its hash is a tagged hash of the canonical
encoding, so a header cannot pass for anything else; the engine's seal is over that hash. Must not
know how blocks are made, nor whose seal is believed (`trust`).
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

from probatum.protocol import limits
from probatum.protocol.commits import Commit, EngineHeader, Validator
from probatum.protocol.encoding import LedgerValue, encode
from probatum.protocol.hashing import hash_tagged
from probatum.protocol.primitives import Digest, Height, Millis, OperatingKey, OperatingSignature

__all__ = [
    "ChainId",
    "CommitSeal",
    "Header",
    "KeySeal",
    "Seal",
    "SignedHeader",
    "compute_header_hash",
]

ChainId = Annotated[int, Meta(ge=1, lt=1 << 53)]
"""EIP-155 chain id; below 2**53 so that every JSON reader takes it."""


class Header(LedgerValue, frozen=True, kw_only=True):
    """One block's header.

    Attributes:
        previous: Hash of the header before; of height 1, the genesis hash.
        state_root: Root of the state map *after* this block.
        transactions_root: RFC 6962 root over the block's transaction bytes.
        results_root: RFC 6962 root over the transactions' result values.
        time_ms: Unix time as the proposer saw it, strictly increasing; only light clients and
            unbonding read it.
    """

    chain_id: ChainId
    genesis_hash: Digest
    height: Height
    previous: Digest
    state_root: Digest
    transactions_root: Digest
    results_root: Digest
    time_ms: Millis


class KeySeal(LedgerValue, frozen=True, kw_only=True, tag=1):
    """The embedded engine's seal: one key's signature over the header's hash."""

    key: OperatingKey
    signature: OperatingSignature


class CommitSeal(LedgerValue, frozen=True, kw_only=True, tag=2):
    """CometBFT's seal: its next header carries our header's hash, and validators signed it.

    Attributes:
        header: The engine's header of the height *after* ours; its `app_hash` is the hash of our
            header.
        commit: The votes that decided it.
        validators: The set of that height, in the engine's order.
    """

    header: EngineHeader
    commit: Commit
    validators: Annotated[tuple[Validator, ...], Meta(min_length=1, max_length=limits.VALIDATORS)]


Seal: TypeAlias = KeySeal | CommitSeal
"""What makes others believe a header; which kind, the network's engine decides."""


class SignedHeader(LedgerValue, frozen=True, kw_only=True):
    """A header with its engine's seal."""

    header: Header
    seal: Seal


def compute_header_hash(header: Header) -> Digest:
    """Compute the hash that the next header cites and the engine seals."""
    return hash_tagged("probatum/header/1", encode(header))
