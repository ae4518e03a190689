"""What a handler is told besides the state: chain, height, time, parameters.

Must not know blocks or engines.
"""

from __future__ import annotations

from dataclasses import dataclass

from probatum.ledger.consensus_params import ConsensusParams
from probatum.ledger.params import Params
from probatum.protocol.eip712 import Domain

__all__ = ["Context"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The block that a transaction is applied in.

    Attributes:
        domain: What signatures must be for.
        height: The block's height.
        time_ms: The block's time; of all rules only the unbonding of consensus stake reads it.
        params: The parameters at the block's start.
        consensus: Those of validators; None where there are none.
    """

    domain: Domain
    height: int
    time_ms: int
    params: Params
    consensus: ConsensusParams | None
