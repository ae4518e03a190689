"""What a believed header of the engine means for a header of ours (`HEADER-1`, `LIGHT-1`).

The engine's header of height H + 1 carries the application's hash after H, and that is the hash
of our header H. Must not know how the engine's header came to be believed (`states`).
"""

from __future__ import annotations

from probatum.consensus.cometbft.light.commits import check_commit
from probatum.consensus.cometbft.light.states import LightState, advance
from probatum.errors import Refusal
from probatum.protocol.commits import compute_engine_chain_id
from probatum.protocol.headers import CommitSeal, Header, SignedHeader, compute_header_hash
from probatum.protocol.trust import CommitTrust, check_chain

__all__ = ["check_sealed", "check_subject", "seal_header"]


def seal_header(header: Header, seal: CommitSeal) -> SignedHeader:
    """Seal a header of ours by what its engine gave.

    Args:
        header: Ours.
        seal: The engine's next header, its commit and its set, as they came.

    Raises:
        Refusal: as `check_subject` and `commits.check_commit`: the engine may give another commit
            later, so try again.
    """
    signed = SignedHeader(header=header, seal=seal)
    check_commit(check_subject(signed))
    return signed


def check_subject(signed: SignedHeader) -> CommitSeal:
    """Check that a seal is CometBFT's, and about this very header and chain.

    Raises:
        Refusal: `trust.other-seal`, `light.other-chain`, `light.other-height`,
            `light.other-app-hash`.
    """
    header, seal = signed.header, signed.seal
    if not isinstance(seal, CommitSeal):
        raise Refusal("trust.other-seal", "the header is sealed by another engine than is trusted")
    if seal.header.chain_id != compute_engine_chain_id(header.chain_id, header.genesis_hash):
        raise Refusal("light.other-chain", "the engine's header is of another chain")
    if seal.header.height != header.height + 1:
        raise Refusal(
            "light.other-height",
            f"the engine's header of height {seal.header.height} says nothing of {header.height}",
        )
    if seal.header.app_hash != compute_header_hash(header):
        raise Refusal("light.other-app-hash", "the engine's header carries another header of ours")
    return seal


def check_sealed(
    trust: CommitTrust, state: LightState, signed: SignedHeader, now_ms: int
) -> LightState:
    """Check a header of ours by its seal, and believe the engine's header in that.

    Args:
        trust: Names the chain and the trusting period.
        state: What is believed.
        signed: A header of the believed height or a later one.
        now_ms: Unix time.

    Returns:
        What is believed then.

    Raises:
        Refusal: `trust.other-chain`, and as `check_subject` and `states.advance`.
    """
    check_chain(trust, signed.header)
    seal = check_subject(signed)
    return advance(state, seal, now_ms=now_ms, trusting_period_ms=trust.trusting_period_ms)
