"""Inspections: what a sick machine and a sick home look like, and what is advised."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from probatum.errors import Fault
from probatum.nodes.shell.api_keys import add_key
from probatum.nodes.shell.config import FullConfig, InferenceConfig, write_config
from probatum.nodes.shell.journal import lock_home
from probatum.ops import inspect_ledger as ledgers
from probatum.ops import inspect_machine as machines
from probatum.ops.doctor import examine
from probatum.ops.findings import from_error
from probatum.ops.folder import LEDGER, NetworkPlan, open_folder
from probatum.ops.homes import write_home
from probatum.ops.inspect_home import inspect_home
from probatum.ops.inspect_ledger import inspect_ledger
from probatum.ops.inspect_process import find_holder, inspect_process
from probatum.ops.locked import load_locked
from probatum.protocol.messages import GotHeader
from tests.factories import make_chain, make_trust


@pytest.fixture
def network(tmp_path):
    opened = open_folder(tmp_path / "network", NetworkPlan(nodes=1))
    write_home(opened, LEDGER, ledger=None)
    for name in ("node-1", "gateway"):
        write_home(opened, name, ledger="http://127.0.0.1:9")
    yield opened
    opened.close()


def by_check(findings):
    return {row.check: row for row in findings}


@pytest.mark.parametrize(
    ("free", "status"), [(100 << 20, "fail"), (1 << 30, "warn"), (50 << 30, "ok")]
)
def test_a_full_disk_is_noticed(tmp_path, monkeypatch, free, status):
    monkeypatch.setattr(machines.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    rows = by_check(machines.inspect_machine(tmp_path / "not" / "there" / "yet"))
    assert rows["disk"].status == status
    assert (rows["disk"].advice == "") == (status == "ok")


def test_a_disk_that_will_be_full_in_some_days_is_noticed_today(tmp_path, monkeypatch):
    """The home's age is that of its key; what it grew by since is what it will grow by."""
    key = tmp_path / "keys" / "operating.json"
    key.parent.mkdir()
    key.write_text("{}")
    (tmp_path / "journal").write_bytes(bytes(1 << 20))
    for free_mib, hours, status in (
        (4_000, 0.5, "ok"),  # too young to say
        (4_000, 24, "ok"),
    ):
        os.utime(key, (time.time() - hours * 3_600,) * 2)
        monkeypatch.setattr(
            machines.shutil, "disk_usage", lambda _, free=free_mib: SimpleNamespace(free=free << 20)
        )
        assert by_check(machines.inspect_machine(tmp_path))["disk"].status == status
    # 100 MiB in two hours are 1,200 a day.
    (tmp_path / "journal").write_bytes(bytes(100 << 20))
    os.utime(key, (time.time() - 2 * 3_600,) * 2)
    for free_mib, status in ((2_200, "fail"), (12_000, "warn"), (48_000, "ok")):
        monkeypatch.setattr(
            machines.shutil, "disk_usage", lambda _, free=free_mib: SimpleNamespace(free=free << 20)
        )
        row = by_check(machines.inspect_machine(tmp_path))["disk"]
        assert row.status == status
        assert f"enough for {free_mib / 1_200:.0f} days" in row.detail


def test_what_is_installed_is_held_to_the_lock(tmp_path, monkeypatch):
    lock = tmp_path / "run.lock"
    lock.write_text(
        "httptools==0.0.1 \\\n    --hash=sha256:00\n"
        "numpy==1.0 ; python_full_version < '3.12'\nnumpy==2.0 ; python_full_version >= '3.12'\n"
        "uvicorn[standard]==3.0\n"
    )
    locked = load_locked((tmp_path / "none", lock))
    assert locked == {"httptools": ("0.0.1",), "numpy": ("1.0", "2.0"), "uvicorn": ("3.0",)}
    monkeypatch.setattr(machines, "load_locked", lambda: locked)
    row = by_check(machines.inspect_machine(tmp_path))["versions"]
    assert row.status == "warn"
    assert ", not 0.0.1" in row.detail
    assert ", not 1.0 or 2.0" in row.detail


def test_this_environment_is_the_one_that_was_locked(tmp_path):
    assert load_locked()
    row = by_check(machines.inspect_machine(tmp_path))["versions"]
    assert (row.status, "as locked" in row.detail) == ("ok", True), row


@pytest.mark.parametrize(("most", "status"), [(100, "fail"), (1_024, "warn"), (20_000, "ok")])
def test_too_few_open_files_are_noticed(monkeypatch, most, status):
    monkeypatch.setattr(machines.resource, "getrlimit", lambda _: (most, most))
    assert by_check(machines.inspect_limits())["open files"].status == status


def test_a_bounded_address_space_and_limits_above_the_memory_are_noticed(monkeypatch):
    monkeypatch.setattr(machines.resource, "getrlimit", lambda _: (4 << 30, -1))
    rows = by_check(machines.inspect_limits(needed_bytes=1 << 50))
    assert (rows["address space"].status, rows["memory"].status) == ("warn", "warn")
    assert "memory" not in by_check(machines.inspect_limits())
    assert by_check(machines.inspect_limits(needed_bytes=1))["memory"].status == "ok"


def test_the_process_that_holds_a_home_is_found_and_not_disturbed(tmp_path):
    assert find_holder(tmp_path) is None
    held = lock_home(tmp_path)
    listed = Path("/proc/locks").read_text().strip()
    try:
        if listed:  # some sandboxes show no locks at all
            assert find_holder(tmp_path) == os.getpid()
            (row,) = inspect_process(tmp_path)
            assert (row.status, str(os.getpid()) in row.detail) == ("ok", True)
    finally:
        os.close(held)
    assert find_holder(tmp_path) is None
    assert inspect_process(tmp_path)[0].status == "skip"


def test_keys_that_others_could_replace_and_api_keys_that_they_read_fail(network):
    home = network.get_home("gateway")
    (home / "keys").chmod(0o777)
    add_key(home)
    (home / "api-keys.json").chmod(0o644)
    rows = by_check(inspect_home(home)[1])
    assert rows["keys"].status == rows["API keys"].status == "fail"
    assert "chmod 700" in rows["keys"].advice
    assert "chmod 600" in rows["API keys"].advice


def test_missing_libraries_are_named(tmp_path, monkeypatch):
    real = machines.metadata.version

    def find(name):
        if name == "onnxruntime":
            raise machines.metadata.PackageNotFoundError
        return real(name)

    monkeypatch.setattr(machines.metadata, "version", find)
    row = by_check(machines.inspect_machine(tmp_path))["versions"]
    assert (row.status, "missing: onnxruntime" in row.detail) == ("warn", True)


@pytest.mark.parametrize("name", ["ledger", "node-1", "gateway"])
def test_a_fresh_home_of_every_role_is_well(network, name):
    home, rows = inspect_home(network.get_home(name))
    assert {row.status for row in rows} <= {"ok", "warn"}, rows
    assert home.trust.genesis_hash == network.domain.genesis_hash.hex()
    if name == "node-1":
        assert by_check(rows)["packages"].status == "warn", "there is none yet"


def test_a_broken_home_says_all_that_is_broken(network):
    home = network.get_home("node-1")
    (home / "node.toml").write_text('role = "inference"\nprice_units = -1\n')
    (home / "keys" / "operating.json").unlink()
    (home / "trust.json").write_text("{}")
    rows = by_check(inspect_home(home)[1])
    assert {row.status for row in rows.values()} == {"fail"}
    assert "config.malformed" in rows["configuration"].detail
    assert "role" not in rows["configuration"].detail.split("`$")[-1], "its own complaint"
    assert "key.missing" in rows["keys"].detail


def test_a_package_that_should_be_served_and_is_not_there_fails(network):
    home = network.get_home("node-1")
    config = InferenceConfig(
        operator="0x" + "1" * 40, ledger="http://127.0.0.1:9", serve=("a" * 64,)
    )
    write_config(home, config)
    rows = inspect_home(home)[1]
    assert by_check(rows)["package aaaaaaaaaaaaaaaa…"].status == "fail"


def test_a_full_nodes_home_is_known_without_its_settings(network):
    home = network.get_home(LEDGER)
    (home / "node.toml").write_text("= =")
    rows = by_check(inspect_home(home)[1])
    assert (rows["configuration"].status, rows["trust"].status) == ("fail", "ok")


def test_a_full_nodes_home_has_no_ledger_to_look_at(network):
    assert isinstance(inspect_home(network.get_home(LEDGER))[0].config, FullConfig)
    assert by_check(examine(network.get_home(LEDGER)))["ledger"].status == "skip"


def test_a_ledger_out_of_reach_fails_with_advice_where_there_is_any(network):
    rows = by_check(examine(network.get_home("node-1")))
    assert all(row.advice for row in rows.values() if row.status in {"warn", "fail"})
    assert rows["ledger"].status == "fail"
    assert "transport.unreachable" in rows["ledger"].detail


def test_an_error_becomes_a_row():
    row = from_error("disk", Fault("hub.disk", "cannot read it", hint="look at the disk"))
    assert (row.status, row.detail, row.advice) == (
        "fail",
        "hub.disk: cannot read it",
        "look at the disk",
    )
    assert "hub.disk" in from_error("disk", Fault("hub.disk", "cannot read it")).advice


def serve(headers):
    """A full node that shows one header after the other, the last one for ever."""
    left = list(headers)

    async def converse(endpoint, message, timeout_s):
        yield GotHeader(header=left.pop(0) if len(left) > 1 else left[0])

    return converse


def look(headers, trust):
    return by_check(asyncio.run(inspect_ledger(serve(headers), "http://127.0.0.1:9", trust)))


@pytest.fixture
def headers(monkeypatch):
    monkeypatch.setattr(ledgers, "_MOVING_S", 0.3)
    monkeypatch.setattr(ledgers, "_POLL_S", 0.01)
    return make_chain(3)


def test_a_ledger_that_moves_is_well_and_the_clock_is_held_against_it(headers, monkeypatch):
    last_ms = headers[1].header.time_ms
    for skew_ms, status in ((0, "ok"), (10_000, "warn"), (-10_000, "warn"), (100_000, "fail")):
        monkeypatch.setattr(time, "time_ns", lambda skew=skew_ms: (last_ms + skew) * 1_000_000)
        rows = look(headers[:2], make_trust())
        assert (rows["ledger"].status, rows["ledger moves"].status) == ("ok", "ok")
        assert rows["clock"].status == status


def test_a_proven_block_of_validators_is_some_blocks_old():
    judged = {skew_ms: ledgers._judge_clock(skew_ms, 6_000).status for skew_ms in (8_900, 9_100)}
    assert judged == {8_900: "ok", 9_100: "warn"}
    assert ledgers._judge_clock(-3_100, 6_000).status == "warn", "none is ahead of the clock"
    assert ledgers._judge_clock(60_100, 6_000).status == "fail"


def test_a_ledger_that_stands_still_or_goes_back_fails(headers):
    still = look(headers[:1], make_trust())
    assert "still at height" in still["ledger moves"].detail
    assert still["clock"].status == "skip", "an old block says nothing about a clock"
    assert "back to" in look(headers[1::-1], make_trust())["ledger moves"].detail


def test_a_ledger_of_another_chain_or_key_fails_and_without_trust_it_is_only_believed(headers):
    other = msgspec.structs.replace(make_trust(), key="ab" * 32)
    assert "trust.other-key" in look(headers, other)["ledger"].detail
    assert look(headers, None)["ledger"].status == "warn"
