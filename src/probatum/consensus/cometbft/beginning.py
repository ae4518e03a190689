"""InitChain: whether the engine begins the very chain of our genesis document (`ABCI-1`).

Must not know stores. Read next: `genesis`, which writes what is held up here.
"""

from __future__ import annotations

from probatum.consensus.cometbft.genesis import compute_engine_chain_id
from probatum.consensus.cometbft.messages import RequestInitChain
from probatum.errors import Refusal
from probatum.ledger.genesis import Genesis, compute_genesis_set, decode_genesis, get_domain

__all__ = ["check_init_chain"]


def check_init_chain(genesis: Genesis, request: RequestInitChain, app_version: int) -> None:
    """Check that the engine's genesis file is the one that belongs to our document.

    Args:
        genesis: Our document.
        request: What the engine read from its file.
        app_version: The rules that the first block is decided by.

    Raises:
        Refusal: `abci.other-genesis`, `encoding.*`, `genesis.*`.
    """
    domain, version = get_domain(genesis), request.consensus_params
    seats = compute_genesis_set(genesis).seats
    wanted = sorted((bytes(seat.key), seat.power) for seat in seats)
    given = sorted((found.pub_key.ed25519 or b"", found.power) for found in request.validators)
    for name, differs in (
        (
            "chain id",
            request.chain_id != compute_engine_chain_id(domain.chain_id, domain.genesis_hash),
        ),
        ("genesis document", decode_genesis(request.app_state_bytes) != genesis),
        ("validators", wanted != given),
        ("first height", request.initial_height != 1),
        (
            "application version",
            not (version and version.version and version.version.app == app_version),
        ),
    ):
        if differs:
            raise Refusal(
                "abci.other-genesis",
                f"CometBFT's genesis file has another {name} than genesis.json of this node",
                hint="take both files from the same network",
            )
