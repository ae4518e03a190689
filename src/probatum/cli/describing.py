"""The ledger's records as names and values that JSON can hold, and their keys as people write them.

One table of kinds; a kind that is not in it is shown as bytes. Must not know where records come
from.
"""

from __future__ import annotations

from typing import Any, Final, assert_never

import msgspec

from probatum.errors import Refusal
from probatum.ledger.consensus_params import ConsensusParams
from probatum.ledger.params import Params
from probatum.protocol import limits, records, validators
from probatum.protocol.commits import COMMITTED
from probatum.protocol.encoding import LedgerValue, decode
from probatum.protocol.headers import CommitSeal, KeySeal, SignedHeader, compute_header_hash
from probatum.protocol.hexes import bytes_from_hex, digest_from_hex, key_from_hex
from probatum.protocol.primitives import address_from_hex, address_to_hex

__all__ = ["describe_header", "describe_record", "describe_value", "parse_state_key"]

_KINDS: Final[tuple[tuple[bytes, type[LedgerValue]], ...]] = (
    (records.ACCOUNT, records.Account),
    (records.CHALLENGE, records.ChallengeRecord),
    (records.ESCROW, records.EscrowRecord),
    (records.KEY, records.KeyRecord),
    (records.LOG, records.LogRecord),
    (records.LOSS, records.LossRecord),
    (records.MODEL, records.ModelRecord),
    (records.NAME, records.NameRecord),
    (records.NODE, records.NodeRecord),
    (records.OFFENCE, records.OffenceRecord),
    (records.OFFER, records.OfferRecord),
    (records.PACKAGE, records.PackageNameRecord),
    (records.PUBLISHER, records.PublisherRecord),
    (records.PUBLISHER_KEY, records.PublisherKeyRecord),
    (records.RETURNED, records.ReturnRecord),
    (records.STAKE, records.StakeRecord),
    (records.SUPPLY_KEY, records.Supply),
    (records.PARAMS_KEY, Params),
    (validators.CONSENSUS_KEY, validators.ConsensusKeyRecord),
    (validators.CONSENSUS_PARAMS_KEY, ConsensusParams),
    (validators.INFRACTION, validators.InfractionRecord),
    (validators.MISSED, validators.MissedRecord),
    (validators.VALIDATOR, validators.ValidatorRecord),
    (validators.VALIDATOR_SET_KEY, validators.ValidatorSet),
)
_SINGLE: Final = {
    "consensus-params": validators.CONSENSUS_PARAMS_KEY,
    "params": records.PARAMS_KEY,
    "supply": records.SUPPLY_KEY,
    "validator-set": validators.VALIDATOR_SET_KEY,
}
_BY_ACCOUNT: Final = {
    "account": records.get_account_key,
    "loss": records.get_loss_key,
    "node": records.get_node_key,
    "publisher": records.get_publisher_key,
    "stake": records.get_stake_key,
    "validator": validators.get_validator_key,
}
_FORMS: Final = (
    "params, supply, account/0x…, escrow/<id>, stake/0x…, node/0x…, key/<hex>, log/0x…/<session>, "
    "loss/0x…, name/<name>, model/<name>/<version>, publisher/0x…, publisher-key/<id>, "
    "consensus-params, validator-set, validator/0x…, "
    "or the key's bytes as 0x<hex>"
)


def describe_value(value: object) -> Any:
    """Turn a value into what JSON can hold: bytes become hex, an address with ``0x``."""
    if isinstance(value, bytes):
        return address_to_hex(value) if len(value) == 20 else value.hex()  # type: ignore[arg-type]
    if isinstance(value, msgspec.Struct):
        return {name: describe_value(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, tuple):
        return [describe_value(item) for item in value]
    return value


def describe_record(key: bytes, value: bytes) -> Any:
    """Decode a record by its key's kind and describe it. Raises Refusal `encoding.*`."""
    for prefix, kind in _KINDS:
        if key.startswith(prefix):
            return describe_value(decode(kind, value, limit_bytes=limits.STATE_VALUE_BYTES))
    return value.hex()


def describe_header(signed: SignedHeader) -> dict[str, Any]:
    """Describe a header, with its hash and how it is sealed."""
    facts: dict[str, Any] = describe_value(signed.header)
    facts["hash"] = compute_header_hash(signed.header).hex()
    match signed.seal:
        case KeySeal(key=key):
            return {**facts, "key": key.hex()}
        case CommitSeal() as seal:
            signed_power = sum(
                validator.power
                for validator, vote in zip(seal.validators, seal.commit.votes, strict=False)
                if vote.flag == COMMITTED
            )
            return {
                **facts,
                "engine_height": seal.header.height,
                "engine_hash": seal.commit.block.hash.hex(),
                "round": seal.commit.round,
                "signed_power": signed_power,
                "total_power": sum(validator.power for validator in seal.validators),
            }
        case _:
            assert_never(signed.seal)


def parse_state_key(text: str) -> bytes:
    """Read a state key as people write it.

    Raises:
        Refusal: `ledger-key.malformed`, `primitive.*`, `hex.malformed`.
    """
    if text.startswith("0x"):
        return bytes_from_hex(text[2:].lower())
    kind, *parts = text.split("/")
    match (kind, parts):
        case (kind, []) if kind in _SINGLE:
            return _SINGLE[kind]
        case (kind, [account]) if kind in _BY_ACCOUNT:
            return _BY_ACCOUNT[kind](address_from_hex(account))
        case ("escrow", [escrow]):
            return records.get_escrow_key(digest_from_hex(escrow))
        case ("key", [key]):
            return records.get_key_key(key_from_hex(key))
        case ("log", [account, session]) if session.isascii() and session.isdigit():
            return records.get_log_key(address_from_hex(account), min(int(session[:19]), 1 << 62))
        case ("name", [name]):
            return records.get_name_key(name)
        case ("model", [name, version]):
            return records.get_model_key(name, version)
        case ("publisher-key", [key_id]):
            return records.get_publisher_key_key(digest_from_hex(key_id))
        case _:
            raise Refusal(
                "ledger-key.malformed", f"{text[:100]!r} is no key of the state", hint=_FORMS
            )
