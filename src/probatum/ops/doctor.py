"""`probatum doctor`: what is wrong here, and what to do about it.

Looks at the machine, at a node's home, at the ledger, and at the node's place in it, as far as
each is named; never changes anything. Read next: `inspect_machine`, `inspect_home`,
`inspect_process`, `inspect_trust`, `inspect_engine`, `inspect_ledger`, `inspect_node`.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import assert_never

from probatum.client.transport import HttpTransport
from probatum.errors import ProbatumError
from probatum.nodes.shell.config import (
    AnyConfig,
    FullConfig,
    GatewayConfig,
    InferenceConfig,
    read_small_file,
)
from probatum.ops.engine_homes import is_engine_home
from probatum.ops.findings import Finding, from_error
from probatum.ops.inspect_engine import inspect_agreement, inspect_engine
from probatum.ops.inspect_home import Home, inspect_home
from probatum.ops.inspect_ledger import inspect_ledger
from probatum.ops.inspect_machine import inspect_limits, inspect_machine
from probatum.ops.inspect_node import Registrant, inspect_node
from probatum.ops.inspect_process import inspect_process
from probatum.ops.inspect_trust import inspect_trust
from probatum.protocol import limits
from probatum.protocol.hexes import address_from_document
from probatum.protocol.trust import Trust, decode_trust

__all__ = ["Finding", "examine"]


def examine(
    home: Path | None = None, ledger: str | None = None, trust: Path | None = None
) -> tuple[Finding, ...]:
    """Examine what is named; takes some seconds when a ledger is.

    Args:
        home: A node's home folder.
        ledger: A full node's endpoint; the home's own if absent.
        trust: A trust file; the home's own if absent.

    Returns:
        A row for each check, in the order in which to mend things.
    """
    findings = list(inspect_machine(home or Path.cwd()))
    found = Home()
    if home is not None:
        found, rows = inspect_home(home)
        findings += rows
        findings += inspect_process(home)
        if isinstance(found.config, FullConfig) and is_engine_home(home):
            findings += inspect_engine(home)
    findings += inspect_limits(_add_up(found.config))
    believed = found.trust
    if trust is not None:
        try:
            believed = decode_trust(read_small_file(trust, limit_bytes=limits.TRUST_BYTES))
        except ProbatumError as error:
            findings.append(from_error("trust file", error))
    config = found.config
    # A full node's is made of its genesis: it computes every block, so it starts from nothing else.
    if believed is not None and (trust is not None or not isinstance(config, FullConfig)):
        findings += inspect_trust(believed, time.time_ns() // 1_000_000)
    if ledger is None and config is not None and not isinstance(config, FullConfig):
        ledger = config.ledger
    if ledger is None:
        detail = "no full node was named"
        findings.append(Finding(check="ledger", status="skip", detail=detail))
    else:
        findings += asyncio.run(_examine_network(ledger, believed, found, home))
    return tuple(findings)


async def _examine_network(
    ledger: str, trust: Trust | None, home: Home, folder: Path | None
) -> tuple[Finding, ...]:
    async with HttpTransport() as transport:
        rows = await inspect_ledger(transport.converse, ledger, trust)
        config = home.config
        if trust is None or config is None:
            return rows
        if isinstance(config, FullConfig):
            if folder is None or not is_engine_home(folder):
                return rows
            return rows + await inspect_agreement(transport.converse, folder, ledger, trust)
        operator = address_from_document(config.operator)
        return rows + await inspect_node(
            transport.converse,
            ledger,
            trust,
            Registrant(operator=operator, key=home.operating_key, payer=home.payer),
        )


def _add_up(config: AnyConfig | None) -> int:
    """Add up what a node's settings let it hold in memory, its models apart."""
    match config:
        case GatewayConfig():
            return config.held_bytes + config.bundle_bytes + config.recent_bytes
        case InferenceConfig():
            return config.held_bytes + config.recent_bytes + config.kept_answer_bytes
        case FullConfig() | None:
            return 0
        case _:
            assert_never(config)
