"""The genesis document: what the ledger starts from, and the chain's name for ever (`PROTO-1`).

A canonical JSON document, so people can read it; its SHA-256 is the genesis hash that every
signature's domain and every header names. Must not know how blocks are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from probatum.errors import Misuse, Refusal
from probatum.ledger.consensus_params import ConsensusParams, check_consensus_params
from probatum.ledger.params import Params
from probatum.ledger.seats import make_set
from probatum.protocol import limits
from probatum.protocol.blocks import Change
from probatum.protocol.eip712 import Domain
from probatum.protocol.encoding import Document, decode_document, encode, encode_document
from probatum.protocol.hashing import sha256
from probatum.protocol.headers import ChainId
from probatum.protocol.hexes import HexAddress, HexKey, address_from_document, bytes_from_hex
from probatum.protocol.primitives import (
    AMOUNT_BOUND,
    Address,
    Amount,
    ConsensusKey,
    Digest,
    OperatingKey,
    address_to_hex,
    make_consensus_key,
    make_operating_key,
)
from probatum.protocol.records import PARAMS_KEY, SUPPLY_KEY, Account, Supply, get_account_key
from probatum.protocol.validators import (
    CONSENSUS_PARAMS_KEY,
    VALIDATOR_SET_KEY,
    ConsensusKeyRecord,
    ValidatorRecord,
    ValidatorSet,
    compute_consensus_address,
    get_consensus_key_key,
    get_validator_key,
)

__all__ = [
    "GENESIS_BYTES",
    "Genesis",
    "GenesisBalance",
    "GenesisConsensusParams",
    "GenesisParams",
    "GenesisValidator",
    "compute_genesis_changes",
    "compute_genesis_hash",
    "compute_genesis_set",
    "decode_genesis",
    "encode_genesis",
    "get_domain",
    "get_engine_key",
    "make_genesis",
    "make_validator_genesis",
]

GENESIS_BYTES: Final = limits.MIB
_BALANCES: Final = 8_192


class GenesisParams(Params, frozen=True, kw_only=True, array_like=False):
    """`Params` as a JSON object with names, for people to read."""


class GenesisConsensusParams(ConsensusParams, frozen=True, kw_only=True, array_like=False):
    """`ConsensusParams` as a JSON object with names, for people to read."""


class GenesisValidator(Document, frozen=True, kw_only=True):
    """An account that validates from the start, with stake that is no part of its balance."""

    account: HexAddress
    key: HexKey
    stake_units: Amount


class GenesisBalance(Document, frozen=True, kw_only=True):
    """What one account holds at the start."""

    account: HexAddress
    balance_units: Amount


class Genesis(Document, frozen=True, kw_only=True):
    """The genesis document.

    Attributes:
        time_ms: Unix time of the start; every block's time is later.
        engine: Which engine orders blocks: one key, or validators under CometBFT.
        key: The embedded engine's key, by which all headers are signed; None with validators.
        balances: In order of accounts, each once, none empty.
        consensus: The parameters of validators; None without them.
        validators: In order of accounts, each once, each with stake enough (`VAL-1`); empty
            with the embedded engine.
    """

    format: Literal["probatum-genesis/1"]
    chain_id: ChainId
    time_ms: Annotated[int, Meta(ge=0, lt=limits.TIME_MS_END)]
    engine: Literal["embedded", "cometbft"]
    key: HexKey | None = None
    params: GenesisParams
    balances: Annotated[tuple[GenesisBalance, ...], Meta(max_length=_BALANCES)]
    consensus: GenesisConsensusParams | None = None
    validators: Annotated[tuple[GenesisValidator, ...], Meta(max_length=limits.VALIDATORS)] = ()


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
        params=_show_params(params),
        balances=_list_balances(balances),
    )
    return decode_genesis(encode_genesis(genesis))


def make_validator_genesis(
    *,
    chain_id: int,
    time_ms: int,
    validators: Mapping[Address, tuple[ConsensusKey, int]],
    balances: Mapping[Address, int],
    params: Params | None = None,
    consensus: ConsensusParams | None = None,
) -> Genesis:
    """Make a genesis document for CometBFT.

    Args:
        chain_id: As for `make_genesis`, like the arguments not named here.
        time_ms: Unix time of the start.
        validators: Consensus key and stake in units by account, in any order.
        balances: Units by account, besides stake.
        params: The parameters; their defaults if absent.
        consensus: Those of validators; their defaults if absent.

    Raises:
        Refusal: as `decode_genesis`.
    """
    shown = msgspec.structs.asdict(consensus or ConsensusParams())
    genesis = Genesis(
        format="probatum-genesis/1",
        chain_id=chain_id,
        time_ms=time_ms,
        engine="cometbft",
        params=_show_params(params),
        balances=_list_balances(balances),
        consensus=GenesisConsensusParams(**shown),
        validators=tuple(
            GenesisValidator(
                account=address_to_hex(account),
                key=validators[account][0].hex(),
                stake_units=validators[account][1],
            )
            for account in sorted(validators)
        ),
    )
    return decode_genesis(encode_genesis(genesis))


def _show_params(params: Params | None) -> GenesisParams:
    return GenesisParams(**msgspec.structs.asdict(params or Params()))


def _list_balances(balances: Mapping[Address, int]) -> tuple[GenesisBalance, ...]:
    return tuple(
        GenesisBalance(account=address_to_hex(account), balance_units=balances[account])
        for account in sorted(balances)
    )


def encode_genesis(genesis: Genesis) -> bytes:
    """Encode a genesis document."""
    return encode_document(genesis)


def decode_genesis(data: bytes) -> Genesis:
    """Decode and check a genesis document; white space around it is allowed.

    Raises:
        Refusal: `encoding.*`; `genesis.bad-balances` if accounts are not in order, or an account
            is empty; `genesis.bad-engine` unless there is exactly what the engine needs;
            `genesis.bad-validators`; `ledger.evidence-outlives-stake`;
            `genesis.supply-too-large`.
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
    _check_engine(genesis)
    return genesis


def _check_engine(genesis: Genesis) -> None:
    consensus, validators = genesis.consensus, genesis.validators
    embedded = genesis.engine == "embedded"
    if embedded != (genesis.key is not None) or embedded != (consensus is None):
        raise Refusal(
            "genesis.bad-engine",
            "the embedded engine has a key, CometBFT has validators and their parameters",
        )
    if consensus is None:
        bad = bool(validators)
    else:
        check_consensus_params(consensus)
        accounts = [entry.account for entry in validators]
        bad = (
            not 1 <= len(validators) <= consensus.max_validators
            or accounts != sorted(set(accounts))
            or len({entry.key for entry in validators}) < len(validators)
            or any(e.stake_units < consensus.min_consensus_stake_units for e in validators)
        )
    if bad:
        raise Refusal(
            "genesis.bad-validators",
            "validators are not in order of accounts, each once, each with a key of its own and "
            "stake enough, at least one and at most as many as there are seats",
        )


def _get_issued(genesis: Genesis) -> int:
    staked = sum(entry.stake_units for entry in genesis.validators)
    return sum(entry.balance_units for entry in genesis.balances) + staked


def get_engine_key(genesis: Genesis) -> OperatingKey:
    """Get the embedded engine's key. Raises Misuse `genesis.no-engine-key` if there is none."""
    if genesis.key is None:
        raise Misuse("genesis.no-engine-key", "this chain's headers are not signed by one key")
    return make_operating_key(bytes_from_hex(genesis.key))


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
    if genesis.consensus is not None:
        consensus = ConsensusParams(**msgspec.structs.asdict(genesis.consensus))
        found[CONSENSUS_PARAMS_KEY] = encode(consensus)
        found[VALIDATOR_SET_KEY] = encode(compute_genesis_set(genesis))
        for record in _make_validators(genesis):
            found[get_validator_key(record.account)] = encode(record)
            key = get_consensus_key_key(compute_consensus_address(record.key))
            found[key] = encode(
                ConsensusKeyRecord(account=record.account, key=record.key, registered_at=0)
            )
    return tuple(Change(key=key, value=found[key]) for key in sorted(found))


def compute_genesis_set(genesis: Genesis) -> ValidatorSet:
    """Compute who validates from the first block on: what the engine must be told at its start.

    Raises:
        Misuse: `genesis.no-validators` if the engine is the embedded one.
    """
    if genesis.consensus is None:
        raise Misuse("genesis.no-validators", "this chain has no validators")
    return make_set(_make_validators(genesis), genesis.consensus)


def _make_validators(genesis: Genesis) -> tuple[ValidatorRecord, ...]:
    return tuple(
        ValidatorRecord(
            account=address_from_document(entry.account),
            key=make_consensus_key(bytes_from_hex(entry.key)),
            registered_at=0,
            bonded=entry.stake_units,
        )
        for entry in genesis.validators
    )
