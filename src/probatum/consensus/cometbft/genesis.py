"""The engine's own genesis file, made of ours; and whether one that is there is that one.

CometBFT hands what it starts from to the application (InitChain), and every validator must start
from the same: so the file is a function of our genesis document, and carries it. What was measured
to go wrong otherwise: ``version.app`` must equal what Info says, or the repair of a diverged node
cannot start again. Must not know where files lie. Read next: `settings`.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from probatum.errors import Misuse, Refusal
from probatum.ledger.genesis import (
    GENESIS_BYTES,
    Genesis,
    compute_genesis_hash,
    compute_genesis_set,
    encode_genesis,
)
from probatum.protocol import limits
from probatum.protocol.commits import compute_engine_chain_id
from probatum.protocol.primitives import address_to_hex

__all__ = [
    "APP_VERSION",
    "ENGINE_GENESIS_BYTES",
    "check_engine_genesis",
    "compute_engine_chain_id",
    "make_engine_genesis",
]

APP_VERSION: Final = 1
"""The version of the rules that decide blocks: Info says it, and every engine header carries it."""
ENGINE_GENESIS_BYTES: Final = 2 * GENESIS_BYTES
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NANOS_A_MS: Final = 1_000_000
_KEY_TYPE: Final = "tendermint/PubKeyEd25519"


def make_engine_genesis(genesis: Genesis) -> bytes:
    """Make CometBFT's ``genesis.json``; the same bytes for everybody.

    Raises:
        Misuse: `genesis.not-for-cometbft`.
    """
    consensus = genesis.consensus
    if genesis.engine != "cometbft" or consensus is None:
        raise Misuse("genesis.not-for-cometbft", "this chain has the embedded engine")
    moment = _EPOCH + timedelta(milliseconds=genesis.time_ms)
    document: dict[str, Any] = {
        "genesis_time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "chain_id": compute_engine_chain_id(genesis.chain_id, compute_genesis_hash(genesis)),
        "initial_height": "1",
        "consensus_params": {
            "block": {"max_bytes": str(limits.BLOCK_BYTES), "max_gas": "-1"},
            "evidence": {
                "max_age_num_blocks": str(consensus.evidence_age_blocks),
                "max_age_duration": str(consensus.evidence_age_ms * _NANOS_A_MS),
                "max_bytes": str(limits.EVIDENCE_BYTES),
            },
            "validator": {"pub_key_types": ["ed25519"]},
            "version": {"app": str(APP_VERSION)},
            "abci": {"vote_extensions_enable_height": "0"},
        },
        "validators": [
            {
                "address": hashlib.sha256(seat.key).digest()[:20].hex().upper(),
                "pub_key": {"type": _KEY_TYPE, "value": base64.b64encode(seat.key).decode()},
                "power": str(seat.power),
                "name": address_to_hex(seat.account),
            }
            for seat in compute_genesis_set(genesis).seats
        ],
        "app_hash": "",
        "app_state": msgspec.Raw(encode_genesis(genesis)),
    }
    # On one line: the engine hands `app_state` on as it stands, and ours has one form (`PROTO-1`).
    return msgspec.json.encode(document) + b"\n"


def check_engine_genesis(genesis: Genesis, data: bytes) -> None:
    """Check that an engine's genesis file is the one that belongs to our genesis document.

    Raises:
        Refusal: `genesis.other-engine-genesis`.
    """
    wanted = msgspec.json.decode(make_engine_genesis(genesis))
    try:
        found = msgspec.json.decode(data) if len(data) <= ENGINE_GENESIS_BYTES else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _refuse("it is no JSON object of a fitting size")
    differing = sorted(key for key in {*wanted, *found} if wanted.get(key) != found.get(key))
    if differing:
        raise _refuse(f"they differ in {', '.join(differing):.200}")


def _refuse(why: str) -> Refusal:
    return Refusal(
        "genesis.other-engine-genesis",
        f"CometBFT's genesis file is not the one of this chain: {why}",
        hint="take both genesis files from the same network, or have `probatum network init` "
        "write them",
    )
