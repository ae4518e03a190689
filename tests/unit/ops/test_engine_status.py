"""What an engine says of itself: bounded, read strictly, and never believed to be more."""

from __future__ import annotations

import http.server
import json
import threading
from base64 import b64encode

import pytest

from probatum.errors import Fault
from probatum.ops.engine_status import find_cause, read_peers_height, read_status
from probatum.ops.ports import draw_ports
from probatum.protocol.hashing import sha256


@pytest.fixture
def engine():
    """An engine that says what it is told to."""

    class Door(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + self.server.says)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def show(height="14", moment="2026-11-21T13:32:14.034000142Z", **more):
    sync = {"latest_block_height": height, "latest_block_time": moment, "catching_up": False}
    result = {"sync_info": sync, **more}
    return json.dumps({"jsonrpc": "2.0", "id": -1, "result": result}).encode()


def show_key(key):
    value = b64encode(key).decode()
    return {"pub_key": {"type": "tendermint/PubKeyEd25519", "value": value}, "voting_power": "0"}


@pytest.mark.parametrize(
    ("moment", "time_ms"),
    [
        ("2026-11-21T13:32:14.034000142Z", 1_795_267_934_034),
        ("2026-11-21T13:32:14.03Z", 1_795_267_934_030),
        ("2026-11-21T13:32:14Z", 1_795_267_934_000),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000),
    ],
)
def test_a_last_block_is_read(engine, moment, time_ms):
    engine.says = show(moment=moment)
    found = read_status(engine.server_port)
    assert (found.height, found.time_ms) == (14, time_ms)


@pytest.mark.parametrize(
    "says",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 60_000,
        b'{"result": {}}',
        b'{"error": {"code": -32603}}',
        show(height="-1"),
        show(height="1" * 30),
        show(height=14),
        show(moment="yesterday"),
        show(validator_info={"pub_key": {"value": "\x1b[2J"}}),
        show(moment="2026-11-21T13:32:14.xZ"),
        show() + b" " * 70_000,
    ],
)
def test_anything_else_is_a_fault(engine, says):
    engine.says = says
    with pytest.raises(Fault) as caught:
        read_status(engine.server_port)
    assert caught.value.code == "engine.odd-reply"


def test_whose_answer_it_is_is_looked_at_where_one_is_meant(engine):
    mine, other = sha256(b"mine"), sha256(b"other")
    engine.says = show(validator_info=show_key(mine))
    assert read_status(engine.server_port, key=mine).height == 14
    for says, shown in (
        (show(validator_info=show_key(other)), b64encode(other).decode()),
        (show(), "names no key"),
    ):
        engine.says = says
        assert read_status(engine.server_port).height == 14
        with pytest.raises(Fault) as caught:
            read_status(engine.server_port, key=mine)
        assert caught.value.code == "engine.another"
        assert shown in caught.value.message


def test_nobody_there_is_a_fault():
    (port,) = draw_ports(1)
    with pytest.raises(Fault) as caught:
        read_status(port)
    assert caught.value.code == "engine.unreachable"


def show_peers(*heights):
    peers = [
        {"node_address": "x", "peer_state": {"round_state": {"height": str(one), "round": 0}}}
        for one in heights
    ]
    return json.dumps({"result": {"round_state": {}, "peers": peers}}).encode()


@pytest.mark.parametrize(
    ("heights", "found"),
    [((), None), ((7,), 7), ((7, 9), 7), ((9, 1, 9), 9), ((1, 1, 9, 9), 1), ((1, 9, 9, 9), 9)],
)
def test_where_more_than_half_of_the_peers_are_is_read(engine, heights, found):
    engine.says = show_peers(*heights)
    assert read_peers_height(engine.server_port) == found


@pytest.mark.parametrize("says", [b"{}", b'{"result":{"peers":[{}]}}', show_peers(-1), b"[" * 9])
def test_what_says_nothing_of_peers_is_refused(engine, says):
    engine.says = says
    with pytest.raises(Fault) as caught:
        read_peers_height(engine.server_port)
    assert caught.value.code == "engine.odd-reply"


def test_why_an_engine_refuses_blocks_stands_in_its_log(tmp_path):
    log = tmp_path / "engine.jsonl"
    assert find_cause(log, 0) == ""
    old = b'{"err":"wrong Block.Header.AppHash.  Expected 00, got 01"}\n'
    log.write_bytes(old + b'{"err":"something else"}\n' + b"x" * 100_000)
    assert find_cause(log, 0) == "", "it is long ago"
    log.write_bytes(old)
    assert "AppHash" in find_cause(log, 0)
    assert "diverged" in find_cause(log, 0)
    assert find_cause(log, len(old)) == "", "an engine before this one said it"
    with log.open("ab") as file:
        file.write(b"wrong Block.Header.Version. Expected {11 1}, got {11 2}")
    assert "app version" in find_cause(log, 0)
