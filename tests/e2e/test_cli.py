"""The command line against a real network of processes, from a package to an offline receipt."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

pytestmark = pytest.mark.e2e

PROGRAM = [sys.executable, "-P", "-m", "probatum.cli"]


def make_model(path: Path, scale: float = 1.0) -> None:
    """Write y = x·w + b, small enough to check by hand."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])
    w = helper.make_tensor("w", TensorProto.FLOAT, [2, 2], [scale, 2, 3, 4])
    b = helper.make_tensor("b", TensorProto.FLOAT, [2], [0.5, 0.25])
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"])
    graph = helper.make_graph([node], "linear", [x], [y], [w, b])
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)


class Desk:
    """A person at a terminal, with a home and a folder."""

    program = PROGRAM

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("PROBATUM_")
        }
        self.environment |= {"PROBATUM_HOME": str(folder / "home"), "COLUMNS": "100"}

    def run(self, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*self.program, *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def ask(self, *words: str, status: int = 0):
        """Run a command with --json and return its document."""
        done = self.run(*words, "--json")
        assert done.returncode == status, (words, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def start(self, *words: str, err: Path) -> subprocess.Popen:
        with err.open("wb") as file:
            return subprocess.Popen(
                [*PROGRAM, *words],
                cwd=self.folder,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=file,
            )


def end(process: subprocess.Popen) -> int:
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(30)
    finally:
        process.kill()
        process.stdout.close()


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A desk with a packed model and a running network of three nodes."""
    desk = Desk(tmp_path_factory.mktemp("desk"))
    make_model(desk.folder / "net.onnx")
    facts = ["--task", "regression", "--licence", "MIT", "--batch"]
    packed = desk.ask(
        "model", "pack", "net.onnx", "--name", "linear", "--version", "1.0", *facts, "-o", "linear"
    )
    desk.package = packed["package"]
    up = desk.start("up", "net", "--model", "linear", "--json", err=desk.folder / "up.err")
    try:
        line = up.stdout.readline()
        assert line, (desk.folder / "up.err").read_text()
        desk.up = json.loads(line)
        yield desk
        assert (desk.folder / "home" / "running.json").exists()
    finally:
        status = end(up)
    assert status == 0, (desk.folder / "up.err").read_text()
    assert not (desk.folder / "home" / "running.json").exists()
    assert desk.ask("ledger", "status", status=1)["error"]["code"] == "settings.no-network"
    gone = desk.ask("ledger", "status", "--ledger", desk.up["ledger"], status=3)
    assert gone["error"]["code"] == "wire.unreachable"


@pytest.fixture(scope="module")
def settled(desk):
    """A request that was answered and settled, and its bundle in a file."""
    answer = desk.ask("ask", "linear", "x=[[1, 2], [3, 4]]", "--settle")
    desk.ask("receipt", "fetch", answer["request_id"], "-o", "bundle.json")
    return answer


def test_up_says_what_is_where(desk):
    assert set(desk.up) >= {"gateway", "ledger", "nodes", "trust"}
    assert len(desk.up["nodes"]) == 3


def test_a_package_is_checked_byte_by_byte(desk):
    assert desk.ask("model", "check", "linear")["package"] == desk.package


def test_an_answer_is_right_and_its_receipt_kept(desk, settled):
    (output,) = settled["outputs"]
    assert (output["name"], output["dtype"], output["shape"]) == ("y", "float32", [2, 2])
    assert output["data"] == [[7.5, 10.25], [15.5, 22.25]]
    assert settled["package"] == desk.package
    kept = {row["request_id"]: row for row in desk.ask("receipt", "list")["receipts"]}
    assert kept[settled["request_id"]]["standing"] == "settled"
    assert desk.ask("receipt", "show", "last")["request_id"] == settled["request_id"]
    shown = desk.run("ask", "linear", "[1, 2]")
    assert "10.25" in shown.stdout
    assert "Next: probatum receipt settle" in shown.stdout


def test_inputs_come_from_files_too(desk):
    (desk.folder / "x.json").write_text("[[1, 2]]")
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}
    (desk.folder / "oip.json").write_text(json.dumps(body))
    for words in (["x=@x.json"], ["--file", "x=x.json"], ["--oip", "oip.json", "--save", "out"]):
        assert desk.ask("ask", "linear", *words)["outputs"][0]["data"] == [[7.5, 10.25]]
    assert (desk.folder / "out" / "y.npy").exists()


def test_a_receipt_holds_for_a_stranger(desk, settled):
    stranger = Desk(desk.folder / "net")
    stranger.environment["PROBATUM_HOME"] = str(desk.folder / "stranger")
    bundle = str(desk.folder / "bundle.json")
    done = stranger.run("receipt", "verify", bundle, "--trust", desk.up["trust"])
    assert done.returncode == 0, done.stderr
    assert "This receipt holds" in done.stdout
    assert "not checked" in done.stdout
    assert "embedded engine" in done.stdout
    nobody = stranger.ask("receipt", "verify", bundle, status=1)
    assert nobody["error"]["code"] == "settings.no-trust"


def test_a_changed_receipt_does_not_hold(desk, settled):
    data = (desk.folder / "bundle.json").read_bytes()
    for place in (10, len(data) // 2, len(data) - 20):
        changed = bytearray(data)
        changed[place] ^= 1
        (desk.folder / "changed.json").write_bytes(changed)
        done = desk.run("receipt", "verify", "changed.json", "--trust", desk.up["trust"])
        assert done.returncode == 1, place
        assert "does not hold" in done.stderr


def test_the_content_is_compared_bit_by_bit(desk, settled):
    verified = desk.ask("receipt", "verify", settled["request_id"])
    standing = {check["clause"]: check["standing"] for check in verified["checks"]}
    assert standing["SALT-1"] == "checked"
    names = {"FP32": [1, 2, 3, 4], "answer": [7.5, 10.25, 15.5, 22.25]}
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": names["FP32"]}
    (desk.folder / "request.json").write_text(json.dumps({"inputs": [tensor]}))
    tensor |= {"name": "y", "data": names["answer"]}
    answer = {"model_name": "linear", "outputs": [tensor]}
    (desk.folder / "answer.json").write_text(json.dumps(answer))
    words = ["receipt", "verify", "bundle.json", "--request", "request.json"]
    words += ["--answer", "answer.json", "--salt", settled["salt"]]
    assert desk.ask(*words)["holds"] is True
    tensor["data"][0] = 7.25
    (desk.folder / "answer.json").write_text(json.dumps(answer))
    assert desk.ask(*words, status=1)["error"]["code"] == "receipt.wrong-outputs"
    half = desk.ask("receipt", "verify", "bundle.json", "--request", "request.json", status=1)
    assert half["error"]["code"] == "receipt.half-content"


def test_blame_names_nobody_where_nobody_lapsed(desk, settled):
    verdict = desk.ask("blame", settled["request_id"])
    assert (verdict["status"], verdict["party"]) == ("kept", None)
    assert verdict["height_standing"].startswith("proven")
    shown = desk.run("blame", "bundle.json", "--height", "1")
    assert shown.returncode == 0
    assert "named: nobody" in shown.stdout
    assert "given, not proven" in shown.stdout


def test_the_ledger_is_read_with_proofs(desk, settled):
    status = desk.ask("ledger", "status")
    assert status["height"] > 0
    header = desk.ask("ledger", "header", "1")
    assert (header["height"], header["is_proven"]) == (1, True)
    trust = desk.ask("ledger", "trust", "-o", "trust.json")
    assert trust["genesis_hash"] == status["genesis_hash"]
    assert (desk.folder / "trust.json").read_bytes() == Path(desk.up["trust"]).read_bytes()
    assert len(desk.ask("ledger", "nodes")["nodes"]) >= 4
    assert {m["name"] for m in desk.ask("ledger", "models")["models"]} >= {"linear"}
    assert len(desk.ask("ledger", "offers")["offers"]) >= 3
    assert sum(log["size"] for log in desk.ask("ledger", "logs")["logs"]) >= 1
    state = desk.ask("ledger", "state", "supply", "--prove")
    assert state["is_proven"] is True
    assert bytes.fromhex(state["proof"]["key"]) == b"supply"
    nothing = desk.ask("ledger", "state", "account/0x" + "0" * 40)
    assert (nothing["value"], nothing["is_proven"]) == (None, True)
    unproven = desk.ask("ledger", "state", "supply", "--ledger", desk.up["ledger"])
    assert unproven["is_proven"] is False


def test_another_networks_trust_file_is_refused(desk, settled):
    trust = json.loads(Path(desk.up["trust"]).read_text())
    trust["genesis_hash"] = "0" * 64
    (desk.folder / "other.json").write_text(json.dumps(trust, separators=(",", ":")))
    for words in (
        ["receipt", "verify", "bundle.json"],
        ["ledger", "header"],
        ["ledger", "state", "supply"],
    ):
        said = desk.ask(*words, "--trust", "other.json", status=1)
        assert said["error"]["code"] == "trust.other-chain", words


def test_tokens_move_exactly(desk):
    made = desk.ask("account", "new", "savings")
    user = str(desk.folder / "net" / "accounts" / "user.json")
    sent = desk.ask("account", "send", "savings", "--amount", "0.000000001", "--account", user)
    assert desk.ask("ledger", "tx", sent["transaction"])["code"] == "ok"
    balance = desk.ask("account", "balance", "savings")
    assert (balance["balance_units"], balance["is_proven"]) == (1, True)
    assert balance["address"] == made["address"]
    broke = desk.ask(
        "account", "send", made["address"], "--amount", "1", "--account", "savings", status=1
    )
    assert broke["error"]["code"] == "ledger.fee-not-covered"


def test_what_does_not_fit_the_model_is_refused_in_words(desk):
    done = desk.run("ask", "linear", "[1, 2, 3]")
    assert done.returncode == 1
    assert "x:float32[batch,2]" in done.stderr
    assert desk.ask("ask", "nonsense", "[1]", status=1)["error"]["code"] == "model.unknown"


def test_a_node_of_ones_own_runs_a_model_of_ones_own(desk):
    """Pack, publish, set up a node, register it, and be answered by it."""
    make_model(desk.folder / "mine.onnx", scale=10)
    facts = ["--task", "regression", "--licence", "MIT", "-o", "mine"]
    packed = desk.ask("model", "pack", "mine.onnx", "--name", "mine", "--version", "2", *facts)
    user = str(desk.folder / "net" / "accounts" / "user.json")
    desk.ask("account", "new", "operator")
    desk.ask("account", "send", "operator", "--amount", "10", "--account", user)
    published = desk.ask("model", "publish", "mine", "--account", "operator")
    assert published["package"] == packed["package"]
    assert desk.ask("ask", "mine", "[1, 2]", status=1)["error"]["code"] == "model.not-offered"
    desk.ask("node", "init", "home-of-mine", "--role", "inference", "--account", "operator")
    desk.ask("node", "add-model", "home-of-mine", "mine")
    done = desk.ask("node", "register", "home-of-mine", "--account", "operator")["done"]
    assert all(" in block " in step for step in done)
    again = desk.ask("node", "register", "home-of-mine", "--account", "operator")["done"]
    assert all("already" in step for step in again)
    node = desk.start("node", "run", "home-of-mine", err=desk.folder / "node.err")
    try:
        assert json.loads(node.stdout.readline())["role"] == "inference"
        until = time.monotonic() + 60
        while (shown := desk.run("model", "show", "mine", "--json")).returncode != 0:
            assert time.monotonic() < until, shown.stdout
            time.sleep(0.5)
        status = desk.ask("node", "status", "home-of-mine")
        assert (status["is_registered"], status["is_proven"]) == (True, True)
        answer = desk.ask("ask", "mine@2", "[1, 2]", "--timeout-s", "30")
        assert answer["outputs"][0]["data"] == [[16.5, 10.25]]
        assert answer["package"] == packed["package"]
        fetched = desk.ask("model", "fetch", "mine", "-o", "copy")
        assert fetched["package"] == packed["package"]
        assert (desk.folder / "copy" / "model.onnx").read_bytes() == (
            desk.folder / "mine.onnx"
        ).read_bytes()
    finally:
        assert end(node) == 0


def test_the_doctor_finds_a_running_network_well(desk):
    examined = desk.ask("doctor")
    assert examined["well"] is True
    assert {finding["check"] for finding in examined["findings"]} >= {"ledger"}
