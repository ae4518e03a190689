"""Asking the ledger and believing only what it proves: records against a signed header.

Must not know what the records are for.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from probatum.consensus.trusting import check_header, make_header_check
from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.encoding import decode, decode_document
from probatum.protocol.headers import Header, SignedHeader
from probatum.protocol.hexes import HexDigest, digest_from_hex
from probatum.protocol.mapproof import StateProof, check_state_proof
from probatum.protocol.messages import (
    GetHeader,
    GetManifest,
    GetState,
    GotHeader,
    GotManifest,
    GotState,
    ListedState,
    ListState,
    Message,
)
from probatum.protocol.records import MODEL, ModelRecord
from probatum.protocol.trust import HeaderCheck, Trust

if TYPE_CHECKING:
    from probatum.client.transport import HttpTransport

__all__ = [
    "ProvenState",
    "check_now",
    "find_model",
    "get_manifest",
    "get_proven_header",
    "get_proven_state",
    "make_check_now",
]

ProvenState = tuple[Header, dict[bytes, bytes | None]]
"""A header, and what its state holds under the keys that were asked for."""

_PROOF_BYTES = 4 * limits.STATE_VALUE_BYTES


def _wrong_reply(message: Message) -> Refusal:
    return Refusal("client.wrong-reply", f"the other side answered with a {type(message).__name__}")


def check_now(trust: Trust, signed: SignedHeader) -> Header:
    """Check a header by this machine's clock; see `probatum.consensus.trusting.check_header`."""
    return check_header(trust, signed, time.time_ns() // 1_000_000)


def make_check_now(trust: Trust) -> HeaderCheck:
    """Make the check of a settled bundle's header, by this machine's clock."""
    return make_header_check(trust, time.time_ns() // 1_000_000)


async def get_proven_header(
    transport: HttpTransport, ledger: str, trust: Trust, timeout_s: float
) -> Header:
    """Get the ledger's last header, checked against the trust file.

    Raises:
        Fault: `transport.*`.
        Refusal: `trust.*`, `ed25519.bad-signature`, `client.wrong-reply`.
    """
    reply = await transport.ask(ledger, GetHeader(height=0), timeout_s)
    if not isinstance(reply, GotHeader):
        raise _wrong_reply(reply)
    return check_now(trust, reply.header)


async def get_proven_state(
    transport: HttpTransport, ledger: str, trust: Trust, keys: tuple[bytes, ...], timeout_s: float
) -> ProvenState:
    """Get records with proofs, all against one header.

    Raises:
        Fault: `transport.*`.
        Refusal: `trust.*`, `ed25519.bad-signature`, `mapproof.*`, `encoding.*`,
            `client.wrong-reply`.
    """
    reply = await transport.ask(ledger, GetState(keys=keys, prove=True), timeout_s)
    if not isinstance(reply, GotState) or tuple(item.key for item in reply.items) != keys:
        raise _wrong_reply(reply)
    header = check_now(trust, reply.header)
    values = {}
    for item in reply.items:
        proof = decode_document(StateProof, item.proof, limit_bytes=_PROOF_BYTES)
        values[item.key] = check_state_proof(header.state_root, item.key, proof)
    return header, values


async def find_model(
    transport: HttpTransport,
    ledger: str,
    name: str,
    version: str | None,
    package: HexDigest,
    timeout_s: float,
) -> ModelRecord:
    """Find under which version a package is published, by a full node's word: prove it after that.

    Raises:
        Fault: `transport.*`.
        Refusal: `client.wrong-reply`, `client.wrong-model` if it is not published so, `encoding.*`.
    """
    prefix = MODEL + name.encode() + b"/"
    listed = await transport.ask(ledger, ListState(prefix=prefix, after=b"", limit=1000), timeout_s)
    if not isinstance(listed, ListedState):
        raise _wrong_reply(listed)
    for item in listed.items:
        model = decode(ModelRecord, item.value or b"", limit_bytes=limits.STATE_VALUE_BYTES)
        if model.package.hex() == package and version in {None, model.version}:
            return model
    raise Refusal("client.wrong-model", f"the ledger has no {name} with this package")


async def get_manifest(
    transport: HttpTransport, gateway: str, package: HexDigest, timeout_s: float
) -> bytes:
    """Get a package's manifest from whoever has it; the caller holds it to the digest.

    Raises:
        Fault: `transport.*`.
        Refusal: `client.wrong-reply`.
    """
    reply = await transport.ask(gateway, GetManifest(package=digest_from_hex(package)), timeout_s)
    if not isinstance(reply, GotManifest):
        raise _wrong_reply(reply)
    return reply.manifest
