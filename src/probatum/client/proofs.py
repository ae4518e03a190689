"""Asking the ledger and believing only what it proves: records against a signed header.

Must not know what the records are for.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from probatum.consensus.trusting import (
    Believed,
    believe,
    check_header,
    find_way,
    make_header_check,
    renew_trust,
)
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
from probatum.protocol.trust import CommitTrust, HeaderCheck, Trust

if TYPE_CHECKING:
    from probatum.client.transport import HttpTransport

__all__ = [
    "ProvenState",
    "check_now",
    "find_model",
    "get_header",
    "get_manifest",
    "get_newer_trust",
    "get_proven_header",
    "get_proven_state",
    "make_check_now",
    "reach_header",
]

ProvenState = tuple[Header, dict[bytes, bytes | None]]
"""A header, and what its state holds under the keys that were asked for."""

Ask: TypeAlias = Callable[[Message], Awaitable[Message]]
"""Has a message answered by somebody; Refused is raised, not returned."""

_PROOF_BYTES = 4 * limits.STATE_VALUE_BYTES


def _wrong_reply(message: Message) -> Refusal:
    return Refusal("client.wrong-reply", f"the other side answered with a {type(message).__name__}")


def check_now(trust: Trust, signed: SignedHeader) -> Header:
    """Check a header by this machine's clock; see `probatum.consensus.trusting.check_header`."""
    return check_header(trust, signed, time.time_ns() // 1_000_000)


async def reach_header(ask: Ask, trust: Trust, signed: SignedHeader) -> Header:
    """Check a header by this machine's clock, by headers between if one step does not lead there.

    Args:
        ask: Has a message answered by a full node, which needs not be believed.
        trust: The trust file.
        signed: The header.

    Raises:
        Fault: `transport.*`.
        Refusal: `trust.*`, `light.*`, `ed25519.bad-signature`, `client.wrong-reply`.
    """
    await _reach(ask, trust, signed, time.time_ns() // 1_000_000)
    return signed.header


async def _reach(ask: Ask, trust: Trust, signed: SignedHeader, now_ms: int) -> Believed:
    way = find_way(believe(trust), signed, now_ms)
    try:
        height = next(way)
        while True:
            height = way.send(await get_header(ask, height))
    except StopIteration as end:
        found: Believed = end.value
        return found


async def get_newer_trust(ask: Ask, trust: CommitTrust) -> CommitTrust:
    """Make a trust file of the ledger's last but one header, by this machine's clock (`LIGHT-1`).

    Args:
        ask: Has a message answered by a full node, which needs not be believed.
        trust: The trust file so far.

    Raises:
        Fault: `transport.*`.
        Refusal: as `reach_header`; `client.nothing-newer`.
    """
    last = await get_header(ask, 0)
    # The seal of the last header shows who comes after the header before.
    if last.header.height <= max(1, trust.height):
        raise Refusal(
            "client.nothing-newer",
            f"the ledger is at height {last.header.height}, the trust file names {trust.height}",
        )
    now_ms = time.time_ns() // 1_000_000
    signed = await get_header(ask, last.header.height - 1)
    return renew_trust(await _reach(ask, trust, signed, now_ms), last, now_ms)


async def get_header(ask: Ask, height: int) -> SignedHeader:
    """Get a header, the last one for height 0, unchecked. Raises Refusal `client.wrong-reply`."""
    reply = await ask(GetHeader(height=height))
    if not isinstance(reply, GotHeader):
        raise _wrong_reply(reply)
    return reply.header


def make_check_now(trust: Trust) -> HeaderCheck:
    """Make the check of a settled bundle's header, by this machine's clock."""
    return make_header_check(trust, time.time_ns() // 1_000_000)


async def get_proven_header(
    transport: HttpTransport, ledger: str, trust: Trust, timeout_s: float
) -> Header:
    """Get the ledger's last header, checked against the trust file.

    Raises:
        Fault: `transport.*`.
        Refusal: as `reach_header`.
    """
    ask = _make_ask(transport, ledger, timeout_s)
    return await reach_header(ask, trust, await get_header(ask, 0))


def _make_ask(transport: HttpTransport, ledger: str, timeout_s: float) -> Ask:
    return lambda message: transport.ask(ledger, message, timeout_s)


async def get_proven_state(
    transport: HttpTransport, ledger: str, trust: Trust, keys: tuple[bytes, ...], timeout_s: float
) -> ProvenState:
    """Get records with proofs, all against one header.

    Raises:
        Fault: `transport.*`.
        Refusal: as `reach_header`; `mapproof.*`, `encoding.*`.
    """
    reply = await transport.ask(ledger, GetState(keys=keys, prove=True), timeout_s)
    if not isinstance(reply, GotState) or tuple(item.key for item in reply.items) != keys:
        raise _wrong_reply(reply)
    ask = _make_ask(transport, ledger, timeout_s)
    header = await reach_header(ask, trust, reply.header)
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
