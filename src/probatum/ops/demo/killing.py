"""Killing the node that holds a request, and not one moment too early.

A node writes a hand-over to its journal before it acknowledges it, so the journal that grows is
the journal of the node that has the request. It is given a moment to say so to the gateway, and
is then killed while it computes. Who writes a text for seconds is found by the processor time that
it takes. Nothing in a node helps with this. Must not know models.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from probatum.ops.network import Network

__all__ = ["kill_the_holder", "measure_journals", "measure_work"]

ACKNOWLEDGE_S: Final = 0.12
"""From the flush of the journal to the gateway's having read the acknowledgement: ample."""
_POLL_S: Final = 0.002


def measure_journals(network: Network) -> dict[str, int]:
    """Measure the journals of the running nodes, in bytes."""
    return {
        name: path.stat().st_size if path.exists() else 0
        for name in network.node_names
        if network.is_running(name)
        for path in (network.get_home(name) / "journal",)
    }


def measure_work(network: Network) -> dict[str, int]:
    """Measure how much processor time the running nodes have used, in ticks (Linux)."""
    work = {}
    for name in network.node_names:
        if network.is_running(name):
            stat = Path(f"/proc/{network.get_pid(name)}/stat").read_text()
            # Behind the program's name, which may hold anything: user and system time.
            fields = stat.rpartition(")")[2].split()
            work[name] = int(fields[11]) + int(fields[12])
    return work


def kill_the_holder(
    network: Network, before: dict[str, int], is_over: Callable[[], bool], timeout_s: float
) -> str | None:
    """Kill the node whose journal grows, while the request is under way.

    Args:
        network: No other request may be under way in it.
        before: The journals as they were before the request, by `measure_journals`.
        is_over: Whether the request has been answered.
        timeout_s: How long to wait for a node to take it.

    Returns:
        The node's name; None if the request was over before anybody could be killed.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and not is_over():
        now = measure_journals(network)
        holders = sorted(name for name, size in now.items() if size > before.get(name, 0))
        if holders:
            time.sleep(ACKNOWLEDGE_S)
            if is_over():
                return None
            network.kill(holders[0])
            return holders[0]
        time.sleep(_POLL_S)
    return None
