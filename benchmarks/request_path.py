"""What one request costs: gateway and node with evidence, the same without, and MLServer.

All answer the same question about the same small model over the Open Inference Protocol's JSON,
one after the other on the same machine, as processes of their own. Server CPU is what the kernel
books for the process trees (it hardly moves with other load, times do), over completed requests;
"and settled" counts on until the last receipt is final, less what idle processes cost meanwhile.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import small_model
from benchmarks.measuring import ROOT, SCRATCH, Load, Row, ask, get_cpu_s, get_rss_mb, make_row
from probatum.ops.network import GATEWAY, Network, NetworkPlan
from probatum.protocol.hashing import sha256

PATH = f"/v2/models/{small_model.NAME}/infer"
PEER = ROOT / ".cache" / "mlserver-venv"
PEER_LOCK = ROOT / "requirements" / "mlserver.txt"
PIP = ("install", "--quiet", "--disable-pip-version-check", "--no-input")
EVIDENCE_GOAL_MS = 0.6
IDLE_S = 4.0


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One server at one number of connections."""

    load: Load
    cpu_ms: float
    settled_cpu_ms: float | None = None


def measure(port: int, pids: tuple[int, ...], connections: int, requests: int) -> Figures:
    before = get_cpu_s(*pids)
    load = ask(port, PATH, small_model.BODY, connections=connections, requests=requests)
    return Figures(load=load, cpu_ms=1_000 * (get_cpu_s(*pids) - before) / load.requests)


# ------------------------------------------------------------------------------ without evidence


@contextlib.contextmanager
def run_floor(*arguments: str) -> Iterator[tuple[int, int]]:
    """Run a floor server; yield its port and process id."""
    command = [sys.executable, "-m", "benchmarks.floor_server", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline()), process.pid
        finally:
            process.kill()


def measure_all(port: int, pids: tuple[int, ...], loads: dict[int, int]) -> dict[int, Figures]:
    ask(port, PATH, small_model.BODY, connections=4, requests=200)
    return {count: measure(port, pids, count, requests) for count, requests in loads.items()}


# --------------------------------------------------------------------------------- with evidence


def measure_network(
    scratch: Path, package: Path, loads: dict[int, int]
) -> tuple[dict[int, Figures], float]:
    """Measure a gateway and a node; also get the memory of both."""
    plan = NetworkPlan(nodes=1, models=(package,))
    with Network.open(scratch / "network", plan) as network:
        network.start()
        port = urllib.parse.urlsplit(network.endpoints.gateway).port or 0
        pids = tuple(network.get_pid(name) for name in (GATEWAY, *network.node_names))
        warm = ask(port, PATH, small_model.BODY, connections=4, requests=200)
        wait_settled(port, warm.receipts)
        found = {}
        for connections, requests in loads.items():
            before, begun = get_cpu_s(*pids), time.monotonic()
            time.sleep(IDLE_S)
            idle = (get_cpu_s(*pids) - before) / (time.monotonic() - begun)
            before, begun = get_cpu_s(*pids), time.monotonic()
            figures = measure(port, pids, connections, requests)
            wait_settled(port, figures.load.receipts)
            spent = get_cpu_s(*pids) - before - idle * (time.monotonic() - begun)
            found[connections] = Figures(
                load=figures.load,
                cpu_ms=figures.cpu_ms,
                settled_cpu_ms=1_000 * spent / figures.load.requests,
            )
        return found, sum(get_rss_mb(pid) for pid in pids)


def wait_settled(port: int, receipts: tuple[str, ...], timeout_s: float = 180) -> None:
    deadline = time.monotonic() + timeout_s
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    # The log settles in order, but not bundles: look at some from everywhere, then at the last.
    for receipt in (*receipts[:: max(1, len(receipts) // 8)], *receipts[-8:]):
        while True:
            link.request("GET", f"/receipts/{receipt}")
            response = link.getresponse()
            response.read()
            if response.status == 200:
                break
            if time.monotonic() > deadline:
                raise RuntimeError(f"receipt {receipt} is not settled: {response.status}")
            time.sleep(0.25)
    link.close()


# -------------------------------------------------------------------------------------- the peer


def prepare_peer() -> str:
    """Install MLServer in an environment of its own, once; say why not if that fails."""
    stamp = PEER / f".stamp-{hash_lock()}"
    if stamp.exists():
        return ""
    commands = (
        [sys.executable, "-m", "venv", "--clear", str(PEER)],
        [str(PEER / "bin" / "pip"), *PIP, "--require-hashes", "-r", str(PEER_LOCK)],
    )
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no word"])[-1]
            return f"MLServer cannot be installed here: {last}"
    stamp.touch()
    return ""


def hash_lock() -> str:
    return sha256(PEER_LOCK.read_bytes()).hex()[:16]


def find_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        doors = [stack.enter_context(socket.socket()) for _ in range(count)]
        for door in doors:
            door.bind(("127.0.0.1", 0))
        return [door.getsockname()[1] for door in doors]


@contextlib.contextmanager
def run_peer(scratch: Path, model: Path) -> Iterator[tuple[int, int]]:
    folder = scratch / "peer"
    folder.mkdir()
    ports = find_ports(3)
    keys = ("http_port", "grpc_port", "metrics_port")
    settings = {**dict(zip(keys, ports, strict=True)), "host": "127.0.0.1", "parallel_workers": 0}
    (folder / "settings.json").write_text(json.dumps(settings))
    described = {
        "name": small_model.NAME,
        "implementation": "ort.Ort",
        "parameters": {"uri": str(model)},
    }
    (folder / "model-settings.json").write_text(json.dumps(described))
    (folder / "ort.py").write_bytes((ROOT / "benchmarks/peers/mlserver_ort.py").read_bytes())
    log = (folder / "log").open("wb")
    with (
        log,
        subprocess.Popen(
            [str(PEER / "bin" / "mlserver"), "start", "."],
            cwd=folder,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": str(folder)},
        ) as process,
    ):
        try:
            wait_ready(ports[0], process, folder / "log")
            yield ports[0], process.pid
        finally:
            process.kill()


def wait_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            link.request("GET", f"/v2/models/{small_model.NAME}/ready")
            if link.getresponse().status == 200:
                return
        time.sleep(0.25)
    raise RuntimeError("MLServer does not start: " + log.read_text()[-500:])


# --------------------------------------------------------------------------------------- figures


def run(*, quick: bool = False) -> list[Row]:
    """Measure; one row a figure."""
    loads = {1: 200, 16: 800} if quick else {1: 1_500, 16: 6_000}
    rows: list[Row] = []
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as name:
        scratch = Path(name)
        package = small_model.make_package(scratch / "package")
        with run_floor("one", str(package)) as (port, pid):
            floor = measure_all(port, (pid,), loads)
        with (
            run_floor("back", str(package)) as (back, back_pid),
            run_floor("front", f"http://127.0.0.1:{back}") as (port, pid),
        ):
            plain = measure_all(port, (pid, back_pid), loads)
        peer: dict[int, Figures] = {}
        why = prepare_peer()
        if not why:
            with run_peer(scratch, package / "model.onnx") as (port, pid):
                peer = measure_all(port, (pid,), loads)
                peer_mb = get_rss_mb(pid)
                rows.append(make_row("memory, MLServer after load", peer_mb, "MB"))
        else:
            print(f"skipped: {why}", file=sys.stderr)
        network, memory = measure_network(scratch, package, loads)
        rows.append(make_row("memory, gateway and node after load", memory, "MB"))
    for connections in loads:
        rows += compare(
            connections,
            floor[connections],
            plain[connections],
            network[connections],
            peer.get(connections),
        )
    return rows


def compare(
    connections: int, floor: Figures, plain: Figures, network: Figures, peer: Figures | None
) -> list[Row]:
    at = f"at {connections}"
    peer_ms = peer.cpu_ms if peer else None
    said = f"MLServer {peer_ms:.3f} ms" if peer_ms else "MLServer not installed"
    settled = network.settled_cpu_ms or 0.0
    rows = [
        make_row(
            f"CPU, one process without evidence, {at}",
            floor.cpu_ms,
            "ms",
            peer=said,
            against=peer_ms,
        ),
        make_row(
            f"CPU, two processes without evidence, {at}",
            plain.cpu_ms,
            "ms",
            peer=said,
            against=peer_ms,
            goal=peer_ms,
        ),
        make_row(
            f"CPU, gateway and node, {at}",
            network.cpu_ms,
            "ms",
            peer=said,
            against=peer_ms,
            goal=2 * peer_ms if peer_ms else None,
        ),
        make_row(
            f"CPU, gateway and node, and settled, {at}",
            settled,
            "ms",
            peer=said,
            against=peer_ms,
            goal=2 * peer_ms if peer_ms else None,
        ),
        make_row(
            f"CPU, evidence alone, {at}",
            network.cpu_ms - plain.cpu_ms,
            "ms",
            peer=f"without evidence {plain.cpu_ms:.3f} ms",
            against=plain.cpu_ms,
            goal=EVIDENCE_GOAL_MS,
        ),
    ]
    for what, figures in (
        ("one process without evidence", floor),
        ("two processes without evidence", plain),
        ("gateway and node", network),
        ("MLServer", peer),
    ):
        if figures is not None:
            told = peer.load if peer and figures is not peer else None
            for key in ("p50_ms", "p99_ms", "per_s"):
                unit = "1/s" if key == "per_s" else "ms"
                against = getattr(told, key) if told else None
                rows.append(
                    make_row(
                        f"{key.partition('_')[0] if key != 'per_s' else 'rate'}, {what}, {at}",
                        getattr(figures.load, key),
                        unit,
                        peer=f"MLServer {against:.2f} {unit}" if against else "",
                        against=against,
                    )
                )
    return rows
