"""Founding a network by parties who share no machine (`FOUND-1`).

Each makes a home with its keys and tells the others what may be known of it (`found_home`); one
gathers that into a genesis document (`gather`); each installs the document in its own home if its
own keys stand in it (`install_genesis`). No secret leaves its machine. Must not know processes.
Read next: `probatum.protocol.founders`, `joining`.
"""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from pathlib import Path
from typing import Final

from probatum.consensus.cometbft.settings import EngineSettings
from probatum.errors import Fault, Refusal
from probatum.ledger.genesis import Genesis, compute_genesis_hash, make_validator_genesis
from probatum.nodes.shell.config import read_small_file
from probatum.ops.engine_homes import get_node_id, load_validator_key
from probatum.ops.joining import Joined, check_place, make_home, write_chain
from probatum.protocol.founders import (
    FOUNDER_BYTES,
    Founder,
    decode_founder,
    encode_founder,
    sign_founder,
)
from probatum.protocol.primitives import UNITS_PER_TOKEN, Address, ConsensusKey, address_to_hex
from probatum.protocol.secp256k1 import AccountSigner

__all__ = [
    "FOUNDER",
    "found_home",
    "gather",
    "install_genesis",
    "is_founder_home",
    "is_here_alone",
    "load_founder",
]

FOUNDER: Final = "founder.json"


def is_founder_home(home: Path) -> bool:
    """Whether a home was made by a founder, and waits for the genesis document."""
    return (home / FOUNDER).is_file() and not (home / "genesis.json").exists()


def is_here_alone(host: str) -> bool:
    """Whether a host names whatever machine asks for it, so that no other is reached by it."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
    return address.is_loopback or address.is_unspecified


def found_home(home: Path, account: AccountSigner, *, name: str, host: str, port: int) -> Founder:
    """Make a founder's home, whole or not at all: its keys, and what others may know of them.

    Args:
        home: A new folder.
        account: Whose stake it will be; its key is not kept here.
        name: For people.
        host: Where other engines will reach this one.
        port: The port there.

    Raises:
        Refusal: `network.home-exists`, `network.bad-place`, `encoding.*` for a name that is none.
        Fault: `network.disk`, `key.unwritable`.
    """
    check_place(host, port)
    with make_home(home) as (fresh, voter):
        bare = Founder(
            format="probatum-founder/1",
            name=name,
            account=address_to_hex(account.address),
            key=voter.key.hex(),
            engine=get_node_id(fresh),
            host=host,
            port=port,
        )
        data = encode_founder(sign_founder(bare, account, voter))
        founder = decode_founder(data)
        (fresh / FOUNDER).write_bytes(data + b"\n")
    return founder


def load_founder(path: Path) -> Founder:
    """Load a founder file. Raises Refusal `config.missing`, `encoding.*`, `founder.*`."""
    return decode_founder(read_small_file(path, limit_bytes=FOUNDER_BYTES))


def gather(
    founders: tuple[Founder, ...],
    *,
    chain_id: int,
    time_ms: int,
    stake_tokens: int,
    balance_tokens: int,
) -> Genesis:
    """Make the genesis document of all founders: equal stakes, equal balances.

    Args:
        founders: In any order.
        chain_id: The EIP-155 number that wallets show.
        time_ms: Unix time of the start.
        stake_tokens: Each founder's consensus stake.
        balance_tokens: What each founder's account holds beside it.

    Raises:
        Refusal: `network.founder-twice` if two share an account, a key or an engine;
            `network.founder-out-of-reach` if only its own machine reaches one, not all;
            `genesis.*`.
    """
    for what, values in (
        ("account", [one.account for one in founders]),
        ("consensus key", [one.key for one in founders]),
        ("engine", [one.engine for one in founders]),
        ("address", [f"{one.host}:{one.port}" for one in founders]),
    ):
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise Refusal(
                "network.founder-twice",
                f"more than one founder has the {what} {twice[0]}",
                hint="name each founder's file once",
            )
    _check_reach(founders)
    stakes: dict[Address, tuple[ConsensusKey, int]] = {
        one.address: (one.consensus_key, stake_tokens * UNITS_PER_TOKEN) for one in founders
    }
    return make_validator_genesis(
        chain_id=chain_id,
        time_ms=time_ms,
        validators=stakes,
        balances={
            one.address: balance_tokens * UNITS_PER_TOKEN for one in founders if balance_tokens
        },
    )


def _check_reach(founders: tuple[Founder, ...]) -> None:
    """Check that founders on several machines reach each other; all on one may be local."""
    local = [f"{one.name} ({one.host}:{one.port})" for one in founders if is_here_alone(one.host)]
    if local and len(local) < len(founders):
        raise Refusal(
            "network.founder-out-of-reach",
            f"only its own machine reaches {', '.join(local)}, and other founders are elsewhere",
            hint="have that home founded again: probatum network found HOME --host ADDRESS",
        )


def install_genesis(home: Path, genesis: Genesis, settings: EngineSettings) -> Joined:
    """Put the genesis document into a founder's home, if that founder is in it.

    Args:
        home: Made by `found_home`.
        genesis: What was gathered.
        settings: Of its engine; host and port are those that it told the others.

    Raises:
        Refusal: `network.not-a-founder` unless its account votes by its key there; `key.*`,
            `founder.*`.
        Fault: `network.disk`, `engine.unwritable`, `config.unwritable`.
    """
    founder = load_founder(home / FOUNDER)
    voter = load_validator_key(home)
    found = {seat.account: seat.key for seat in genesis.validators}
    if voter.key.hex() != founder.key or found.get(founder.account) != founder.key:
        raise Refusal(
            "network.not-a-founder",
            f"in this genesis document {founder.account} does not vote by this home's key",
            hint="have the document gathered again, from this home's founder.json too",
        )
    placed = replace(
        settings,
        host=founder.host,
        p2p_port=founder.port,
        rpc_port=founder.port + 1,
        is_local=founder.host == "127.0.0.1",
    )
    try:
        write_chain(home, genesis, placed)
    except OSError as error:
        raise Fault("network.disk", f"cannot write in {home}: {error.strerror}") from None
    return Joined(peer=founder.peer, key=voter.key, genesis_hash=compute_genesis_hash(genesis))
