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
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from probatum.consensus.cometbft.versions import APP_VERSION
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
    "ENGINE_GENESIS_BYTES",
    "check_engine_genesis",
    "compute_engine_chain_id",
    "make_engine_genesis",
    "read_app_version",
]

ENGINE_GENESIS_BYTES: Final = 2 * GENESIS_BYTES
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NANOS_A_MS: Final = 1_000_000
_KEY_TYPE: Final = "tendermint/PubKeyEd25519"


class _Version(msgspec.Struct, frozen=True):
    app: Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,8}\Z")]


class _Params(msgspec.Struct, frozen=True):
    version: _Version


class _Begins(msgspec.Struct, frozen=True):
    """As much of the engine's file as says which rules the chain begins by."""

    consensus_params: _Params


def make_engine_genesis(genesis: Genesis, app_version: int = APP_VERSION) -> bytes:
    """Make CometBFT's ``genesis.json``; the same bytes for everybody.

    Args:
        genesis: Our document.
        app_version: The rules that the first block is decided by.

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
            "version": {"app": str(app_version)},
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
    wanted = msgspec.json.decode(make_engine_genesis(genesis, read_app_version(data)))
    found = msgspec.json.decode(data)
    differing = sorted(key for key in {*wanted, *found} if wanted.get(key) != found.get(key))
    if differing:
        raise _refuse(f"they differ in {', '.join(differing):.200}")


def read_app_version(data: bytes) -> int:
    """Read the rules that a chain's first block is decided by from an engine's genesis file.

    Raises:
        Refusal: `genesis.other-engine-genesis` if it names none.
    """
    try:
        if len(data) <= ENGINE_GENESIS_BYTES:
            return int(msgspec.json.decode(data, type=_Begins).consensus_params.version.app)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    raise _refuse("it is no JSON object of a fitting size that names an app version")


def _refuse(why: str) -> Refusal:
    return Refusal(
        "genesis.other-engine-genesis",
        f"CometBFT's genesis file is not the one of this chain: {why}",
        hint="take both genesis files from the same network, or have `probatum network init` "
        "write them",
    )
