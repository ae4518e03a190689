"""A header that somebody was shown, held against the engine's own (`LIGHT-1`).

Whoever was shown it need not be believed: signatures are checked here, and by every engine again.
Must not know who reports, nor what the ledger does to who is convicted.
"""

from __future__ import annotations

import asyncio

from probatum.consensus.cometbft.light.attacks import (
    check_attack,
    list_common_heights,
    make_attack,
)
from probatum.consensus.cometbft.light.commits import check_overlap
from probatum.consensus.cometbft.light.seals import check_subject
from probatum.errors import Fault, Refusal
from probatum.nodes.shell.engine_rpc import EngineRpc
from probatum.protocol.commits import compute_engine_chain_id
from probatum.protocol.eip712 import Domain
from probatum.protocol.headers import CommitSeal
from probatum.protocol.messages import ReportAttack

__all__ = ["report_attack"]


async def report_attack(
    rpc: EngineRpc, domain: Domain, sealed_height: int, message: ReportAttack, timeout_s: float
) -> None:
    """Make evidence of a header that is not the chain's, and give it to the engine.

    1. The header is of this chain, and of a height that is decided here.
    2. It is not this chain's, and more than two thirds of the set that it names signed it.
    3. More than a third of the power of a height of this chain signed it: the height before, or
       the one that the reporter believes.

    Args:
        rpc: The engine.
        domain: The chain.
        sealed_height: Up to where its headers are sealed (`SEAL-1`).
        message: What was reported.
        timeout_s: For each question to the engine.

    Raises:
        Refusal: `light.*`; `light.not-yet` if the chain has not come so far; what does not hold
            otherwise, or `light.evidence-refused` if the engine finds so.
        Fault: `engine.*`.
    """
    # 1.
    seal = check_subject(message.header)
    height = seal.header.height
    if seal.header.chain_id != compute_engine_chain_id(domain.chain_id, domain.genesis_hash):
        raise Refusal("light.other-chain", "the header is of another chain than this full node's")
    if height > sealed_height:
        # The engine knows who decided a block for good once the next one cites it.
        raise Refusal(
            "light.not-yet",
            f"this full node's chain is sealed up to height {sealed_height}, the header is of "
            f"height {height}",
            hint="report it again when the chain is there",
        )
    # 2.
    own = await _get_seal(rpc, height, timeout_s)
    await asyncio.to_thread(check_attack, seal, own)
    # 3.
    common = await _find_common(rpc, seal, own, message.common, timeout_s)
    await rpc.submit_attack(make_attack(seal, own, common), timeout_s)


async def _find_common(
    rpc: EngineRpc, seal: CommitSeal, own: CommitSeal, believed: int, timeout_s: float
) -> CommitSeal:
    why = Refusal("light.before-trust", "there is no height before the header's")
    for height in list_common_heights(seal, own, believed):
        try:
            common = await _get_seal(rpc, height, timeout_s)
            check_overlap(seal, common.validators)
        except Refusal as refusal:
            why = refusal
        else:
            return common
    raise why


async def _get_seal(rpc: EngineRpc, height: int, timeout_s: float) -> CommitSeal:
    """Get the engine's own header of a height, with its commit and set."""
    try:
        return await rpc.get_seal(height - 1, timeout_s)
    except Fault as fault:
        if fault.code != "engine.refused":
            raise
        raise Refusal(
            "light.forgotten",
            f"this full node's engine does not keep height {height}: {fault.message}",
            hint="report it to a full node that keeps older blocks",
        ) from None
