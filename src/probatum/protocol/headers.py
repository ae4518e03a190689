"""Block headers: what a light client believes, and how an engine signs them (`HEADER-1`).

A header commits to the state after its block. Hash and signature are over tagged hashes of the
canonical encoding, so a header cannot pass for anything else. Must not know how blocks are made.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from probatum.protocol.encoding import LedgerValue, encode
from probatum.protocol.hashing import hash_tagged
from probatum.protocol.primitives import Digest, Height, Millis, OperatingKey, OperatingSignature

__all__ = ["ChainId", "Header", "SignedHeader", "compute_header_hash"]

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


class SignedHeader(LedgerValue, frozen=True, kw_only=True):
    """A header with the embedded engine's signature over its hash."""

    header: Header
    key: OperatingKey
    signature: OperatingSignature


def compute_header_hash(header: Header) -> Digest:
    """Compute the hash that the next header cites and the engine signs."""
    return hash_tagged("probatum/header/1", encode(header))
