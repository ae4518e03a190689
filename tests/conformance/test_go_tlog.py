"""Oracle: Go's `sumdb/note` and `sumdb/tlog` check our checkpoints, proofs and tiles (LOG-1).

Skipped by name where Go is absent, older than 1.22, or cannot get its module.
"""

import json
import os
import re
import shutil
import subprocess
from base64 import b64encode
from pathlib import Path

import pytest

from probatum.protocol import merkle, tiles
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.notes import Checkpoint, key_text, sign_checkpoint

PROGRAM = Path(__file__).parent / "go"
SIGNER = OperatingSigner(b"\x06" * 32)
ORIGIN = "probatum.example/log/3"
SIZES = (1, 7, 256, 600, 66_000)
INDEXES = (0, 6, 255, 256, 599, 65_535, 65_999)


def find_go():
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        pytest.skip("Go is absent: its note and tlog packages did not check our logs")
    version = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False)
    found = re.match(r"go1\.(\d+)", version.stdout)
    if found is None or int(found[1]) < 22:
        pytest.skip(f"Go is older than 1.22 ({version.stdout.strip()}): it did not check our logs")
    return go


@pytest.fixture(scope="module")
def check(tmp_path_factory):
    go = find_go()
    binary = tmp_path_factory.mktemp("go") / "tlogcheck"
    environment = os.environ | {"GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
    built = subprocess.run(
        [go, "build", "-o", str(binary), "."],
        cwd=PROGRAM,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    unreachable = r"dial tcp|no such host|i/o timeout|module lookup disabled|proxyconnect|410 Gone"
    if built.returncode and re.search(unreachable, built.stderr):
        pytest.skip("Go cannot get its module here: it did not check our logs")
    assert built.returncode == 0, built.stderr

    def run(document):
        done = subprocess.run(
            [str(binary)],
            input=json.dumps(document, default=lambda data: b64encode(data).decode()),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout.strip()

    return run


@pytest.fixture(scope="module")
def document():
    log = merkle.MerkleLog()
    for number in range(SIZES[-1]):
        log.append(merkle.leaf_hash(number.to_bytes(32, "big")))
    notes = [
        sign_checkpoint(Checkpoint(origin=ORIGIN, size=size, root=log.root(size)), SIGNER)
        for size in SIZES
    ]
    served = {}
    for level in range(3):
        count = SIZES[-1] >> (8 * level)
        for index in range(-(-count // 256)):
            width = min(256, count - 256 * index)
            path = tiles.tile_path(level, index, width)
            served[path] = tiles.tile_bytes(log, level, index, width)
    return {
        "verifier_key": key_text(ORIGIN, SIGNER.key),
        "origin": ORIGIN,
        "notes": [note.decode() for note in notes],
        "entries": {str(index): index.to_bytes(32, "big") for index in INDEXES},
        "inclusion": [
            {"index": index, "note": number, "proof": log.inclusion_proof(index, size)}
            for number, size in enumerate(SIZES)
            for index in INDEXES
            if index < size
        ],
        "consistency": [
            {"old": old, "new": new, "proof": log.consistency_proof(SIZES[old], SIZES[new])}
            for new in range(len(SIZES))
            for old in range(new + 1)
        ],
        "tiles": served,
    }


def test_go_accepts_checkpoints_proofs_and_tiles(check, document):
    assert check(document) == "ok"


def test_go_refuses_a_changed_checkpoint(check, document):
    notes = [document["notes"][0].replace("\n1\n", "\n2\n"), *document["notes"][1:]]
    assert check(document | {"notes": notes}).startswith("note 0: invalid signature")


def test_go_refuses_changed_proofs_and_tiles(check, document):
    proof = document["inclusion"][-1]
    changed = proof | {"proof": (bytes(32), *proof["proof"][1:])}
    assert check(document | {"inclusion": [changed]}).startswith("inclusion of 65999")
    proof = document["consistency"][-2]
    changed = proof | {"proof": (bytes(32), *proof["proof"][1:])}
    assert check(document | {"consistency": [changed]}).startswith("consistency of")
    wrong = {path: bytes(len(data)) for path, data in document["tiles"].items()}
    assert "by tiles" in check(document | {"tiles": wrong})
