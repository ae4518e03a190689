"""A home's trust file, renewed while its node runs (`LIGHT-1`).

A trust file of validators can be started from for its trusting period, so a node that ran for
longer could not be started again. It renews the file as everybody may: by headers that the file
itself leads to, from its full node, which is not believed. Must not know what is done with it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from probatum.client.proofs import get_newer_trust
from probatum.client.transport import HttpTransport
from probatum.client.trust_file import save_trust
from probatum.errors import ProbatumError
from probatum.machine.wishes import Report
from probatum.nodes.shell.config import load_trust
from probatum.protocol.trust import CommitTrust

__all__ = ["is_due", "keep_trust"]

_PAUSE_S: Final = 3_600.0
_ASK_S: Final = 30.0
_DUE: Final = 4
"""A file is renewed once a quarter of its period is over: three quarters are left to be down."""


def is_due(trust: CommitTrust, now_ms: int) -> bool:
    """Tell whether a trust file should be renewed."""
    return now_ms - trust.time_ms > trust.trusting_period_ms // _DUE


async def keep_trust(
    home: Path,
    ledger: str,
    transport: HttpTransport,
    report: Callable[[Report], None],
    *,
    pause_s: float = _PAUSE_S,
) -> None:
    """Renew a home's trust file whenever it is due, for ever; one that names a key is left alone.

    What goes wrong is reported, and tried again after the pause: an operator has time to act.

    Args:
        home: The node's folder.
        ledger: Its full node.
        transport: How to ask it.
        report: Where to say what was done.
        pause_s: How long to wait between two looks.
    """
    ask = partial(transport.ask, ledger, timeout_s=_ASK_S)
    while True:
        try:
            trust = load_trust(home)
            if not isinstance(trust, CommitTrust):
                return
            if is_due(trust, time.time_ns() // 1_000_000):
                newer = await get_newer_trust(ask, trust)
                save_trust(home / "trust.json", newer)
                said = f"trust.json names height {newer.height} now"
                report(Report("info", "trust.renewed", said))
        except ProbatumError as error:
            report(Report("warning", error.code, f"trust.json was not renewed: {error.message}"))
        await asyncio.sleep(pause_s)
