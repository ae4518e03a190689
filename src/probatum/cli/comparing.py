"""`probatum ledger status` of several full nodes: who agrees, who lags, who lies.

Two proven headers that contradict each other are kept in a file, and reported to all who were
asked, so that whoever sealed both is convicted. Must not know how headers are held against each
other (`probatum.client.comparing`).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

from probatum.cli.failures import OK, REFUSED
from probatum.cli.output import print_json, print_lines, print_table
from probatum.cli.settings import Common
from probatum.cli.wire import exchange
from probatum.client.comparing import Ask, Comparison, Told, compare_ledgers
from probatum.client.forks import Reported, keep_fork, report_headers
from probatum.errors import Fault
from probatum.protocol.headers import SignedHeader, compute_header_hash
from probatum.protocol.messages import Message
from probatum.protocol.trust import CommitTrust, Trust

__all__ = ["convict", "describe_reported", "make_patient_ask", "report", "show_comparison"]

_PATIENCE_S: Final = 120.0
"""For all that one full node is asked, but the last of it: a liar may name heights without end."""

_OLD_S: Final = 60
"""An agreed header that is older is pointed out: all of them may lag, or keep blocks back."""
_SPANS: Final = ((86_400, "days"), (3_600, "hours"), (60, "minutes"))

_WORDS: Final = {
    "agrees": "agrees",
    "differs": "shows another header than the others",
    "lies": "LIES: shows what its network never sealed",
    "forked": "shows a proven header that another proven one contradicts",
    "behind": "is behind the trust file",
    "silent": "could not be asked",
}


def make_patient_ask() -> Ask:
    """Make what asks full nodes, each until it has taken too long in all: Fault `wire.timeout`."""
    spent: dict[str, float] = {}

    def ask(endpoint: str, message: Message) -> Message:
        if spent.get(endpoint, 0.0) > _PATIENCE_S:
            raise Fault("wire.timeout", f"{endpoint} has taken more than {_PATIENCE_S:g} s in all")
        began = time.monotonic()
        try:
            return exchange(endpoint, message)
        finally:
            spent[endpoint] = spent.get(endpoint, 0.0) + time.monotonic() - began

    return ask


def show_comparison(common: Common) -> int:
    """Hold the full nodes that were named against each other; the exit code says whether all agree.

    Raises:
        Refusal: as `compare_ledgers`, and for the trust file.
        Fault: `store.cannot-write` if evidence cannot be kept.
    """
    trust = common.find_trust()
    now_ms = time.time_ns() // 1_000_000
    found = compare_ledgers(common.list_ledgers(), make_patient_ask(), trust, now_ms)
    path, reported = convict(common, found, trust)
    agree = all(told.standing == "agrees" for told in found.told)
    age_s = _get_age(found, now_ms)
    if common.json:
        print_json(
            {
                "agree": agree,
                "is_proven": trust is not None,
                "height": found.height,
                "age_s": age_s,
                "nodes": [_describe(told) for told in found.told],
                "evidence": None if path is None else str(path),
                "reported": [asdict(told) for told in reported],
            }
        )
        return OK if agree else REFUSED
    print_table(
        ("full node", "height", f"hash of {found.height}", "standing"),
        (
            (
                told.endpoint,
                "" if told.last is None else told.last.header.height,
                "" if told.common is None else _hash(told.common)[:16],
                _WORDS[told.standing],
            )
            for told in found.told
        ),
        empty="Nobody was asked.",
    )
    print_lines(
        f"{told.endpoint}: {_one_line(told.why)} [{told.code}]" for told in found.told if told.code
    )
    print_lines(_conclude(found, age_s, agree=agree, is_proven=trust is not None, path=path))
    print_lines(map(describe_reported, reported))
    return OK if agree else REFUSED


def _describe(told: Told) -> dict[str, object]:
    return {
        "endpoint": told.endpoint,
        "standing": told.standing,
        "height": None if told.last is None else told.last.header.height,
        "hash": None if told.common is None else _hash(told.common),
        "code": told.code,
        "why": told.why,
    }


def _one_line(why: str) -> str:
    """What a full node said must not pass for a line of ours."""
    return " ".join(why.split())


def _hash(signed: SignedHeader) -> str:
    return compute_header_hash(signed.header).hex()


def _get_age(found: Comparison, now_ms: int) -> int | None:
    """Get how old the header is that was compared, in seconds, by this machine's clock."""
    times = [told.common.header.time_ms for told in found.told if told.common is not None]
    return max(0, now_ms - min(times)) // 1_000 if times else None


def _say_age(age_s: int) -> str:
    for span, name in _SPANS:
        if age_s >= 2 * span:
            return f"{age_s // span} {name}"
    return f"{age_s} s"


def _conclude(
    found: Comparison, age_s: int | None, *, agree: bool, is_proven: bool, path: Path | None
) -> tuple[str, ...]:
    how = "proven by the trust file" if is_proven else "not proven: no trust file was named"
    lines = []
    if agree and age_s is not None:
        lines.append(
            f"all agree on the header of height {found.height}, {_say_age(age_s)} old, {how}"
        )
        if age_s > _OLD_S:
            lines.append("that is old: the chain stands still, or all of them are behind it")
        return tuple(lines)
    liars = [told.endpoint for told in found.told if told.standing == "lies"]
    if liars:
        lines.append(f"do not use {', '.join(liars)}: nothing that it shows is the ledger's")
    if any(told.standing == "differs" for told in found.told):
        lines.append("one of them lies; a trust file (--trust) tells which")
    if path is not None:
        lines += [
            f"two headers of height {found.height} are sealed: kept in {path}",
            "whoever sealed both broke the rules: send the file to the network's operators",
        ]
    return tuple(lines)


def convict(
    common: Common, found: Comparison, trust: Trust | None
) -> tuple[Path | None, tuple[Reported, ...]]:
    """Keep the evidence of two pasts, and report it to all full nodes that were named.

    Returns:
        Where it is kept, if two headers prove it; and what the full nodes said.

    Raises:
        Fault: `store.cannot-write`.
    """
    path = None if found.fork is None else keep_fork(common.folder, found.fork)
    return path, report(common, found.suspects, trust) if trust and found.suspects else ()


def report(common: Common, headers: tuple[SignedHeader, ...], trust: Trust) -> tuple[Reported, ...]:
    """Report headers to all full nodes that were named: an honest one's engine knows its own."""

    async def ask(endpoint: str, message: Message) -> Message:
        return exchange(endpoint, message)

    believed = trust.height if isinstance(trust, CommitTrust) else 0
    return asyncio.run(report_headers(ask, common.list_ledgers(), headers, believed))


def describe_reported(told: Reported) -> str:
    """Describe for people what a full node said to a report."""
    if not told.code:
        return f"{told.endpoint} has its engine convict who sealed that of height {told.height}"
    why = f"{_one_line(told.why)} [{told.code}]"
    return f"{told.endpoint} takes no evidence of height {told.height}: {why}"
