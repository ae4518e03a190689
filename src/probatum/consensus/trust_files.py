"""The first trust file of a network, made of its genesis document, whichever engine it names.

Whoever has the genesis document by another way than the network needs nothing else to begin.
Must not know how headers are checked (`trusting`), nor where files lie.
"""

from __future__ import annotations

from typing import Final

from probatum.ledger.genesis import (
    Genesis,
    compute_genesis_hash,
    compute_genesis_set,
    get_engine_key,
)
from probatum.protocol.trust import TRUST_FORMAT, CommitTrust, KeyTrust, Trust, TrustedValidator

__all__ = ["make_trust"]

_PERIOD: Final = (2, 3)
"""Of the time that stake is held after it was taken back: a third is left to act on evidence."""


def make_trust(genesis: Genesis) -> Trust:
    """Make the trust file that believes genesis (`HEADER-1`, `LIGHT-1`)."""
    genesis_hash = compute_genesis_hash(genesis).hex()
    if genesis.engine == "embedded":
        return KeyTrust(
            format=TRUST_FORMAT,
            chain_id=genesis.chain_id,
            genesis_hash=genesis_hash,
            engine="embedded",
            key=get_engine_key(genesis).hex(),
        )
    assert genesis.consensus is not None, "decode_genesis demands it"
    numerator, denominator = _PERIOD
    return CommitTrust(
        format=TRUST_FORMAT,
        chain_id=genesis.chain_id,
        genesis_hash=genesis_hash,
        engine="cometbft",
        height=0,
        header_hash=genesis_hash,
        time_ms=genesis.time_ms,
        trusting_period_ms=max(
            1, genesis.consensus.consensus_unbonding_ms * numerator // denominator
        ),
        validators=tuple(
            TrustedValidator(key=seat.key.hex(), power=seat.power)
            for seat in compute_genesis_set(genesis).seats
        ),
    )
