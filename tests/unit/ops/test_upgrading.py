"""Agreeing on the last height of the present rules (`ABCI-6`)."""

from __future__ import annotations

import pytest

from probatum.cli import main
from probatum.consensus.cometbft.settings import EngineSettings
from probatum.consensus.cometbft.versions import APP_VERSION
from probatum.errors import Refusal
from probatum.nodes.shell.config import FullConfig, load_config
from probatum.ops.folder import NetworkPlan, open_folder
from probatum.ops.joining import join_network
from probatum.ops.kept_tip import KeptTip
from probatum.ops.upgrading import plan_upgrade, unplan_upgrade


@pytest.fixture
def home(tmp_path):
    made = open_folder(tmp_path / "net", NetworkPlan(nodes=1, validators=1))
    made.close()
    settings = EngineSettings(moniker="mine", p2p_port=1, rpc_port=2)
    join_network(tmp_path / "mine", made.genesis, settings)
    return tmp_path / "mine"


def get_heights(home):
    return load_config(home, FullConfig).upgrade_heights


def test_heights_are_noted_in_order(home, monkeypatch):
    assert plan_upgrade(home, 100) == APP_VERSION + 1
    assert plan_upgrade(home, 200) == APP_VERSION + 2
    assert get_heights(home) == (100, 200)
    assert plan_upgrade(home, 100) == APP_VERSION + 1, "it may be said again"
    assert get_heights(home) == (100, 200)
    (home / "ledger.sqlite").touch()
    monkeypatch.setattr(
        "probatum.ops.upgrading.read_kept_tip", lambda _: KeptTip(height=300, header_hash=b"")
    )
    for height in (150, 300, 0, -1):
        with pytest.raises(Refusal) as caught:
            plan_upgrade(home, height)
        assert caught.value.code == "network.height-passed"
    with pytest.raises(Refusal) as caught:
        plan_upgrade(home, 1 << 53)
    assert caught.value.code == "config.malformed", "its node would not start with it"
    assert get_heights(home) == (100, 200)
    assert plan_upgrade(home, 301) == APP_VERSION + 3


def test_a_height_is_taken_back_until_its_block_has_come(home, monkeypatch):
    for height in (100, 200, 300):
        plan_upgrade(home, height)
    assert unplan_upgrade(home, 200) == get_heights(home) == (100, 300)
    (home / "ledger.sqlite").touch()
    monkeypatch.setattr(
        "probatum.ops.upgrading.read_kept_tip", lambda _: KeptTip(height=100, header_hash=b"")
    )
    for height, code in ((100, "network.height-passed"), (200, "network.not-noted")):
        with pytest.raises(Refusal) as caught:
            unplan_upgrade(home, height)
        assert caught.value.code == code
    assert unplan_upgrade(home, 300) == get_heights(home) == (100,)
    assert plan_upgrade(home, 101) == APP_VERSION + 2, "an earlier one can be noted now"


def test_the_command_says_what_comes_next(home, capsys):
    assert main(["network", "upgrade-at", str(home), "500"]) == 0
    shown = capsys.readouterr()
    assert f"next app version  {APP_VERSION + 1}" in shown.out
    assert "start the node again" in shown.err
    assert "upgrade_heights = [500]" in (home / "node.toml").read_text()
    assert main(["network", "upgrade-at", str(home), "400"]) != 0
    assert "network.height-passed" in capsys.readouterr().err
    assert main(["network", "upgrade-at", str(home), "500", "--remove"]) == 0
    shown = capsys.readouterr()
    assert "still noted  none" in shown.out
    assert "start the node again" in shown.err
    assert get_heights(home) == ()
    assert main(["network", "upgrade-at", str(home), "500", "--remove"]) != 0
    assert "network.not-noted" in capsys.readouterr().err
