"""Until when a challenge cannot convict, also where its node lost that log (`LOG-1`).

Shared by the ledger, which keeps to it, and by prosecutors, who wait for it.
"""

from __future__ import annotations

from probatum.protocol.records import ChallengeRecord, LossRecord

__all__ = ["compute_deadline"]


def compute_deadline(challenge: ChallengeRecord, loss: LossRecord | None, epoch_blocks: int) -> int:
    """Compute the last height at which a challenge does not convict.

    Args:
        challenge: The challenge.
        loss: The operator's last declared loss, if any.
        epoch_blocks: What a node has, from its declaration, to hand all receipts back.
    """
    if loss is None or challenge.session > loss.session:
        return challenge.deadline_at
    # One more declaration must not put the same challenge off again: at most an epoch of its own.
    handed_back_by = min(loss.declared_at, challenge.deadline_at) + epoch_blocks
    return max(challenge.deadline_at, handed_back_by)
