"""Four real validators: whoever is killed comes back, a chain without a quorum waits, nobody's word
is lost, and one that computed something else is named and mended by the documented steps.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import msgspec
import pytest

from probatum.consensus.chain.sqlite_store import SqliteStore
from probatum.consensus.tables import RECORD
from probatum.ops.doctor import examine
from probatum.ops.folder import USER, NetworkPlan, open_folder
from probatum.protocol.encoding import decode, encode
from probatum.protocol.records import Account, get_account_key
from tests.e2e.processes import find_processes, wait_for
from tests.e2e.validators import BLOCK_MS, Load, Stage, need_cometbft, repair

pytestmark = pytest.mark.e2e


@pytest.fixture
def program():
    return need_cometbft()


def kill_again_and_again(stage, rounds, seed):
    """Kill any process at random; sometimes before the one before is back."""
    draw = random.Random(seed)
    killed = []
    while len(killed) < rounds:
        name, part = draw.choice(stage.names), draw.choice(("app", "engine"))
        if stage.validators.kill(name, part):
            killed.append((name, part))
        time.sleep(draw.uniform(0.3, 3.0))
    return killed


def hold(tmp_path, rounds, seed):
    with Stage(tmp_path / "net") as stage, Load(stage, seed) as load:
        stage.wait(lambda: len(load.final) > 5, what="transfers become final")
        killed = kill_again_and_again(stage, rounds, seed)
        stage.wait_level(120)
        done = len(load.final)
        stage.wait(lambda: len(load.final) > done + 5, what="transfers become final again")
        load.ending.set()
        load.thread.join()
        height = stage.wait_level()
        load.check_kept()
        print(f"{len(killed)} killed, {len(load.final)} final at height {height}")


def test_one_validator_alone_is_killed_and_goes_on(program, tmp_path):
    with Stage(tmp_path / "net", count=1) as stage, Load(stage) as load:
        for part in ("app", "engine"):
            done = len(load.final)
            stage.wait(lambda done=done: len(load.final) > done + 3, what="transfers are final")
            stage.wait(
                lambda part=part: stage.validators.kill("validator-1", part), what=f"its {part}"
            )
        done = len(load.final)
        stage.wait(lambda: len(load.final) > done + 3, what="transfers are final again")
        load.ending.set()
        load.thread.join()
        load.check_kept()


def test_ten_kills_lose_nothing(program, tmp_path, seed_round):
    hold(tmp_path, 10, seed_round)


@pytest.mark.nightly
def test_fifty_kills_lose_nothing(program, tmp_path, seed_round):
    hold(tmp_path, 50, 1_000 + seed_round)


def test_without_a_quorum_the_chain_waits_and_goes_on(program, tmp_path):
    with Stage(tmp_path / "net") as stage, Load(stage) as load:
        stage.wait(lambda: len(load.final) > 5, what="transfers become final")
        stage.validators.hold(("validator-3", "validator-4"))
        time.sleep(2)
        height, done = stage.get_height("validator-1"), len(load.final)
        time.sleep(5)
        assert stage.get_height("validator-1") == height, "nothing is decided"
        assert len(load.final) == done, "nothing is acknowledged"
        stage.wait(lambda: tells(stage, "the chain stands still"), what="the watch says so")
        assert not tells(stage, "is started again, the"), "a restart would be one fewer"
        stage.validators.release(("validator-3", "validator-4"))
        stage.wait_level(60)
        stage.wait(lambda: len(load.final) > done + 5, what="transfers become final again")
        load.ending.set()
        load.thread.join()
        stage.wait_level()
        load.check_kept()


def tells(stage, words):
    return any(words in line for line in stage.said)


def test_one_that_stands_still_alone_is_started_again(program, tmp_path):
    with Stage(tmp_path / "net") as stage:
        stage.wait_level()
        # It lives, it holds its place, and does nothing: as good as a process that hangs.
        hung = stage.validators.get_pid("validator-2", "engine")
        os.kill(hung, signal.SIGSTOP)
        stage.wait(lambda: tells(stage, "validator-2 is started again, the 1."), what="it is told")
        stage.wait(
            lambda: stage.validators.get_pid("validator-2", "engine") not in {None, hung},
            what="another engine",
        )
        stage.wait_level(60)


def spoil(stage, name):
    """Give an account one unit more, on one validator's disk: what a flipped bit could do."""
    key = get_account_key(stage.folder.load_account(USER).address)
    disk = SqliteStore.open(stage.folder.get_home(name) / "ledger.sqlite")
    account = decode(Account, disk.get(RECORD, key), limit_bytes=1 << 16)
    changed = encode(msgspec.structs.replace(account, balance=account.balance + 1))
    disk.commit([(RECORD, key, changed)])
    disk.close()


def test_who_diverged_is_named_and_mended(program, tmp_path):
    with Stage(tmp_path / "net") as stage, Load(stage) as load:
        stage.wait(lambda: len(load.final) > 5, what="transfers become final")
        home, other = stage.folder.get_home("validator-4"), "validator-1"
        stage.validators.hold(("validator-4",))
        spoil(stage, "validator-4")
        stage.validators.release(("validator-4",))

        def is_named():
            return any("validator-4 stands still" in line for line in stage.said)

        stage.wait(is_named, 60, "the watch names it")
        where = stage.validators.get_endpoint(other)

        def check_named():
            rows = {row.check: row for row in examine(home, where, stage.folder.trust_path)}
            assert rows["agreement"].status == "fail", rows
            assert "DIVERGED" in rows["agreement"].detail
            assert rows["block time"].status == "fail"

        check_named()
        # Started again, its engine may end at every start, so nobody answers; or it waits again.
        stage.wait(lambda: stage.validators.kill("validator-4", "engine"), what="it is tried again")
        time.sleep(2)
        check_named()
        stage.validators.hold(("validator-4",))
        check_named()
        repair(program, home)
        stage.validators.release(("validator-4",))
        stage.wait_level(120)
        load.ending.set()
        load.thread.join()
        stage.wait_level()
        load.check_kept()


def test_a_network_of_validators_dies_with_up_and_goes_on(program, tmp_path):
    folder = tmp_path / "net"
    open_folder(folder, NetworkPlan(nodes=1, validators=4, block_interval_ms=BLOCK_MS)).close()
    command = [sys.executable, "-m", "probatum.cli", "up", str(folder), "--json"]
    environment = {**os.environ, "PROBATUM_HOME": str(tmp_path / "home")}
    heights, facts = [], []
    for end in (signal.SIGKILL, signal.SIGTERM):
        with (tmp_path / "up.log").open("ab") as log:
            up = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment)
        line = up.stdout.readline()
        assert line, (tmp_path / "up.log").read_text()
        facts.append(json.loads(line))
        # Four applications, four engines with a process each before them, a node, a gateway, up.
        assert len(find_processes(folder)) + len(find_engines(folder)) == 11 + 4
        status = urllib.request.urlopen(facts[-1]["ledger"] + "/status", timeout=10).read()
        heights.append(json.loads(status)["height"])
        up.send_signal(end)
        up.communicate(timeout=60)
        gone = wait_for(lambda: not find_processes(folder) and not find_engines(folder), 15)
        assert gone, (find_processes(folder), find_engines(folder))
    assert up.returncode == 0
    assert facts[0] == facts[1], "same chain, same ports"
    assert 0 < heights[0] < heights[1]


def find_engines(folder):
    """Engines are started with nothing that names their folder but the one that they run in."""
    found = []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdecimal() and str((process / "cwd").readlink()).startswith(
                str(folder)
            ):
                found.append(int(process.name))
    return found
