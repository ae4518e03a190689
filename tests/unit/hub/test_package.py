"""A package is used whole and unchanged, or not at all."""

import dataclasses
import os
import shutil

import pytest

from probatum.errors import Misuse, Refusal
from probatum.hub.build import build_package
from probatum.hub.package import load_package
from probatum.protocol.hashing import sha256
from probatum.protocol.manifests import FileEntry, encode_manifest
from probatum.protocol.primitives import make_digest


def code_of(folder, digest=None):
    with pytest.raises(Refusal) as caught:
        load_package(folder, digest)
    return caught.value.code


def rewrite(package, **changes):
    """Write a manifest that a careful liar would: canonical, and with another digest."""
    fields = {name: getattr(package.manifest, name) for name in package.manifest.__struct_fields__}
    manifest = type(package.manifest)(**{**fields, **changes})
    (package.folder / "probatum.json").write_bytes(encode_manifest(manifest))


def test_what_was_built_is_what_is_loaded(package, facts, tmp_path):
    loaded = load_package(package.folder, package.digest)
    assert loaded == package
    assert loaded.digest == sha256((package.folder / "probatum.json").read_bytes())
    assert [entry.path for entry in loaded.manifest.files] == [
        "LICENSE",
        "docs/card.md",
        "labels.txt",
        "model.onnx",
    ]
    assert loaded.read_model() == b"model bytes" * 1000
    assert loaded.read_labels() == ("cat", "dog")
    assert loaded.manifest.batch_dim == "n"
    bare = dataclasses.replace(facts, labels=())
    assert build_package(bare, b"m", tmp_path / "bare").read_labels() == ()


def test_building_twice_gives_the_same_digest(package, facts, tmp_path):
    extra = {"LICENSE": b"free", "docs/card.md": b"A card."}
    again = build_package(facts, b"model bytes" * 1000, tmp_path / "again", extra)
    assert again.digest == package.digest


@pytest.mark.parametrize(
    "changes",
    [{"name": "No Spaces"}, {"version": ""}, {"licence": ""}, {"labels": ("a\nb",)}],
)
def test_facts_that_no_manifest_can_hold_are_refused_and_leave_nothing(facts, tmp_path, changes):
    with pytest.raises(Refusal) as caught:
        build_package(dataclasses.replace(facts, **changes), b"m", tmp_path / "p")
    assert caught.value.code == "package.bad-facts"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["../up", "/etc/x", "a/../b", "a//b", ".hidden", "a/", "a\\b"])
def test_no_path_climbs_out_when_building(facts, tmp_path, path):
    with pytest.raises(Refusal) as caught:
        build_package(facts, b"m", tmp_path / "p", {path: b""})
    assert caught.value.code == "package.bad-facts"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_not_overwritten(package, facts):
    with pytest.raises(Refusal) as caught:
        build_package(facts, b"m", package.folder)
    assert caught.value.code == "package.folder-taken"


@pytest.mark.parametrize("path", ["LICENSE", "docs/card.md", "labels.txt", "model.onnx"])
def test_every_changed_file_is_found(package, path):
    target = package.folder / path
    data = bytearray(target.read_bytes())
    data[len(data) // 2] ^= 1
    target.write_bytes(data)
    assert code_of(package.folder) == "package.wrong-digest"
    with pytest.raises(Refusal) as caught:
        package.read_file(path)
    assert caught.value.code == "package.wrong-digest"


def test_every_changed_byte_of_the_manifest_is_another_package(package):
    data = package.manifest_bytes
    for at in range(0, len(data), 7):
        changed = data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
        (package.folder / "probatum.json").write_bytes(changed)
        assert code_of(package.folder, package.digest) == "package.other-digest"


def test_sizes_are_compared_before_anything_is_hashed(package):
    with (package.folder / "model.onnx").open("ab") as file:
        file.write(b"!")
    assert code_of(package.folder) == "package.wrong-size"
    with pytest.raises(Refusal) as caught:
        package.read_model()
    assert caught.value.code == "package.too-large"
    (package.folder / "model.onnx").write_bytes(b"short")
    assert code_of(package.folder) == "package.wrong-size"
    with pytest.raises(Refusal) as caught:
        package.read_model()
    assert caught.value.code == "package.wrong-size"


def test_files_are_neither_more_nor_fewer_than_listed(package):
    extra = package.folder / "docs" / "more.txt"
    extra.write_bytes(b"")
    assert code_of(package.folder) == "package.extra-file"
    extra.unlink()
    (package.folder / "empty").mkdir()
    assert code_of(package.folder) == "package.extra-file"
    (package.folder / "empty").rmdir()
    (package.folder / "LICENSE").unlink()
    assert code_of(package.folder) == "package.missing-file"
    (package.folder / "probatum.json").unlink()
    assert code_of(package.folder) == "package.missing-file"


def test_links_and_odd_files_are_refused(package, tmp_path):
    model = package.folder / "model.onnx"
    shutil.move(model, tmp_path / "elsewhere")
    model.symlink_to(tmp_path / "elsewhere")
    assert code_of(package.folder) == "package.symlink"
    with pytest.raises(Refusal) as caught:
        package.read_model()
    assert caught.value.code == "package.symlink"
    model.unlink()
    os.mkfifo(model)
    assert code_of(package.folder) == "package.odd-file"
    with pytest.raises(Refusal) as caught:
        package.read_model()
    assert caught.value.code == "package.odd-file"


def test_linked_folders_are_refused(package, tmp_path):
    shutil.move(package.folder / "docs", tmp_path / "docs")
    (package.folder / "docs").symlink_to(tmp_path / "docs")
    assert code_of(package.folder) == "package.symlink"
    (tmp_path / "alias").symlink_to(package.folder)
    assert code_of(tmp_path / "alias") == "package.missing-file"


@pytest.mark.parametrize("path", ["../up", "/etc/passwd", "a/../../b", "./x", "a\x00b"])
def test_no_manifest_names_a_path_that_climbs(package, path):
    entry = FileEntry(path=path, size=0, sha256="0" * 64)
    rewrite(package, files=tuple(sorted((*package.manifest.files, entry), key=lambda e: e.path)))
    assert code_of(package.folder) == "encoding.malformed"


def test_a_manifest_cannot_list_itself(package):
    size = (package.folder / "probatum.json").stat().st_size
    entry = FileEntry(path="probatum.json", size=size, sha256="0" * 64)
    rewrite(package, files=(*package.manifest.files, entry))
    assert code_of(package.folder) == "package.extra-file"


def test_a_manifest_beyond_every_limit_is_not_parsed(package):
    (package.folder / "probatum.json").write_bytes(b" " * 300_000)
    assert code_of(package.folder) == "package.too-large"


def test_promised_sizes_beyond_every_limit_are_refused(package):
    entries = tuple(
        FileEntry(path=entry.path, size=2 << 30, sha256=entry.sha256)
        for entry in package.manifest.files
    )
    rewrite(package, files=entries)
    assert code_of(package.folder) == "manifest.bad-form"


def test_another_package_than_the_wanted_one_is_refused(package):
    assert code_of(package.folder, make_digest(bytes(32))) == "package.other-digest"


def test_asking_for_an_unlisted_file_is_a_bug(package):
    with pytest.raises(Misuse):
        package.read_file("../../etc/passwd")
