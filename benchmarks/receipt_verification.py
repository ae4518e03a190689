"""How long a stranger takes to verify one settled bundle, offline.

The peer is the bare check of as many Ed25519 signatures as a bundle of one branch has.
"""

from __future__ import annotations

import http.client
import tempfile
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path

from benchmarks import small_model
from benchmarks.measuring import SCRATCH, Row, ask, make_row
from benchmarks.request_path import PATH, wait_settled
from probatum.client.proofs import make_check_now
from probatum.evidence.receipt import check_bundle
from probatum.ops.network import Network, NetworkPlan
from probatum.protocol.bundles import decode_bundle
from probatum.protocol.ed25519 import OperatingSigner, check_signature
from probatum.protocol.hashing import sha256
from probatum.protocol.trust import decode_trust

GOAL_MS = 3.0


def get_bundle(scratch: Path) -> tuple[bytes, bytes]:
    """Have a real network answer and settle; get a bundle and the trust file."""
    package = small_model.make_package(scratch / "package")
    plan = NetworkPlan(nodes=1, models=(package,))
    with Network.open(scratch / "network", plan) as network:
        network.start()
        where = urllib.parse.urlsplit(network.endpoints.gateway)
        port = where.port or 0
        load = ask(port, PATH, small_model.BODY, connections=4, requests=400)
        wait_settled(port, load.receipts)
        link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        link.request("GET", f"/receipts/{load.receipts[200]}")
        data = link.getresponse().read()
        link.close()
        return data, network.trust_path.read_bytes()


def time_ms(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Get median and 99th percentile."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        times.append(1_000 * (time.perf_counter() - begun))
    times.sort()
    return times[rounds // 2], times[rounds * 99 // 100]


def run(*, quick: bool = False) -> list[Row]:
    """Measure; one row a figure."""
    rounds = 200 if quick else 2_000
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        data, trust_file = get_bundle(Path(folder))
    check = make_check_now(decode_trust(trust_file))
    bundle = decode_bundle(data)
    envelopes = [*bundle.custody, bundle.release, *((bundle.receipt,) if bundle.receipt else ())]
    count = 1 + sum(len(envelope.signatures) for envelope in envelopes)  # 1: the header's
    signer, message = OperatingSigner(sha256(b"bench")), bytes(1_500)
    signature = signer.sign(message)
    check_bundle(data, check)
    median, late = time_ms(lambda: check_bundle(data, check), rounds)

    def check_bare() -> None:
        for _ in range(count):
            check_signature(signer.key, message, signature)

    bare, _ = time_ms(check_bare, rounds)
    said = f"{count} bare signature checks {bare:.2f} ms"
    return [
        make_row("verify a receipt, median", median, "ms", peer=said, against=bare, goal=GOAL_MS),
        make_row("verify a receipt, 99 %", late, "ms", peer=said, against=bare),
        make_row("a settled receipt's size", len(data) / 1_000, "kB"),
    ]
