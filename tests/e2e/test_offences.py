"""Real processes are held to their receipts by command: late, lost, left out, lying (`LOG-1`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from probatum.client.client import Client
from probatum.ledger.params import Params
from probatum.nodes.shell.config import InferenceConfig, change_config, load_config, load_node_key
from probatum.ops.demo.magika import read_features
from probatum.ops.network import Network, NetworkPlan
from probatum.protocol.bundles import decode_bundle, encode_bundle
from probatum.protocol.dsse import decode_payload, sign_envelope
from probatum.protocol.receipts import decode_receipt, encode_receipt
from tests.e2e.processes import wait_for

pytestmark = pytest.mark.e2e

NODE = "node-1"
NEVER = 1_000_000
PARAMS = Params(
    include_window_blocks=5,
    challenge_window_blocks=15,
    heartbeat_window_blocks=1_000,
    unbonding_blocks=100_000,
)


class Holder:
    """A customer with a home, who asks with the SDK and accuses with the command."""

    def __init__(self, network, home):
        self.network, self.home = network, home
        ends = network.endpoints
        self.environment = {
            **os.environ,
            "PROBATUM_HOME": str(home),
            "PROBATUM_LEDGER": ends.ledger,
            "PROBATUM_GATEWAY": ends.gateway,
            "PROBATUM_TRUST": str(network.trust_path),
        }
        self.inputs = {"bytes": read_features(Path(__file__))[np.newaxis]}

    def ask(self):
        with Client(
            self.network.endpoints.gateway,
            trust=self.network.trust_path,
            receipts=self.home / "receipts",
        ) as client:
            return client.ask("magika", self.inputs, timeout_s=60).receipt.request.request_id

    def run(self, *words, status=0):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "probatum.cli", *words, "--json"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == status, (words, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def accuse(self, what, *words):
        account = str(self.network.account_path)
        return self.run("receipt", "accuse", what, "--account", account, "--patience", "0", *words)

    def list_offences(self):
        return self.run("node", "offences", self.network.get_operator(NODE))

    def promise(self):
        """Have something answered that is not settled: the node settles a session once."""
        first = self.ask()
        assert wait_for(lambda: self.accuse(first)["standing"] == "done")
        return self.ask()


@pytest.fixture
def holder(magika_package, tmp_path):
    plan = NetworkPlan(nodes=1, models=(magika_package,), block_interval_ms=200, params=PARAMS)
    with Network.open(tmp_path / "network", plan) as network:
        home = network.get_home(NODE)
        network.start()
        network.kill(NODE)
        config = load_config(home, InferenceConfig)
        change_config(home, msgspec.structs.replace(config, settle_every_blocks=NEVER))
        network.restart(NODE)
        yield Holder(network, tmp_path / "home")


def list_sent(said):
    return [step["sent"] for step in said["steps"]]


def test_a_node_is_held_to_its_receipts_by_command(holder):
    network = holder.network
    # Not due yet, then due: without --send nothing is sent, and it says what it would cost.
    late = holder.promise()
    said = holder.accuse(late)
    assert said["standing"] in {"waiting", "due"}
    assert wait_for(lambda: holder.accuse(late)["standing"] == "due")
    said = holder.accuse(late)
    assert said["next"] == "ChallengeReceipt"
    assert said["bond_units"] == PARAMS.challenge_bond_units
    assert said["node_loses_units"] == PARAMS.slash_omission_units
    assert holder.list_offences()["challenges"] == []
    # A node that is only late settles when it is challenged, and is not convicted.
    said = holder.accuse(late, "--wait", "--wait-s", "60")
    assert (said["standing"], list_sent(said)[0]) == ("done", "ChallengeReceipt")
    # One that lost its disk says so, and hands back what it is asked for.
    lost = holder.ask()
    network.kill(NODE)
    (network.get_home(NODE) / "journal").unlink()
    network.restart(NODE)
    network.wait_serving((NODE,))
    said = holder.accuse(lost, "--wait", "--wait-s", "60")
    assert said["standing"] == "done"
    assert "lost that log" in said["why"]
    # One that is gone, or stays silent, is convicted.
    omitted = holder.ask()
    network.kill(NODE)
    said = holder.accuse(omitted, "--wait", "--wait-s", "60")
    assert said["standing"] == "convicted"
    assert list_sent(said) == ["ChallengeReceipt", "ConvictOmission"]
    # And one that signs twice for one place, whenever.
    other = holder.home / "other.json"
    other.write_bytes(sign_again(network, holder.home / "receipts" / f"{lost}.bundle.json"))
    said = holder.accuse(lost, "--against", str(other), "--send")
    assert (said["standing"], list_sent(said)) == ("convicted", ["ReportTwoReceipts"])
    found = holder.list_offences()
    assert sorted(case["kind"] for case in found["convictions"]) == ["entry", "omission"]
    assert found["challenges"] == []
    assert [case["losses"] for case in found["losses"]] == [1]
    assert len(found["returned"]) == 1


def sign_again(network, path):
    """What a node would have to sign to answer another request under the same index."""
    bundle = decode_bundle(path.read_bytes())
    receipt = decode_receipt(decode_payload(bundle.receipt))
    key = load_node_key(network.get_home(NODE))
    again = sign_envelope(
        encode_receipt(msgspec.structs.replace(receipt, custody="ab" * 32)), (key,)
    )
    return encode_bundle(msgspec.structs.replace(bundle, receipt=again))
