"""Joining a network of validators that runs: by a snapshot, proven by a trust file's one header."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request

import pytest

from probatum.consensus.cometbft.settings import EngineSettings, Peer
from probatum.consensus.trusting import believe, check_next, renew_trust
from probatum.errors import ProbatumError
from probatum.nodes.shell.engine_files import get_rpc_port
from probatum.ops.doctor import examine
from probatum.ops.engine_homes import get_node_id
from probatum.ops.joining import join_network, make_source
from probatum.ops.kept_tip import read_kept_tip
from probatum.ops.ports import load_ports
from probatum.protocol.messages import GetHeader
from tests.e2e.validators import Load, Stage, need_cometbft
from tests.unit.ops.sockets import draw_ports

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


def test_a_full_node_joins_by_a_snapshot(tmp_path):
    need_cometbft()
    with Stage(tmp_path / "net", snapshot_blocks=SNAPSHOT_BLOCKS) as stage, Load(stage):
        stage.wait(
            lambda: stage.get_height(stage.names[0]) > 2 * SNAPSHOT_BLOCKS + 3, what="snapshots"
        )
        trust = make_newer_trust(stage)
        rpc = [get_rpc_port(home) for home in stage.folder.validator_homes.values()][:2]
        (port,) = draw_ports(1)
        home = tmp_path / "mine"
        settings = EngineSettings(
            moniker="mine",
            p2p_port=port,
            rpc_port=draw_ports(1)[0],
            peers=list_peers(stage),
            source=make_source(tuple(f"127.0.0.1:{one}" for one in rpc), trust),
        )
        join_network(home, stage.folder.path / "genesis.json", settings)
        began = time.monotonic()
        with (tmp_path / "keep.log").open("wb") as log:
            keep = subprocess.Popen(
                [sys.executable, "-m", "probatum.cli", "network", "keep", str(home)], stderr=log
            )
        try:

            def is_there():
                try:
                    return read_kept_tip(home).height > trust.height
                except ProbatumError:
                    return False

            stage.wait(is_there, 90, "the new node follows")
            print(f"followed after {time.monotonic() - began:.1f} s")
            where = stage.validators.get_endpoint(stage.names[1])
            rows = {row.check: row for row in examine(home, where, stage.folder.trust_path)}
            assert rows["agreement"].status == "ok", rows
            assert rows["block time"].status == "ok", rows
            url = f"http://127.0.0.1:{settings.rpc_port}/status"
            told = json.loads(urllib.request.urlopen(url, timeout=10).read())
            earliest = int(told["result"]["sync_info"]["earliest_block_height"])
            assert earliest > SNAPSHOT_BLOCKS, "it never saw the blocks before the snapshot"
        finally:
            keep.terminate()
            assert keep.wait(60) == 0, (tmp_path / "keep.log").read_text()
