"""The genesis document: what the ledger starts from, and the chain's name for ever (`PROTO-1`).

A canonical JSON document, so people can read it; its SHA-256 is the genesis hash that every
signature's domain and every header names. Must not know how blocks are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from probatum.errors import Refusal
from probatum.ledger.params import Params
from probatum.protocol import limits
from probatum.protocol.blocks import Change
from probatum.protocol.eip712 import Domain
from probatum.protocol.encoding import Document, decode_document, encode, encode_document
from probatum.protocol.hashing import sha256
from probatum.protocol.headers import ChainId
from probatum.protocol.hexes import HexAddress, HexKey, address_from_document
from probatum.protocol.primitives import (
    AMOUNT_BOUND,
    Address,
    Amount,
    Digest,
    Millis,
    OperatingKey,
    address_to_hex,
)
from probatum.protocol.records import PARAMS_KEY, SUPPLY_KEY, Account, Supply, get_account_key

__all__ = [
    "GENESIS_BYTES",
    "Genesis",
    "GenesisBalance",
    "GenesisParams",
    "compute_genesis_changes",
    "compute_genesis_hash",
    "decode_genesis",
    "encode_genesis",
    "get_domain",
    "make_genesis",
]

GENESIS_BYTES: Final = limits.MIB
_BALANCES: Final = 8_192


class GenesisParams(Params, frozen=True, kw_only=True, array_like=False):
    """`Params` as a JSON object with names, for people to read."""


class GenesisBalance(Document, frozen=True, kw_only=True):
    """What one account holds at the start."""

    account: HexAddress
    balance_units: Amount


class Genesis(Document, frozen=True, kw_only=True):
    """The genesis document.

    Attributes:
        time_ms: Unix time of the start; every block's time is later.
        engine: Which engine orders blocks.
        key: The embedded engine's key, by which all headers are signed.
        balances: In order of accounts, each once, none empty.
    """

    format: Literal["probatum-genesis/1"]
    chain_id: ChainId
    time_ms: Millis
    engine: Literal["embedded"]
    key: HexKey
    params: GenesisParams
    balances: Annotated[tuple[GenesisBalance, ...], Meta(max_length=_BALANCES)]


def make_genesis(
    *,
    chain_id: int,
    time_ms: int,
    key: OperatingKey,
    balances: Mapping[Address, int],
    params: Params | None = None,
) -> Genesis:
    """Make a genesis document for the embedded engine.

    Args:
        chain_id: The EIP-155 number that wallets show.
        time_ms: Unix time of the start.
        key: The engine's public key.
        balances: Units by account, in any order.
        params: The parameters; their defaults if absent.

    Raises:
        Refusal: as `decode_genesis`.
    """
    genesis = Genesis(
        format="probatum-genesis/1",
        chain_id=chain_id,
        time_ms=time_ms,
        engine="embedded",
        key=key.hex(),
        params=GenesisParams(**msgspec.structs.asdict(params or Params())),
        balances=tuple(
            GenesisBalance(account=address_to_hex(account), balance_units=balances[account])
            for account in sorted(balances)
        ),
    )
    return decode_genesis(encode_genesis(genesis))


def encode_genesis(genesis: Genesis) -> bytes:
    """Encode a genesis document."""
    return encode_document(genesis)


def decode_genesis(data: bytes) -> Genesis:
    """Decode and check a genesis document; white space around it is allowed.

    Raises:
        Refusal: `encoding.*`; `genesis.bad-balances` if accounts are not in order, or an account
            is empty; `genesis.supply-too-large`.
    """
    genesis = decode_document(Genesis, data.strip(), limit_bytes=GENESIS_BYTES)
    accounts = [entry.account for entry in genesis.balances]
    if accounts != sorted(set(accounts)) or any(not e.balance_units for e in genesis.balances):
        raise Refusal(
            "genesis.bad-balances",
            "balances are not in order of accounts, each once and above zero",
        )
    if _get_issued(genesis) >= AMOUNT_BOUND:
        raise Refusal("genesis.supply-too-large", "the supply must be below 2**63 units")
    return genesis


def _get_issued(genesis: Genesis) -> int:
    return sum(entry.balance_units for entry in genesis.balances)


def compute_genesis_hash(genesis: Genesis) -> Digest:
    """Compute the SHA-256 of the document's canonical bytes."""
    return sha256(encode_genesis(genesis))


def get_domain(genesis: Genesis) -> Domain:
    """Get the domain that this chain's signatures are for."""
    return Domain(chain_id=genesis.chain_id, genesis_hash=compute_genesis_hash(genesis))


def compute_genesis_changes(genesis: Genesis) -> tuple[Change, ...]:
    """Compute the records that the state starts with, in key order."""
    params = Params(**msgspec.structs.asdict(genesis.params))
    found = {
        PARAMS_KEY: encode(params),
        SUPPLY_KEY: encode(Supply(issued=_get_issued(genesis), burned=0)),
    }
    for entry in genesis.balances:
        key = get_account_key(address_from_document(entry.account))
        found[key] = encode(Account(balance=entry.balance_units, nonce=0))
    return tuple(Change(key=key, value=found[key]) for key in sorted(found))
