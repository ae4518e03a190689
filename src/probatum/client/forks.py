"""Headers of two pasts that somebody was shown: kept in a file, and reported to full nodes.

Whoever is shown them believes nobody about which is true; the engine of an honest full node knows
its own, and hands on what convicts who sealed the other (`LIGHT-1`). Must not know how the two were
found (`comparing`, `sync`), nor how a full node is reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from probatum.client.whole_files import write_whole
from probatum.errors import ProbatumError
from probatum.evidence.forks import Fork, encode_fork
from probatum.protocol.encoding import encode
from probatum.protocol.hashing import sha256
from probatum.protocol.headers import CommitSeal, SignedHeader
from probatum.protocol.messages import Message, Noted, Refused, ReportAttack

__all__ = ["EVIDENCE_FOLDER", "AskNode", "Reported", "keep_fork", "report_headers"]

EVIDENCE_FOLDER: Final = "evidence"
"""Where a home keeps what convicts others."""

AskNode: TypeAlias = Callable[[str, Message], Awaitable[Message]]
"""Has a message answered by who is at an address."""

_NOT_YET: Final = "light.not-yet"
_TRIES: Final = 10
_PAUSE_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What a full node said to a report.

    Attributes:
        height: Of the header.
        code: Why it was not taken; empty if it was.
        why: The same in words.
    """

    endpoint: str
    height: int
    code: str = ""
    why: str = ""


def keep_fork(home: Path, fork: Fork) -> Path:
    """Keep evidence in a home; the same two headers are one file.

    Raises:
        Fault: `store.cannot-write`.
    """
    data = encode_fork(fork) + b"\n"
    path = home / EVIDENCE_FOLDER / f"fork-{sha256(data).hex()[:16]}.json"
    write_whole(path, data, 0o644)
    return path


async def report_headers(
    ask: AskNode,
    endpoints: Iterable[str],
    headers: Iterable[SignedHeader],
    common: int,
    *,
    pause_s: float = _PAUSE_S,
) -> tuple[Reported, ...]:
    """Report sealed headers to full nodes: each knows which is not its chain's.

    The lowest one that convicts is enough for each full node. The last headers are shown before
    engines can judge them, so these are reported again after a pause, a few times for all of them
    together: one full node that says so of each must not keep the others from being asked.

    Args:
        ask: Has a message answered by a full node.
        endpoints: Whom to ask.
        headers: What was shown; those that one key sealed are nobody's to judge.
        common: A height of the engine that is believed; the trust file's.
        pause_s: How long to wait for the next block.

    Returns:
        What each full node said, of each header until it took one.
    """
    found = {encode(signed): signed for signed in headers if isinstance(signed.seal, CommitSeal)}
    told: list[Reported] = []
    for endpoint in endpoints:
        pauses = iter([pause_s] * (_TRIES - 1))
        for signed in sorted(found.values(), key=lambda one: one.header.height):
            told.append(await _report(ask, endpoint, signed, common, pauses))
            if not told[-1].code:
                break
    return tuple(told)


async def _report(
    ask: AskNode, endpoint: str, signed: SignedHeader, common: int, pauses: Iterator[float]
) -> Reported:
    height = signed.header.height
    while True:
        try:
            reply = await ask(endpoint, ReportAttack(header=signed, common=common))
        except ProbatumError as error:
            code, why = error.code, error.message
        else:
            match reply:
                case Noted():
                    return Reported(endpoint=endpoint, height=height)
                case Refused(code=code, message=why):
                    pass
                case _:
                    code, why = "client.wrong-reply", type(reply).__name__
        pause_s = next(pauses, None) if code == _NOT_YET else None
        if pause_s is None:
            return Reported(endpoint=endpoint, height=height, code=code, why=why)
        await asyncio.sleep(pause_s)
