"""Readers who do not read, and who go away, at a real gateway over real sockets (`TEXT-1`).

Streams with logprobs are a thousand times longer than their tokens: a gateway that wrote events for
who does not read them would show it soon.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest

from probatum.errors import Refusal
from probatum.evidence.receipt import check_pending
from probatum.ops.network import Network, NetworkPlan
from tests.conformance.test_openai_text import write_package
from tests.e2e.processes import wait_for

pytestmark = pytest.mark.e2e

SILENT, GONE = 6, 6
LONG = 3_900
KERNEL_BYTES = 4_096
END = b"0\r\n\r\n"


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slow-readers")
    package = write_package(folder, layers=1, context=4_000, name="quick")
    plan = NetworkPlan(nodes=1, models=(package.folder,), block_interval_ms=200)
    with Network.open(folder / "n", plan) as network:
        network.start()
        assert wait_for(lambda: stream(network, limit=1))
        yield network


def connect(network):
    """A line whose own kernel takes next to nothing."""
    where = urllib.parse.urlsplit(network.endpoints.gateway)
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BYTES)
    line.settimeout(30)
    line.connect((where.hostname, where.port))
    return line


def ask(network, line, limit):
    """Ask for a text that, without noise, goes round in circles."""
    body = {"model": "quick", "messages": [{"role": "user", "content": "hello"}]}
    body |= {"temperature": 0, "max_tokens": limit, "stream": True}
    data = json.dumps(body | {"logprobs": True, "top_logprobs": 20}).encode()
    host = urllib.parse.urlsplit(network.endpoints.gateway).netloc
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    line.sendall(head.encode() + data)


def begin(network):
    """Ask for a long text and read no more than the head of its answer: the line, the receipt."""
    line = connect(network)
    ask(network, line, LONG)
    head = b""
    while b"\r\n\r\n" not in head:
        head += line.recv(256)
    lines = head.split(b"\r\n\r\n")[0].lower().split(b"\r\n")
    assert lines[0].endswith(b"200 ok")
    found = dict(line.split(b": ", 1) for line in lines[1:])
    return line, found[b"probatum-receipt"].decode().upper()


def read_all(line):
    data = bytearray()
    with contextlib.suppress(ConnectionError):
        while not data.endswith(END) and (piece := line.recv(1 << 16)):
            data += piece
    return bytes(data)


def stream(network, limit):
    """Read a stream to its end as an ordinary client: its bytes, None if it is refused."""
    with contextlib.closing(connect(network)) as line:
        ask(network, line, limit)
        data = read_all(line)
        return len(data) if b"data: [DONE]" in data else None


def measure_bytes(network):
    """What is resident of the gateway."""
    status = Path(f"/proc/{network.get_pid('gateway')}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if "VmRSS" in line)


def find_answered(network, receipt):
    """What the receipt of an answered request says; None before there is one."""
    try:
        with urllib.request.urlopen(f"{network.endpoints.gateway}/receipts/{receipt}") as reply:
            return check_pending(reply.read())
    except (urllib.error.HTTPError, Refusal):
        return None


def test_who_reads_nothing_costs_little_and_holds_nobody_up(network):
    """Half of the readers stay and never read; half go away without a word."""
    event_bytes = stream(network, limit=400) / 400
    before = most = measure_bytes(network)
    lines = [begin(network) for _ in range(SILENT + GONE)]
    receipts = [receipt for _, receipt in lines]
    for _ in range(12):
        time.sleep(0.25)
        most = max(most, measure_bytes(network))
    # Others are served meanwhile, and not much later than alone.
    begun = time.monotonic()
    assert stream(network, limit=100)
    assert time.monotonic() - begun < 15
    for line, _ in lines[:GONE]:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.close()
    found = {}

    def look():
        nonlocal most
        most = max(most, measure_bytes(network))
        for receipt in set(receipts) - set(found):
            if (answered := find_answered(network, receipt)) is not None:
                found[receipt] = answered
        return len(found) == len(receipts)

    assert wait_for(look, timeout_s=90, pause_s=0.25)
    # Who went away ended its text.
    assert {found[one].cancellation.reason for one in receipts[:GONE]} == {"hung-up"}
    # Nobody kept for them what they did not read.
    tokens = sum(one.receipt.outputs[0].shape[0] for one in found.values())
    assert most - before < 0.4 * tokens * event_bytes
    for line, _ in lines[GONE:]:
        line.close()
