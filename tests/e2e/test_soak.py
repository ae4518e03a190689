"""The soak: customers, kills and restarts for half an hour; nothing is lost, memory stays flat.

``make soak`` prints its table; ``make nightly`` runs it too. ``PROBATUM_SOAK_S`` shortens it.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from benchmarks import small_model
from probatum.nodes.shell.config import GatewayConfig, InferenceConfig, write_config
from probatum.ops.network import GATEWAY, Network, NetworkPlan
from tests.e2e.soak import MIB, make_inputs, soak

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]

SECONDS = float(os.environ.get("PROBATUM_SOAK_S", "1800"))
NOWHERE = "http://127.0.0.1:1"


def bound_what_is_kept(network):
    """Let what is kept in memory reach its bounds soon: until then it rightly grows."""
    for name in (*network.node_names, GATEWAY):
        identity = {"operator": network.get_operator(name), "ledger": NOWHERE}
        config = (
            GatewayConfig(**identity, bundle_bytes=64 * MIB, recent_bytes=16 * MIB)
            if name == GATEWAY
            else InferenceConfig(**identity, recent_bytes=16 * MIB)
        )
        write_config(network.get_home(name), config)


@pytest.fixture
def receipts():
    """A folder in memory, if there is one: the customers' disk is not what is tested."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def test_half_an_hour_of_kills_loses_nothing_and_memory_stays_flat(
    repository, tmp_path, receipts, seed_round
):
    package = small_model.make_package(tmp_path / "package")
    with Network.open(tmp_path / "network", NetworkPlan(models=(package,))) as network:
        bound_what_is_kept(network)
        network.start()
        report = soak(
            network,
            small_model.NAME,
            make_inputs(),
            receipts,
            seconds=SECONDS,
            seed=seed_round,
        )
    report.save(repository / ".cache" / "soak.json")
    print("\n" + report.write())
    assert report.odd == []
    assert report.lost == []
    assert report.used_twice == []
    assert report.settled == report.answered
    assert report.answered > 10 * SECONDS
    assert [line.name for line in report.memory if not line.is_flat] == []
