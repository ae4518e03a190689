"""Types of fields that bodies on several pages share. Must not know any body."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

from probatum.protocol import limits
from probatum.protocol.primitives import Digest

__all__ = ["FieldTypes", "Proof", "ReceiptBytes", "StatementBytes", "Vouchers"]

FieldTypes: TypeAlias = tuple[tuple[str, str], ...]
"""A body's own fields as a wallet shows them: name and EIP-712 type."""
StatementBytes: TypeAlias = Annotated[bytes, Meta(max_length=limits.STATEMENT_BYTES)]
"""A signed statement's DSSE payload; its signature travels beside it."""
ReceiptBytes: TypeAlias = StatementBytes
"""A receipt's DSSE payload."""
Proof: TypeAlias = Annotated[tuple[Digest, ...], Meta(max_length=limits.PROOF_HASHES)]
"""An RFC 6962 inclusion or consistency proof."""
Vouchers: TypeAlias = Annotated[
    tuple[Annotated[bytes, Meta(max_length=limits.VOUCHER_BYTES)], ...],
    Meta(max_length=limits.VOUCHERS),
]
"""Signed vouchers, each encoded (`probatum.protocol.vouchers`): a wallet shows them as bytes."""
