"""What benchmarks share: rows, load over HTTP, and what processes cost by the kernel's books."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import uvloop

Row: TypeAlias = dict[str, object]
ROOT = Path(__file__).resolve().parents[1]
SCRATCH = ROOT / ".cache"
_TICKS = os.sysconf("SC_CLK_TCK")


def make_row(
    name: str,
    value: float,
    unit: str,
    *,
    peer: str = "",
    against: float | None = None,
    goal: float | None = None,
    more_is_better: bool = False,
) -> Row:
    """Make one figure.

    Args:
        name: What was measured.
        value: How much.
        unit: Of what.
        peer: What it is compared with, named with its own figure.
        against: The peer's value.
        goal: What the project wants.
        more_is_better: Whether the goal is a floor.
    """
    reached = None if goal is None else value >= goal if more_is_better else value <= goal
    return {
        "name": name,
        "value": round(value, 3),
        "unit": unit,
        "peer": peer,
        "ratio": None if not against else round(value / against, 2),
        "goal": None if goal is None else round(goal, 3),
        "met": reached,
    }


def list_tree(pid: int) -> tuple[int, ...]:
    """List a process and everything below it."""
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:
                continue
    return tuple(dict.fromkeys(found))


def get_cpu_s(*pids: int) -> float:
    """Get user and system seconds of process trees."""
    total = 0
    for pid in (one for root in pids for one in list_tree(root)):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def get_rss_mb(pid: int) -> float:
    """Get resident megabytes of a process tree."""
    pages = 0
    for one in list_tree(pid):
        pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a load met with; milliseconds."""

    requests: int
    per_s: float
    p50_ms: float
    p99_ms: float
    receipts: tuple[str, ...]


def ask(port: int, path: str, body: bytes, *, connections: int, requests: int) -> Load:
    """POST a body many times over some kept-alive connections; anything but a 200 raises."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    times: list[float] = []
    receipts: list[str] = []

    async def one(count: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count):
            begun = time.perf_counter()
            writer.write(request)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            fields = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}
            said = await reader.readexactly(int(fields["content-length"]))
            times.append(time.perf_counter() - begun)
            if " 200 " not in lines[0]:
                raise RuntimeError(f"{lines[0]}: {said[:300]!r}")
            if "probatum-receipt" in fields:
                receipts.append(fields["probatum-receipt"])
        writer.close()

    async def everybody() -> None:
        await asyncio.gather(*(one(requests // connections) for _ in range(connections)))

    begun = time.perf_counter()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(everybody())
    took = time.perf_counter() - begun
    times.sort()
    return Load(
        requests=len(times),
        per_s=len(times) / took,
        p50_ms=1_000 * times[len(times) // 2],
        p99_ms=1_000 * times[len(times) * 99 // 100],
        receipts=tuple(receipts),
    )
