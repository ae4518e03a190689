"""What a node does with the headers of a second past before it ends: keeps them, and reports them.

It stops, since to go on would be to take sides; its operator reads what convicts whom, and an
honest full node's engine has it convict (`LIGHT-1`). Must not know how the two were found.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Final

from probatum.client.forks import keep_fork, report_headers
from probatum.client.transport import HttpTransport
from probatum.errors import ProbatumError
from probatum.evidence.forks import make_fork
from probatum.machine.wishes import Report
from probatum.nodes.shell.config import load_trust
from probatum.nodes.shell.logs import write_report
from probatum.protocol.headers import SignedHeader
from probatum.protocol.trust import CommitTrust

__all__ = ["bear_witness"]

_ASK_S: Final = 10.0


def bear_witness(home: Path, ledger: str, headers: tuple[SignedHeader, ...]) -> None:
    """Keep headers that contradict each other in a home, and report them to its full node.

    What goes wrong is reported to the operator: the process is about to end anyhow.

    Args:
        home: The node's folder.
        ledger: Its full node: the one that showed them, and perhaps of a network that lies.
        headers: Two, or one that contradicts the trust file.
    """
    try:
        if len(headers) == 2:
            path = keep_fork(home, make_fork(*headers))
            _tell("fork.kept", f"kept in {path}; `probatum ledger fork` says who sealed both")
    except ProbatumError as error:
        _tell(error.code, error.message)
    try:
        trust = load_trust(home)
        if isinstance(trust, CommitTrust):
            asyncio.run(_report(ledger, headers, trust.height))
    except ProbatumError as error:
        _tell(error.code, error.message)


async def _report(ledger: str, headers: tuple[SignedHeader, ...], believed: int) -> None:
    async with HttpTransport() as transport:
        ask = partial(transport.ask, timeout_s=_ASK_S)
        for told in await report_headers(ask, (ledger,), headers, believed):
            what = told.why or "its engine has it convict"
            _tell(told.code or "fork.reported", f"{ledger}, of height {told.height}: {what}")


def _tell(code: str, message: str) -> None:
    write_report(Report("error", code, message))
