"""Joining a network of validators that runs: by a snapshot, proven by a trust file's one header."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request

import msgspec
import pytest

from probatum.consensus.cometbft.settings import Peer
from probatum.consensus.trusting import believe, check_next, renew_trust
from probatum.errors import ProbatumError
from probatum.nodes.shell.engine_files import get_rpc_port
from probatum.ops.doctor import examine
from probatum.ops.engine_homes import get_node_id
from probatum.ops.kept_tip import read_kept_tip
from probatum.ops.ports import load_ports
from probatum.protocol.messages import GetHeader
from probatum.protocol.trust import encode_trust
from tests.e2e.validators import Load, Stage, need_cometbft
from tests.unit.ops.sockets import draw_pair

pytestmark = pytest.mark.e2e
SNAPSHOT_BLOCKS = 10


def make_newer_trust(stage):
    """A trust file of a header of now, as `probatum ledger trust --renew` makes it."""
    name = stage.names[0]
    height = stage.get_height(name)
    now_ms = time.time_ns() // 1_000_000
    signed, after = (stage.ask(name, GetHeader(height=one)).header for one in (height - 1, height))
    return renew_trust(check_next(believe(stage.trust), signed, now_ms), after, now_ms)


def list_peers(stage):
    ports = load_ports(stage.folder.path)
    return tuple(
        Peer(id=get_node_id(home), host="127.0.0.1", port=ports[f"{name}-p2p"])
        for name, home in stage.folder.validator_homes.items()
    )


def make_words(stage, home, trust_path, port):
    """The command line by which a stranger with genesis and one trusted header joins."""
    rpc = [get_rpc_port(one) for one in stage.folder.validator_homes.values()][:2]
    words = ["node", "run", "--role", "full", str(home)]
    words += ["--genesis", str(stage.folder.path / "genesis.json"), "--trust", str(trust_path)]
    words += ["--peer", ",".join(map(str, list_peers(stage))), "--p2p-port", str(port)]
    for one in rpc:
        words += ["--snapshot-from", f"127.0.0.1:{one}"]
    return [sys.executable, "-m", "probatum.cli", *words]


def check_refused(words, code):
    done = subprocess.run(words, stderr=subprocess.PIPE, timeout=300, check=False)
    assert done.returncode != 0
    assert code in done.stderr.decode()


def test_a_full_node_joins_by_a_snapshot(tmp_path):
    need_cometbft()
    with Stage(tmp_path / "net", snapshot_blocks=SNAPSHOT_BLOCKS) as stage, Load(stage):
        stage.wait(
            lambda: stage.get_height(stage.names[0]) > 2 * SNAPSHOT_BLOCKS + 3, what="snapshots"
        )
        trust = make_newer_trust(stage)
        paths = {name: tmp_path / f"{name}.json" for name in ("good", "lie", "late", "stranger")}
        changes = {
            "good": {},
            "lie": {"header_hash": "ab" * 32},
            "late": {"time_ms": trust.time_ms - trust.trusting_period_ms},
            "stranger": {"genesis_hash": "cd" * 32},
        }
        for name, path in paths.items():
            path.write_bytes(encode_trust(msgspec.structs.replace(trust, **changes[name])))
        port = draw_pair()
        home = tmp_path / "mine"
        for name, code in (
            ("lie", "network.other-header"),
            ("late", "network.trust-expired"),
            ("stranger", "network.other-chain"),
        ):
            check_refused(make_words(stage, home, paths[name], port), code)
            assert not home.exists()
        began = time.monotonic()
        with (tmp_path / "keep.log").open("wb") as log:
            keep = subprocess.Popen(make_words(stage, home, paths["good"], port), stderr=log)
        try:

            def is_there():
                try:
                    return read_kept_tip(home).height > trust.height
                except ProbatumError:
                    return False

            stage.wait(is_there, 240, "the new node follows")
            print(f"followed after {time.monotonic() - began:.1f} s")
            where = stage.validators.get_endpoint(stage.names[1])
            rows = {row.check: row for row in examine(home, where, stage.folder.trust_path)}
            assert rows["agreement"].status == "ok", rows
            assert rows["block time"].status == "ok", rows
            url = f"http://127.0.0.1:{port + 1}/status"
            told = json.loads(urllib.request.urlopen(url, timeout=10).read())
            earliest = int(told["result"]["sync_info"]["earliest_block_height"])
            assert earliest > SNAPSHOT_BLOCKS, "it never saw the blocks before the snapshot"
        finally:
            keep.terminate()
            assert keep.wait(60) == 0, (tmp_path / "keep.log").read_text()
