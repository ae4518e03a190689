"""Validators as processes, with stand-ins: kept up by themselves, told of, ended in order."""

from __future__ import annotations

import sys
import time

import pytest

from probatum.errors import Fault
from probatum.ops.children import Children
from probatum.ops.engine_status import read_status
from probatum.ops.ports import draw_ports
from probatum.ops.validators import Validator, Validators

# An application that says it is ready, and an engine that ends with 0 once its application is gone.
APP = """
import os, signal, socket, sys, threading, time
home = sys.argv[sys.argv.index("--home") + 1]
port = int(sys.argv[sys.argv.index("--port") + 1])
descriptor = int(sys.argv[sys.argv.index("--parent-fd") + 1])
threading.Thread(target=lambda: (os.read(descriptor, 1), os._exit(75)), daemon=True).start()
if os.path.exists(home + "/refused"):
    print("key.loose-permissions: others may read it", file=sys.stderr)
    sys.exit(64)
door = socket.socket()
door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
door.bind(("127.0.0.1", port))
open(home + "/abci", "w").write(str(os.getpid()))
print('{"ready": true, "endpoint": "http://127.0.0.1:%d"}' % door.getsockname()[1], flush=True)
signal.signal(signal.SIGTERM, lambda *_: (open(home + "/order", "a").write("app\\n"), sys.exit(0)))
while True:
    time.sleep(1)
"""
ENGINE = """#!{python}
import http.server, json, os, signal, sys, threading, time
if sys.argv[1] == "version":
    sys.exit("0.38.25")
port = int(open("port").read())
app = int(open("abci").read())
os.kill(app, 0)
def end(*_):
    open("order", "a").write("engine\\n")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
class Door(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        height = int(time.time() * 5) if not os.path.exists("still") else 7
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(height)) + ".123456789Z"
        said = {{"sync_info": {{"latest_block_height": str(height), "latest_block_time": moment}}}}
        data = json.dumps({{"jsonrpc": "2.0", "id": -1, "result": said}}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(data)
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", port), Door)
threading.Thread(target=server.serve_forever, daemon=True).start()
while True:
    time.sleep(0.02)
    try:
        if open(f"/proc/{{app}}/stat").read().rsplit(")", 1)[1].split()[0] == "Z":
            os._exit(0)
    except FileNotFoundError:
        os._exit(0)
"""


class Stage:
    def __init__(self, folder, count=2):
        (folder / "toyapp.py").write_text(APP)
        program = folder / "cometbft"
        program.write_text(ENGINE.format(python=sys.executable))
        program.chmod(0o755)
        self.said = []
        self.members = []
        ports = draw_ports(count)
        for number, port in enumerate(ports, 1):
            home = folder / f"home-{number}"
            home.mkdir()
            (home / "port").write_text(str(port))
            self.members.append(
                Validator(name=f"validator-{number}", home=home, port=0, rpc_port=port)
            )
        self.children = Children(folder / "logs")
        self.validators = Validators(
            tuple(self.members),
            self.children,
            program=program,
            still_s=5.0,
            say=self.said.append,
            app_module="toyapp",
        )

    def wait(self, true, seconds=20.0):
        deadline = time.monotonic() + seconds
        while not true() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert true(), self.said


@pytest.fixture
def stage(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made = Stage(tmp_path)
    yield made
    made.validators.stop()
    made.children.close()


def test_they_start_and_end_in_order(stage):
    stage.validators.start(time.monotonic() + 30)
    for member in stage.members:
        assert stage.validators.get_endpoint(member.name).startswith("http://127.0.0.1:")
        assert stage.validators.get_block(member.name).height > 1_000
        assert read_status(member.rpc_port).time_ms % 1_000 == 123
    stage.validators.stop()
    for member in stage.members:
        assert (member.home / "order").read_text() == "engine\napp\n"
    assert stage.said == []


def test_what_is_killed_comes_back_at_its_place(stage):
    stage.validators.start(time.monotonic() + 30)
    name = stage.members[0].name
    where = stage.validators.get_endpoint(name)
    for part in ("app", "engine", "app"):
        app, engine = (stage.validators.get_pid(name, one) for one in ("app", "engine"))
        assert stage.validators.kill(name, part)
        stage.wait(lambda was=engine: stage.validators.get_pid(name, "engine") not in {was, None})
        assert (stage.validators.get_pid(name, "app") == app) is (part == "engine")
    assert stage.validators.get_endpoint(name) == where
    stage.wait(lambda: stage.validators.get_block(name) is not None)
    told = "\n".join(stage.said)
    assert "validator-1 was ended by SIGKILL" in told
    assert "validator-1-engine ended with exit code 0" in told
    assert "validator-2" not in told


def test_who_stands_still_is_named(stage):
    stage.validators.start(time.monotonic() + 30)
    (stage.members[1].home / "still").touch()
    stage.wait(lambda: any("stands still" in line for line in stage.said))
    (told,) = [line for line in stage.said if "stands still" in line]
    assert told.startswith("validator-2 stands still at height 7")
    (stage.members[1].home / "still").unlink()
    stage.wait(lambda: any("moves again" in line for line in stage.said))


def test_who_is_held_stays_down_until_released(stage):
    stage.validators.start(time.monotonic() + 30)
    stage.validators.hold(("validator-2",))
    time.sleep(1)
    assert stage.validators.get_pid("validator-2", "app") is None
    assert stage.validators.get_pid("validator-2", "engine") is None
    assert not stage.validators.kill("validator-2", "app")
    stage.validators.release(("validator-2",))
    stage.wait(lambda: stage.validators.get_block("validator-2") is not None, 10)


def test_a_start_that_is_refused_is_told_at_once(stage):
    (stage.members[1].home / "refused").touch()
    with pytest.raises(Fault, match="others may read it") as caught:
        stage.validators.start(time.monotonic() + 30)
    assert caught.value.code == "children.died"


def test_blocks_that_do_not_come_are_told_with_last_words(stage):
    (stage.members[1].home / "port").write_text("nonsense")
    with pytest.raises(Fault, match="validator-2 has no block yet") as caught:
        stage.validators.start(time.monotonic() + 3)
    assert caught.value.code == "validators.not-moving"
    assert "nonsense" in caught.value.message
