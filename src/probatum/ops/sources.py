"""From whom a joining node takes a snapshot, and the trusted header it is held to (`SNAP-1`).

None of the servers is believed; that one shows another header than the trusted one is told before
anything is made, and by name: the engine itself would say so in its log, and be started again for
ever. Must not know homes or processes. Read next: `joining`.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import threading
import urllib.parse
from typing import Final

import msgspec

from probatum.consensus.cometbft.light.answers import read_commit
from probatum.consensus.cometbft.light.hashing import compute_engine_hash
from probatum.consensus.cometbft.settings import SnapshotSource
from probatum.errors import Fault, Refusal
from probatum.ledger.genesis import Genesis, compute_genesis_hash
from probatum.protocol import limits
from probatum.protocol.hexes import digest_from_hex
from probatum.protocol.trust import CommitTrust, Trust

__all__ = ["check_source", "make_source"]

_SERVER: Final = re.compile(r"^(https?://)?([A-Za-z0-9.-]{1,253}|\[[0-9a-f:]{2,45}\]):[0-9]{1,5}\Z")
_ANSWER_S: Final = 10.0
_RENEW: Final = "probatum ledger trust --renew -o newer.json; then --trust newer.json"


class _Answer(msgspec.Struct, frozen=True):
    result: msgspec.Raw


def make_source(
    servers: tuple[str, ...], trust: Trust, genesis: Genesis, *, now_ms: int
) -> SnapshotSource:
    """Make what an engine needs to begin from a snapshot that a trust file proves (`SNAP-1`).

    Args:
        servers: RPC addresses of other engines.
        trust: The trust file.
        genesis: Of the chain that is joined.
        now_ms: Unix time.

    Raises:
        Refusal: `network.no-trusted-header` if the trust file names no header of the engine;
            `network.other-chain` if it is of another chain than the genesis document;
            `network.trust-expired` if its header is older than it may be started from;
            `network.bad-server` for less than two different servers, or what is none.
    """
    if trust.genesis_hash != compute_genesis_hash(genesis).hex():
        raise Refusal(
            "network.other-chain",
            "the trust file is of another chain than the genesis document",
            hint="take both from the same network",
        )
    if not isinstance(trust, CommitTrust) or not trust.height:
        raise Refusal(
            "network.no-trusted-header",
            "a snapshot is proven by a header that is trusted, and this trust file names none",
            hint=_RENEW,
        )
    if trust.time_ms + trust.trusting_period_ms <= now_ms:
        raise Refusal(
            "network.trust-expired",
            f"the trusted header, height {trust.height}, is older than its trusting period",
            hint="take a newer trust file from somebody you trust",
        )
    different = {one.rpartition("//")[2] for one in servers}
    if len(different) < 2 or not all(_SERVER.match(one) for one in servers):
        raise Refusal(
            "network.bad-server",
            "two engines' RPC addresses are needed at least, each as host:port",
            hint="the engine holds what one says against the other",
        )
    return SnapshotSource(
        servers=servers,
        height=trust.height,
        header_hash=digest_from_hex(trust.header_hash),
        period_ms=trust.trusting_period_ms,
    )


def check_source(source: SnapshotSource, *, answer_s: float = _ANSWER_S) -> tuple[str, ...]:
    """Ask the servers for the trusted header; who does not answer is not held against anybody.

    Args:
        source: The servers and the header.
        answer_s: How long each may take.

    Returns:
        The servers that have shown it.

    Raises:
        Refusal: `network.other-header` if a server shows another one at that height.
    """
    agreed = []
    for server in source.servers:
        try:
            found = _get_hash(server, source.height, answer_s)
        except (Fault, Refusal):
            continue
        if found != source.header_hash:
            raise Refusal(
                "network.other-header",
                f"at height {source.height} the trust file names header "
                f"{source.header_hash.hex()[:16]}…, {server} shows {found.hex()[:16]}…",
                hint="one of the two is wrong: compare with another full node before you go on",
            )
        agreed.append(server)
    return tuple(agreed)


def _get_hash(server: str, height: int, answer_s: float) -> bytes:
    """Get the hash of the header that a server shows for a height."""
    try:
        where = urllib.parse.urlsplit(server if "//" in server else f"http://{server}")
        where.netloc.encode("idna")  # as resolving does
    except ValueError as error:
        raise Fault("engine.unreachable", f"{server:.200} is no address: {error}") from None
    kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
    link = kind(where.netloc, timeout=answer_s)
    end: threading.Timer | None = None
    try:
        link.connect()
        # The link's own time begins anew with each byte: who trickles would hold us for months.
        end = threading.Timer(answer_s, _hang_up, [link.sock])
        end.start()
        link.request("GET", f"/commit?height={height}")
        data = link.getresponse().read(limits.MIB + 1)
    except (OSError, http.client.HTTPException) as error:
        raise Fault("engine.unreachable", f"{server} does not answer: {error}") from None
    finally:
        if end is not None:
            end.cancel()
        link.close()
    try:
        answer = msgspec.json.decode(data, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Fault("engine.odd-reply", f"{server} gave no such answer: {error}") from None
    header, _ = read_commit(bytes(answer.result))
    if header.height != height:
        raise Fault("engine.odd-reply", f"{server} showed height {header.height} for {height}")
    return compute_engine_hash(header)


def _hang_up(line: socket.socket) -> None:
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
