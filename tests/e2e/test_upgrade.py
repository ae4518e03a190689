"""An upgrade by app version: all halt at the agreed height, the next release goes on (`ABCI-6`)."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path

import pytest

from probatum.consensus.cometbft.versions import APP_VERSION
from probatum.errors import Fault
from probatum.nodes.shell.config import FullConfig, write_config
from probatum.nodes.shell.engine_files import get_rpc_port
from probatum.ops.kept_tip import read_kept_tip
from probatum.ops.supervising import LastBlock
from probatum.protocol.headers import compute_header_hash
from tests.e2e.validators import BLOCK_MS, Load, Stage, need_cometbft, repair

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).resolve().parents[2]
LAST = 15
"""The last height by the present rules."""
NEXT = "tests.e2e.next_release"


def get_engine_version(stage, name, height):
    """The app version in the engine's header of a height."""
    port = get_rpc_port(stage.folder.validator_homes[name])
    url = f"http://127.0.0.1:{port}/commit?height={height}"
    said = json.loads(urllib.request.urlopen(url, timeout=10).read())
    return int(said["result"]["signed_header"]["header"]["version"]["app"])


def get_tips(stage):
    return {read_kept_tip(home).height for home in stage.folder.validator_homes.values()}


class Releases:
    """Which release each validator of a stage has; a keeper's restart changes none."""

    def __init__(self, stage, monkeypatch):
        self.stage, self.installed = stage, set()
        children = stage.validators._children
        spawn = children.spawn

        def spawn_its_own(name, module, arguments):
            spawn(name, NEXT if name in self.installed else module, arguments)

        monkeypatch.setattr(children, "spawn", spawn_its_own)

    def install(self, *names):
        """Stop validators, install the next release, start them: what an operator does."""
        self.stage.validators.hold(names)
        self.installed.update(names)
        self.stage.validators.release(names)


def test_four_validators_halt_and_the_next_release_goes_on(tmp_path, monkeypatch):
    need_cometbft()
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with Stage(tmp_path / "net", upgrade_heights=(LAST,)) as stage:
        releases = Releases(stage, monkeypatch)
        with Load(stage) as load:
            stage.wait(lambda: get_tips(stage) == {LAST}, what="everybody is at the last height")
            before = {
                read_kept_tip(home).header_hash for home in stage.folder.validator_homes.values()
            }
            time.sleep(3)
            assert get_tips(stage) == {LAST}, "nobody goes on by the old release"
            for name in stage.names:
                log = (stage.folder.logs / f"{name}.jsonl").read_text()
                assert "full.newer-rules" in log, "it says which release is needed"
                # An answer that came late counts as none, once.
                stage.wait(
                    lambda name=name: isinstance(stage.validators.get_block(name), LastBlock),
                    what=f"{name} still answers",
                )
            *upgraded, late = stage.names
            releases.install(*upgraded)
            # Three of four are enough; the fourth meets a block that it cannot decide, and ends.
            stage.wait(
                lambda: all(stage.get_height(name) > LAST + 3 for name in upgraded),
                what="the next release goes on",
            )

            def is_refused():
                try:
                    stage.validators.check()
                except Fault as fault:
                    return "full.newer-rules" in str(fault)
                return False

            stage.wait(is_refused, what=f"{late} is refused by name")
            assert read_kept_tip(stage.folder.validator_homes[late]).height == LAST
            releases.install(late)
            stage.wait(lambda: stage.get_height(late) > LAST + 3, what=f"{late} follows")
            stage.wait_level()
        load.check_kept()
        # One chain: the first block by the new rules follows the last one by the old.
        last, first = (stage.get_header(stage.names[0], one) for one in (LAST, LAST + 1))
        assert before == {compute_header_hash(last)}
        assert first.previous == compute_header_hash(last)
        versions = [get_engine_version(stage, stage.names[0], one) for one in (1, LAST, LAST + 1)]
        assert versions == [APP_VERSION, APP_VERSION, APP_VERSION + 1]


@pytest.mark.nightly
def test_who_forgot_the_height_stands_still_and_is_mended(tmp_path, monkeypatch):
    """What docs/operating says of one that did not note it; the others have the release before."""
    program = need_cometbft()
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    stage = Stage(tmp_path / "net", upgrade_heights=(LAST,))
    releases = Releases(stage, monkeypatch)
    *upgraded, late = stage.names
    releases.installed.update(upgraded)
    home = stage.folder.validator_homes[late]
    write_config(home, FullConfig(block_interval_ms=BLOCK_MS))
    with stage:
        stage.wait(
            lambda: all(stage.get_height(name) > LAST + 3 for name in upgraded),
            what="the chain goes on without a stop",
        )
        logs = "".join(path.read_text(errors="replace") for path in stage.folder.logs.iterdir())
        assert "wrong Block.Header.Version" in logs
        assert read_kept_tip(home).height == LAST
        stage.validators.hold((late,))
        write_config(home, FullConfig(block_interval_ms=BLOCK_MS, upgrade_heights=(LAST,)))
        repair(program, home)
        releases.install(late)
        stage.wait_level()
    assert read_kept_tip(home).height > LAST + 3
