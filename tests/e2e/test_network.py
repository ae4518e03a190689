"""Whole networks of real processes: `up`, its end in every way, going on, deaths, the doctor."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from probatum.client.client import Client
from probatum.errors import Fault
from probatum.ops.demo.magika import read_features
from probatum.ops.doctor import examine
from probatum.ops.folder import open_folder
from probatum.ops.network import Network, NetworkPlan
from tests.e2e.processes import find_processes, wait_for

pytestmark = pytest.mark.e2e


@pytest.fixture
def folder(tmp_path):
    """A network's folder with quick blocks; `up` goes on with what it finds."""
    path = tmp_path / "network"
    open_folder(path, NetworkPlan(nodes=2, block_interval_ms=200)).close()
    return path


def start_up(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "probatum.cli", "up", str(folder), "--json", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PROBATUM_HOME": str(folder.parent / "home")},
    )


def read_ready(process):
    line = process.stdout.readline()
    assert line, process.stderr.read().decode()
    return json.loads(line)


def ask(facts, receipts):
    with Client(
        facts["gateway"], ledger=facts["ledger"], trust=facts["trust"], receipts=receipts
    ) as client:
        answer = client.ask("magika", {"bytes": read_features(Path(__file__))[np.newaxis]})
        return answer, client.settle(answer)


def test_up_ends_with_kill_9_and_goes_on_where_it_was(folder, magika_package, tmp_path):
    first = start_up(folder, "--model", str(magika_package))
    facts = read_ready(first)
    assert sorted(facts) == ["account", "folder", "gateway", "ledger", "nodes", "trust"]
    assert len(facts["nodes"]) == 2
    answer, verified = ask(facts, tmp_path / "receipts")
    # up itself, ledger, two nodes, gateway.
    assert len(find_processes(folder)) == 5
    first.kill()
    first.communicate()
    assert wait_for(lambda: find_processes(folder) == [], 10), find_processes(folder)

    second = start_up(folder)
    again = read_ready(second)
    assert again == facts, "same chain, same ports"
    with Client(again["gateway"], trust=facts["trust"], receipts=tmp_path / "receipts") as client:
        assert client.settle(answer).receipt == verified.receipt, "the gateway still has it"
    _, later = ask(again, tmp_path / "receipts")
    assert later.settlement.header.height > verified.settlement.header.height
    second.send_signal(signal.SIGTERM)
    out, err = second.communicate(timeout=30)
    assert (second.returncode, out) == (0, b""), err.decode()
    assert find_processes(folder) == []


def test_a_node_that_dies_is_reported_and_the_rest_go_on(folder, magika_package, tmp_path):
    process = start_up(folder, "--model", str(magika_package))
    facts = read_ready(process)
    (node,) = find_processes(folder / "homes" / "node-1")
    os.kill(node, signal.SIGKILL)
    said = b""
    while b"node-1 was ended by SIGKILL" not in said:
        piece = process.stderr.readline()
        assert piece, said.decode()
        said += piece
    ask(facts, tmp_path / "receipts")
    (gateway,) = find_processes(folder / "homes" / "gateway")
    os.kill(gateway, signal.SIGKILL)
    _, rest = process.communicate(timeout=30)
    assert process.returncode == 1
    assert b"gateway was ended by SIGKILL" in rest
    assert find_processes(folder) == []


def test_who_cannot_start_is_named_with_its_last_words(folder, magika_package):
    home = folder / "homes" / "node-2"
    (home / "keys" / "operating.json").chmod(0o644)
    network = Network.open(folder, NetworkPlan(models=(magika_package,)))
    with network, pytest.raises(Fault) as caught:
        network.start()
    assert caught.value.code == "children.died"
    assert "node-2" in caught.value.message
    assert "key.loose-permissions" in caught.value.message
    assert find_processes(folder) == []


def test_everybody_may_be_killed_and_comes_back(folder, magika_package, tmp_path):
    with Network.open(folder, NetworkPlan(models=(magika_package,))) as network:
        network.start()
        before = network.endpoints
        for name in network.names:
            network.kill(name)
            assert not network.is_running(name)
            network.restart(name)
        assert network.find_dead() == ()
        assert network.endpoints == before
        facts = {
            "gateway": before.gateway,
            "ledger": before.ledger,
            "trust": str(network.trust_path),
        }
        _, verified = ask(facts, tmp_path / "receipts")
        assert verified.settlement is not None


def test_the_doctor_sees_a_well_network_and_what_is_wrong_with_a_sick_one(folder, magika_package):
    with Network.open(folder, NetworkPlan(models=(magika_package,))) as network:
        network.start()
        home = network.get_home("node-1")
        well = examine(home)
        assert {row.status for row in well} <= {"ok", "warn"}, well
        seen = {row.check for row in well}
        assert {"python", "disk", "keys", "trust", "ledger", "ledger moves", "clock"} <= seen
        assert {"registration", "heartbeat", "log session"} <= seen
        gateway = examine(network.get_home("gateway"))
        assert {row.status for row in gateway} <= {"ok", "warn"}, gateway

        model = next((home / "packages").glob("*/model.onnx"))
        model.chmod(0o644)
        model.write_bytes(model.read_bytes()[:-1] + b"!")
        (home / "keys" / "operating.json").chmod(0o640)
        network.kill("node-1")
        sick = {row.check.split()[0]: row for row in examine(home) if row.status == "fail"}
        assert set(sick) == {"keys", "package", "log"}
        assert "chmod 600" in sick["keys"].advice
        endpoint = network.endpoints.ledger
    gone = {row.check: row for row in examine(None, endpoint)}
    assert gone["ledger"].status == "fail"
