"""A party as a process: one ready line, orderly and sudden ends, exit codes that say why."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from probatum.ledger.genesis import encode_genesis, make_genesis
from probatum.nodes.shell.config import FullConfig, GatewayConfig, write_config
from probatum.nodes.shell.keys import create_account_key, create_operating_key
from probatum.protocol.trust import KeyTrust, encode_trust

pytestmark = pytest.mark.e2e
OPERATOR = "0x" + "ab" * 20


@pytest.fixture
def home(tmp_path):
    engine = create_operating_key(tmp_path / "keys" / "operating.json")
    account = create_account_key(tmp_path / "keys" / "account.json")
    genesis = make_genesis(
        chain_id=7, time_ms=1, key=engine.key, balances={account.address: 10**12}
    )
    (tmp_path / "genesis.json").write_bytes(encode_genesis(genesis))
    write_config(tmp_path, FullConfig(block_interval_ms=100))
    return tmp_path


@contextlib.contextmanager
def start(home, *arguments, role="full", **options):
    command = [sys.executable, "-m", f"probatum.nodes.{role}.run", "--home", str(home), *arguments]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def read_ready(child):
    line = child.stdout.readline()
    assert line, child.stderr.read()
    return json.loads(line)


def get_height(endpoint):
    with urllib.request.urlopen(endpoint + "/status", timeout=30) as response:
        return json.load(response)["height"]


def codes_of(text):
    return [json.loads(line)["code"] for line in text.splitlines() if line.startswith("{")]


def test_a_process_says_that_it_is_ready_and_ends_in_order(home):
    with start(home) as child:
        ready = read_ready(child)
        assert (ready["ready"], ready["role"], ready["pid"]) == (True, "full", child.pid)
        height = get_height(ready["endpoint"])
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (0, ""), err
    assert err == ""
    # It goes on where it was.
    with start(home) as child:
        assert get_height(read_ready(child)["endpoint"]) >= height
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)
    assert child.returncode == 0


def test_a_follower_does_not_hold_up_the_end(home):
    with start(home) as child:
        ready = read_ready(child)
        port = int(ready["endpoint"].rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port)) as line:
            line.sendall(b"GET /events?after=1 HTTP/1.1\r\nHost: x\r\n\r\n")
            child.send_signal(signal.SIGTERM)
            begun = time.monotonic()
            child.communicate(timeout=60)
        assert time.monotonic() - begun < 4
    assert child.returncode == 0


def test_a_process_ends_with_its_parent(home):
    read_end, write_end = os.pipe()
    with start(home, "--parent-fd", str(read_end), pass_fds=(read_end,)) as child:
        os.close(read_end)
        read_ready(child)
        os.close(write_end)
        assert child.wait(timeout=60) == 75


def test_a_process_ends_with_its_parent_even_by_kill_9(home):
    """The parent is killed; nobody but the kernel can tell the child."""
    code = """if True:
        import os, subprocess, sys
        r, w = os.pipe()
        child = subprocess.Popen(
            [sys.executable, "-m", "probatum.nodes.full.run", "--home", sys.argv[1],
             "--parent-fd", str(r)], pass_fds=(r,))
        child.wait()
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(home)], stdout=subprocess.PIPE, text=True
    )
    ready = json.loads(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            get_height(ready["endpoint"])
        except OSError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("the child outlived its parent")
    parent.stdout.close()


def test_two_processes_cannot_have_one_home(home):
    with start(home) as first:
        read_ready(first)
        with start(home) as second:
            out, err = second.communicate(timeout=60)
        assert (second.returncode, out) == (69, "")
        assert codes_of(err) == ["home.locked"]


@pytest.mark.parametrize("linked", ["keys", "keys/account.json"])
def test_two_homes_cannot_run_with_one_key(home, tmp_path_factory, linked):
    """PAY-1: two processes that pay from one account would keep two tabs of what it owes."""
    other = tmp_path_factory.mktemp("other")
    shutil.copy(home / "node.toml", other)
    shutil.copy(home / "genesis.json", other)
    if linked != "keys":
        create_operating_key(other / "keys" / "operating.json")
    (other / linked).symlink_to(home / linked)
    with start(home) as first:
        read_ready(first)
        with start(other) as second:
            out, err = second.communicate(timeout=60)
        assert (second.returncode, out) == (69, "")
        assert codes_of(err) == ["home.locked"]
        assert "keys of its own" in err
    with start(other) as second:
        # Not its own genesis's key, or running: in any case nobody holds the lock any more.
        err = second.stderr.readline() if linked != "keys" else read_ready(second)
        assert "home.locked" not in err


def test_no_core_file_will_hold_its_keys(home):
    with start(home) as child:
        read_ready(child)
        limits = Path(f"/proc/{child.pid}/limits").read_text()
    (line,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert line.split()[4:6] == ["0", "0"]


def test_a_taken_port_is_said(home):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with start(home, "--port", port) as child:
            _, err = child.communicate(timeout=60)
        assert child.returncode == 69
        assert codes_of(err) == ["serve.cannot-bind"]


def remove_config(home):
    (home / "node.toml").unlink()
    return "config.missing"


def spoil_config(home):
    (home / "node.toml").write_text('role = "full"\nport = -1\n')
    return "config.malformed"


def loosen_key(home):
    (home / "keys" / "operating.json").chmod(0o644)
    return "key.loose-permissions"


def spoil_genesis(home):
    (home / "genesis.json").write_text("{}")
    return "encoding.malformed"


@pytest.mark.parametrize("spoil", [remove_config, spoil_config, loosen_key, spoil_genesis])
def test_what_is_wrong_with_a_home_is_said(home, spoil):
    code = spoil(home)
    with start(home) as child:
        out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (64, "")
    assert codes_of(err) == [code]


def test_a_gateway_whose_journal_is_torn_starts_and_says_so(home):
    trust = KeyTrust(
        format="probatum-trust/1",
        chain_id=7,
        genesis_hash="00" * 32,
        engine="embedded",
        key="00" * 32,
    )
    (home / "trust.json").write_bytes(encode_trust(trust))
    write_config(home, GatewayConfig(operator=OPERATOR, ledger="http://127.0.0.1:9"))
    for torn in (False, True):
        if torn:
            with (home / "journal").open("ab") as file:
                file.write(b"\0\0\0\x40torn")
        with start(home, role="gateway") as child:
            ready = read_ready(child)
            assert ready["operator"] == OPERATOR
            child.send_signal(signal.SIGTERM)
            _, err = child.communicate(timeout=60)
        assert child.returncode == 0
        assert ("journal.torn" in codes_of(err)) is torn


def test_a_process_shows_its_figures_to_callers_on_its_machine(home):
    with start(home) as child:
        endpoint = read_ready(child)["endpoint"]
        get_height(endpoint)
        with urllib.request.urlopen(endpoint + "/metrics", timeout=30) as response:
            assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
            lines = response.read().decode().splitlines()
    assert 'probatum_requests_total{message="GetStatus",outcome="ok"} 1' in lines
    found = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(found["probatum_ledger_height"]) >= 0
    assert float(found["probatum_step_seconds_count"]) > 0
    assert float(found["process_resident_memory_bytes"]) > 10_000_000
