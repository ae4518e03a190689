"""A receipt that four real validators settled, in the hands of who has two files and no network.

The whole of it by commands: founded by `network init`, run by `up`, asked, settled, ended; then
`receipt verify` in processes to which every socket is refused (`LIGHT-1`).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import urllib.request
from base64 import b64decode

import pytest
from msgspec.structs import replace as change

from probatum.client.settling import list_tiles
from probatum.evidence.settlement import encode_header
from probatum.protocol.bundles import decode_bundle, encode_bundle
from probatum.protocol.encoding import decode
from probatum.protocol.hashing import sha256
from probatum.protocol.headers import SignedHeader
from probatum.protocol.limits import SIGNED_HEADER_BYTES
from probatum.protocol.trust import decode_trust, encode_trust
from tests.e2e.processes import find_processes, wait_for
from tests.e2e.test_cli import Desk, end, make_model
from tests.e2e.validators import BLOCK_MS, need_cometbft

pytestmark = pytest.mark.e2e

NO_NETWORK = """
import socket, sys
def refuse(*_, **__): raise AssertionError("whoever verifies needs no network")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from probatum.cli import main
sys.exit(main(sys.argv[1:]))
"""


class Stranger(Desk):
    """Somebody with a bundle and trust files, who reaches nobody."""

    program = (sys.executable, "-P", "-c", NO_NETWORK)

    def refuse(self, bundle, trust):
        """Why a bundle is not believed."""
        found = self.ask("receipt", "verify", bundle, "--trust", trust, status=1)
        return found["error"]["code"]


def copy_log(desk, node):
    """What anybody may keep of a node's log: the tiles that prove the first of two entries."""
    (log,) = desk.ask("ledger", "logs")["logs"]
    assert log["size"] == 2
    desk.tiles = list_tiles(0, log["size"])
    for path in desk.tiles:
        target = desk.folder / "copy" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(f"{node}/log/{log['session']}/{path}", timeout=10) as found:
            target.write_bytes(found.read())


def renew(desk):
    """The node is gone: the last entry of its log needs nobody, others what was added since."""
    desk.ask("receipt", "renew", "second.json", "-o", "second-renewed.json")
    found = desk.ask("receipt", "renew", "receipt.json", status=3)["error"]
    assert found["code"] == "receipt.no-log"
    assert all(path in found["message"] for path in desk.tiles), found
    desk.ask("receipt", "renew", "receipt.json", "--log", "copy", "-o", "renewed.json")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """All that a network of four validators left: bundles and trust files, itself gone."""
    program = need_cometbft()
    desk = Desk(tmp_path_factory.mktemp("desk"))
    desk.environment["PROBATUM_COMETBFT"] = str(program)
    make_model(desk.folder / "net.onnx")
    facts = ["--task", "regression", "--licence", "MIT", "--batch"]
    desk.ask(
        "model", "pack", "net.onnx", "--name", "linear", "--version", "1.0", *facts, "-o", "linear"
    )
    four = ("--validators", "4", "--nodes", "1", "--block-ms", str(BLOCK_MS))
    founded = desk.ask("network", "init", *four, "net")
    assert len(founded["validators"]) == 4
    desk.ask("network", "init", *four, "other")
    up = desk.start("up", "net", "--model", "linear", "--json", err=desk.folder / "up.err")
    try:
        line = up.stdout.readline()
        assert line.endswith(b"}\n"), line + up.stdout.read()
        assert json.loads(line)["trust"] == str(desk.folder / founded["trust"])
        desk.ask("ledger", "trust", "--renew", "-o", "trust.json")
        for name in ("receipt.json", "second.json"):
            desk.ask("ask", "linear", "x=[[1, 2]]", "--settle")
            desk.ask("receipt", "settle", "last", "-o", name)
        copy_log(desk, json.loads(line)["nodes"][0])
        first = desk.ask("ledger", "status")["height"]
        assert wait_for(lambda: desk.ask("ledger", "status")["height"] > first + 2)
        desk.ask("ledger", "trust", "--renew", "-o", "later.json")
        (node,) = find_processes(desk.folder / "net" / "homes" / "node-1")
        os.kill(node, signal.SIGKILL)
        renew(desk)
    finally:
        status = end(up)
    assert status == 0, (desk.folder / "up.err").read_text()
    assert find_processes(desk.folder) == []
    return Stranger(desk.folder)


def test_a_settled_receipt_holds_by_one_header_and_no_network(stranger):
    trust = decode_trust((stranger.folder / "trust.json").read_bytes())
    assert trust.height > 0
    assert trust.header_hash != trust.genesis_hash
    found = stranger.ask("receipt", "verify", "receipt.json", "--trust", "trust.json")
    assert found["holds"]
    assert found["height"] >= trust.height
    sealed = [
        line["text"] for line in found["checks"] if "of 4 validators of chain" in line["text"]
    ]
    assert len(sealed) == 1, found["checks"]
    shown = stranger.run("receipt", "verify", "receipt.json", "--trust", "trust.json")
    assert shown.returncode == 0
    assert "This receipt holds" in shown.stdout


def test_no_other_trust_file_will_do(stranger):
    trust = decode_trust((stranger.folder / "trust.json").read_bytes())
    lapsed = stranger.folder / "lapsed.json"
    lapsed.write_bytes(encode_trust(change(trust, trusting_period_ms=1)))
    assert stranger.refuse("receipt.json", "other/trust.json") == "trust.other-chain"
    assert stranger.refuse("receipt.json", "lapsed.json") == "light.expired"
    assert stranger.refuse("receipt.json", "later.json") == "light.before-trust"


def touch_header(header, **changes):
    """Another header of ours, or other votes, in a bundle's text."""
    signed = decode(SignedHeader, b64decode(header), limit_bytes=SIGNED_HEADER_BYTES)
    seal, commit = signed.seal, signed.seal.commit
    if changes:
        return encode_header(change(signed, header=change(signed.header, **changes)))
    votes = tuple(change(vote, signature=vote.signature[::-1]) for vote in commit.votes)
    return encode_header(change(signed, seal=change(seal, commit=change(commit, votes=votes))))


def test_what_was_renewed_without_its_node_holds_by_a_later_header(stranger):
    for name in ("second-renewed.json", "renewed.json"):
        assert stranger.ask("receipt", "verify", name, "--trust", "later.json")["holds"]


def test_a_bundle_that_was_touched_is_refused(stranger):
    bundle = decode_bundle((stranger.folder / "receipt.json").read_bytes())
    settlement, signature = bundle.settlement, bundle.receipt.signatures[0]
    text, other = settlement.header, "B" if signature.sig[0] == "A" else "A"
    forged = change(signature, sig=other + signature.sig[1:])
    touched = {
        "light.other-app-hash": {"header": touch_header(text, state_root=sha256(b"mine"))},
        "light.bad-signature": {"header": touch_header(text)},
        "merkle.bad-proof": {"inclusion": ("ab" * 32,)},
    }
    for code, changes in touched.items():
        data = encode_bundle(change(bundle, settlement=change(settlement, **changes)))
        (stranger.folder / "touched.json").write_bytes(data)
        assert stranger.refuse("touched.json", "trust.json") == code
    touched = {
        "dsse.bad-signature": {"receipt": change(bundle.receipt, signatures=(forged,))},
        "receipt.not-settled": {"settlement": None},
    }
    for code, changes in touched.items():
        (stranger.folder / "touched.json").write_bytes(encode_bundle(change(bundle, **changes)))
        assert stranger.refuse("touched.json", "trust.json") == code
