"""Four founders with homes of their own making meet by their files and make blocks (`FOUND-1`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from probatum.errors import ProbatumError
from probatum.ops.kept_tip import read_kept_tip
from tests.e2e.validators import need_cometbft
from tests.unit.ops.sockets import draw_pair

pytestmark = pytest.mark.e2e
NAMES = ("alice", "bob", "carol", "dave")
BLOCKS = 5


class Party:
    """One founder on a machine of its own, as far as files go: nothing but files is handed over."""

    def __init__(self, folder, name):
        self.folder, self.home = folder / name, folder / name / "validator"
        self.folder.mkdir()
        self.env = {**os.environ, "PROBATUM_HOME": str(self.folder / "accounts")}

    def run(self, *words):
        command = [sys.executable, "-m", "probatum.cli", *words, "--json"]
        done = subprocess.run(command, env=self.env, capture_output=True, timeout=120, check=False)
        assert done.returncode == 0, (done.stdout.decode(), done.stderr.decode())
        return json.loads(done.stdout)

    def keep(self):
        command = [sys.executable, "-m", "probatum.cli", "network", "keep", str(self.home)]
        with (self.folder / "keep.log").open("wb") as log:
            return subprocess.Popen(command, env=self.env, stderr=log)

    def get_tip(self):
        try:
            return read_kept_tip(self.home)
        except ProbatumError:
            return None


def test_founders_on_separate_machines_make_blocks(tmp_path):
    need_cometbft()
    parties = [Party(tmp_path, name) for name in NAMES]
    files = []
    for party in parties:
        party.run("account", "new")
        party.run("network", "found", str(party.home), "--p2p-port", str(draw_pair()))
        files.append(str(party.home / "founder.json"))
    gathered = parties[0].run("network", "gather", *files, "-o", str(tmp_path / "founding"))
    peers = (tmp_path / "founding/peers.txt").read_text()
    genesis = str(tmp_path / "founding/genesis.json")
    for party in parties:
        words = ("network", "join", str(party.home), "--genesis", genesis)
        made = party.run(*words, "--peer", peers, "--block-ms", "300")
        assert made["genesis_hash"] == gathered["genesis_hash"]
    keepers = [party.keep() for party in parties]
    try:
        deadline = time.monotonic() + 120
        while not all((tip := party.get_tip()) and tip.height >= BLOCKS for party in parties):
            assert time.monotonic() < deadline, [one.folder / "keep.log" for one in parties]
            time.sleep(0.2)
        # All of one chain: whoever keeps a sealed header of a height keeps the same.
        sealed = {party.get_tip().sealed.header.genesis_hash.hex() for party in parties}
        assert sealed == {gathered["genesis_hash"]}
        validators = parties[0].get_tip().sealed.seal.validators
        assert len(validators) == len(NAMES)
        assert len({one.power for one in validators}) == 1
    finally:
        for keeper in keepers:
            keeper.terminate()
        codes = [keeper.wait(60) for keeper in keepers]
    assert codes == [0] * len(NAMES)
