"""How an application of CometBFT works here: what an operator may choose, and consensus never sees.

Must not know how it is used (`adapter`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from probatum.consensus.cometbft.versions import AppVersions
from probatum.protocol import limits

__all__ = ["AdapterSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSettings:
    """How an application works; none of it enters consensus.

    Attributes:
        block_transactions: At most so many in a block that this node proposes, a voucher counting
            as one too.
        keep_changes: For so many sealed heights followers get changes instead of a snapshot.
        keep_blocks: So many of the last blocks are kept, here and by the engine; 0 keeps all.
        versions: Which rules decide which block.
        oldest_snapshot: A snapshot of a lower height is not restored.
        cached_nodes: Tree nodes held in memory, in each of two generations (1 KB each).
        cached_records: Records held in memory, likewise.
    """

    block_transactions: int = limits.BLOCK_TRANSACTIONS
    keep_changes: int = 1_024
    keep_blocks: int = 0
    versions: AppVersions = field(default_factory=AppVersions)
    oldest_snapshot: int = 0
    cached_nodes: int = 50_000
    cached_records: int = 50_000
