"""The store holds whole packages, also after a process died at any moment."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from probatum.errors import Fault, Refusal
from probatum.hub.package import load_package
from probatum.hub.signing import sign_package
from probatum.hub.store import PackageStore
from probatum.protocol.p256 import PublisherSigner
from probatum.protocol.primitives import make_digest


@pytest.fixture
def root(tmp_path):
    return tmp_path / "store"


def leftovers(root):
    return [path.name for path in root.iterdir() if path.name.startswith(".incoming-")]


def test_what_is_added_is_there(package, root):
    store = PackageStore(root)
    assert not store.has(package.digest)
    assert store.add(package.folder) == package.digest
    assert store.add(package.folder) == package.digest
    assert store.has(package.digest)
    assert store.list() == (package.digest,)
    opened = PackageStore(root).open(package.digest)
    assert opened.manifest == package.manifest
    assert opened.read_model() == package.read_model()
    assert leftovers(root) == []


def test_the_original_may_go(package, root):
    store = PackageStore(root)
    store.add(package.folder)
    shutil.rmtree(package.folder)
    assert store.open(package.digest).read_labels() == ("cat", "dog")


def test_what_is_not_there_is_refused(root):
    with pytest.raises(Refusal) as caught:
        PackageStore(root).open(make_digest(bytes(32)))
    assert caught.value.code == "package.unknown"


def test_a_damaged_package_is_not_added_and_leaves_nothing(package, root):
    (package.folder / "LICENSE").write_bytes(b"fake")
    store = PackageStore(root)
    with pytest.raises(Refusal):
        store.add(package.folder)
    assert store.list() == ()
    assert leftovers(root) == []


def test_damage_in_the_store_is_found_and_mended_by_adding_again(package, root):
    store = PackageStore(root)
    store.add(package.folder)
    (root / package.digest.hex() / "model.onnx").write_bytes(b"other")
    with pytest.raises(Refusal) as caught:
        store.open(package.digest)
    assert caught.value.code == "package.wrong-size"
    store.add(package.folder)
    assert store.open(package.digest).read_model() == package.read_model()
    assert leftovers(root) == []


def test_leftovers_are_swept_but_not_under_a_living_process(package, root):
    store = PackageStore(root)
    (root / ".incoming-dead").mkdir()
    (root / "notes.txt").write_text("not ours")
    with store.incoming() as fresh:
        PackageStore(root)
        assert fresh.is_dir()
        assert store.list() == ()
    PackageStore(root)
    assert leftovers(root) == []
    assert (root / "notes.txt").exists()


def test_a_store_where_none_can_be_is_a_fault(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Fault) as caught:
        PackageStore(tmp_path / "file")
    assert caught.value.code == "hub.disk"


ADD_AND_DIE = """
import os, signal, sys
from pathlib import Path
from probatum.hub import store as page
step, root, folder = int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
calls = 0
def dying(real):
    def call(*args):
        global calls
        calls += 1
        if calls == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args)
    return call
for name in ("write_flushed", "flush_folder", "load_package", "_rename_new"):
    setattr(page, name, dying(getattr(page, name)))
page.PackageStore(root).add(folder)
"""


def test_killed_at_every_step_the_store_has_all_or_nothing(package, root):
    for step in range(1, 30):
        command = [sys.executable, "-c", ADD_AND_DIE, str(step), str(root), str(package.folder)]
        done = subprocess.run(command, check=False, env=dict(os.environ), timeout=60)
        store = PackageStore(root)
        assert leftovers(root) == []
        for digest in store.list():
            assert load_package(root / digest.hex(), digest).digest == package.digest
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        shutil.rmtree(root)
    assert 8 < step < 29
    assert store.has(package.digest)


def test_a_signature_is_kept_with_the_package_and_may_come_later(package, root):
    store = PackageStore(root)
    store.add(package.folder)
    assert store.open(package.digest).signature is None
    for number in (1, 2):
        signer = PublisherSigner(bytes((number,)) * 32)
        signature = sign_package(package.manifest, package.digest, signer)
        (package.folder / "model.sig").write_bytes(signature)
        assert store.add(package.folder) == package.digest
        assert store.open(package.digest).signature == signature
    (package.folder / "model.sig").unlink()
    store.add(package.folder)
    assert store.open(package.digest).signature == signature
    assert leftovers(root) == []
