"""From whom a snapshot comes, and the trusted header that is held up before anything is made."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import threading
import time
from pathlib import Path

import msgspec
import pytest

from probatum.consensus.cometbft.settings import EngineSettings, read_setting
from probatum.consensus.trust_files import make_trust
from probatum.errors import Refusal
from probatum.ops.folder import NetworkPlan, open_folder
from probatum.ops.joining import join_network
from probatum.ops.sources import check_source, make_source

RECORDED = Path(__file__).resolve().parents[3] / "vectors" / "cometbft"
SERVERS = ("127.0.0.1:1", "http://other.example.org:26657")


@pytest.fixture(scope="module")
def genesis(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network") / "net"
    made = open_folder(folder, NetworkPlan(nodes=1, validators=1))
    made.close()
    return made.genesis


def make(genesis, servers=SERVERS, age_ms=0, **changes):
    trust = make_trust(genesis)
    trust = msgspec.structs.replace(trust, **{"height": 9, "header_hash": "ab" * 32} | changes)
    return make_source(servers, trust, genesis, now_ms=genesis.time_ms + age_ms)


def test_a_snapshot_is_proven_by_the_trust_files_header(tmp_path, genesis):
    settings = EngineSettings(moniker="mine", p2p_port=1, rpc_port=2, source=make(genesis))
    join_network(tmp_path / "mine", genesis, settings)
    text = (tmp_path / "mine/engine/config/config.toml").read_text()
    assert read_setting(text, "statesync", "enable") is True
    assert read_setting(text, "statesync", "rpc_servers") == ",".join(SERVERS)
    assert read_setting(text, "statesync", "trust_height") == 9
    assert read_setting(text, "statesync", "trust_hash") == "AB" * 32
    assert read_setting(text, "statesync", "trust_period") == f"{14 * 86_400_000}ms"


def refuse(*arguments, **said):
    with pytest.raises(Refusal) as caught:
        make(*arguments, **said)
    return caught.value.code


def test_what_proves_nothing_is_refused_by_name(genesis):
    assert refuse(genesis, height=0) == "network.no-trusted-header"
    assert refuse(genesis, genesis_hash="cd" * 32) == "network.other-chain"
    period_ms = make_trust(genesis).trusting_period_ms
    assert make(genesis, age_ms=period_ms - 1).height == 9
    assert refuse(genesis, age_ms=period_ms) == "network.trust-expired"
    for servers in (("a:1",), ("a:1", "b"), ("a:1", 'b"\n:2'), (), ("a:1", "http://a:1")):
        assert refuse(genesis, servers) == "network.bad-server"


class Recorded(http.server.BaseHTTPRequestHandler):
    """An engine's RPC that shows for each height what a real one showed."""

    def do_GET(self):
        height = self.path.removeprefix("/commit?height=")
        data = (RECORDED / f"commit_h{height}.json").read_bytes() if height < "4" else b"{}"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    engine = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorded)
    threading.Thread(target=engine.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{engine.server_port}"
    engine.shutdown()
    engine.server_close()


def get_hash(height):
    said = json.loads((RECORDED / f"commit_h{height}.json").read_bytes())
    return bytes.fromhex(said["result"]["signed_header"]["commit"]["block_id"]["hash"])


def test_servers_are_held_to_the_trusted_header(genesis, server):
    source = make(genesis, (server, "127.0.0.1:9", f"http://{server}"), height=3)
    source = dataclasses.replace(source, header_hash=get_hash(3))
    assert check_source(source) == (server, f"http://{server}"), "who is silent is no liar"
    other = dataclasses.replace(source, header_hash=get_hash(2))
    with pytest.raises(Refusal) as caught:
        check_source(other)
    assert caught.value.code == "network.other-header"
    assert server in caught.value.message
    assert check_source(dataclasses.replace(source, height=4)) == (), "what is no answer"


def test_odd_servers_are_as_good_as_silent(genesis, server):
    odd = ("a..b:1", f"{'a' * 64}:1", "[:::::]:1", ".:1", "http://[1:2]:3")
    source = make(genesis, (server, *odd), height=3)
    assert check_source(dataclasses.replace(source, header_hash=get_hash(3))) == (server,)


class Trickling(Recorded):
    """One that says a byte now and then, of its head or of its body, for ever."""

    def do_GET(self):
        with contextlib.suppress(OSError):
            if self.path.endswith("=1"):
                self.send_response(200)
                self.end_headers()
            while True:
                self.wfile.write(b"x")
                time.sleep(0.1)


@pytest.mark.parametrize("height", [1, 2])
def test_a_server_that_trickles_holds_nobody_up(genesis, server, height):
    engine = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Trickling)
    threading.Thread(target=engine.serve_forever, daemon=True).start()
    source = make(genesis, (f"127.0.0.1:{engine.server_port}", server), height=height)
    source = dataclasses.replace(source, header_hash=get_hash(height))
    began = time.monotonic()
    assert check_source(source, answer_s=0.5) == (server,)
    assert time.monotonic() - began < 5
    engine.shutdown()
    engine.server_close()
