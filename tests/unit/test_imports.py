"""What imports bring along: a light front door, quiet floors, a storm without the real world."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "probatum"
QUIET_ROOMS = tuple(
    room
    for room in (
        *("errors", "protocol", "machine", "canon.graph", "canon.arith", "canon.primitives"),
        *("canon.trace", "economics", "evidence", "ledger"),
    )
    if Path(SOURCE, *room.split("."), "__init__.py").is_file()
)
REAL_WORLD = frozenset(
    """aiohttp asyncio concurrent httptools logging multiprocessing onnxruntime secrets select
    selectors signal socket socketserver sqlite3 ssl starlette subprocess threading time urllib
    uvicorn uvloop http tempfile shutil _thread _socket _sqlite3""".split()
)
LOCKS = {"probatum.protocol.encoding": {"threading"}}
"""The one lock of the quiet rooms, around a library's cache."""
HEAVY = ("aiohttp", "asyncio", "numpy", "onnx", "onnxruntime", "sqlite3", "starlette", "uvicorn")


@cache
def build_graph() -> grimp.ImportGraph:
    return grimp.build_graph("probatum", include_external_packages=True, cache_dir=None)


def run_python(code: str) -> set[str]:
    """Run code in a fresh interpreter and return the words that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT / "tests"
    )
    return set(done.stdout.split())


def find_real_world(package: str) -> dict[str, set[str]]:
    """Modules in a package's import closure, itself included, that import the real world."""
    graph = build_graph()
    reached = {package} | graph.find_descendants(package)
    reached |= graph.find_upstream_modules(package, as_package=True)
    ours = {module for module in reached if module.startswith("probatum")}
    touching = {
        module: {found.split(".")[0] for found in graph.find_modules_directly_imported_by(module)}
        & REAL_WORLD - LOCKS.get(module, set())
        for module in sorted(ours)
    }
    return {module: found for module, found in touching.items() if found}


def test_a_bare_import_is_light():
    code = "import sys, typing; before = set(sys.modules); import probatum\n"
    code += "print(*(set(sys.modules) - before))"
    assert run_python(code) == {"probatum", "__future__"}


def test_the_front_door_is_what_it_says():
    import probatum

    assert set(probatum.__all__) == {"AsyncClient", "Client", "__version__"}
    assert dir(probatum) == sorted(probatum.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        probatum.nonsense  # noqa: B018


@pytest.mark.skipif(not (SOURCE / "client" / "__init__.py").is_file(), reason="no client room yet")
def test_the_client_is_fetched_when_asked_for():
    code = "import sys, probatum; print('probatum.client' in sys.modules)\n"
    code += "print(probatum.Client.__name__, probatum.AsyncClient.__name__)"
    assert run_python(code) == {"False", "Client", "AsyncClient"}


@pytest.mark.parametrize("room", QUIET_ROOMS)
def test_quiet_rooms_stay_quiet_when_loaded(room):
    """Not only our own imports: nothing that a library below brings along, either."""
    code = "import importlib, pkgutil, sys\n"
    code += f"package = importlib.import_module('probatum.{room}')\n"
    code += "for page in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
    code += "    importlib.import_module(page.name)\n"
    code += f"print(*(name for name in {HEAVY!r} if name in sys.modules))"
    assert run_python(code) == set()


def test_every_quiet_room_is_held_to_it():
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = configuration["tool"]["importlinter"]["contracts"]
    contract = next(c for c in contracts if c["id"] == "quiet-rooms")
    assert {f"probatum.{room}" for room in QUIET_ROOMS} <= set(contract["source_modules"])


def test_every_room_has_its_floor():
    """The contract is exhaustive, so a new top-level room is refused by `make check`."""
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = configuration["tool"]["importlinter"]["contracts"]
    floors = next(c for c in contracts if c["id"] == "floors")
    assert floors["exhaustive"] is True
    listed = {
        room.strip(" ()")
        for layer in floors["layers"]
        for room in layer.replace(":", "|").split("|")
    }
    standing = {entry.stem for entry in SOURCE.iterdir() if (entry / "__init__.py").is_file()}
    assert standing <= listed


def test_the_finder_of_real_world_imports_finds_them():
    """A check that cannot fail checks nothing: a room that does touch the world is caught."""
    noisy = [r for r in ("nodes", "client", "cli") if (SOURCE / r / "__init__.py").is_file()]
    if not noisy:
        pytest.skip("no room that touches the world yet")
    assert any(find_real_world(f"probatum.{room}") for room in noisy)


@pytest.mark.skipif(not (SOURCE / "storm" / "__init__.py").is_file(), reason="no storm room yet")
def test_nothing_that_storm_reaches_knows_the_real_world():
    assert find_real_world("probatum.storm") == {}


@pytest.mark.parametrize("room", QUIET_ROOMS)
def test_nothing_that_a_quiet_room_reaches_knows_the_real_world(room):
    assert find_real_world(f"probatum.{room}") == {}


@pytest.mark.parametrize(
    "page",
    [
        f"probatum.nodes.{path.parent.name}.{path.stem}"
        for path in sorted((SOURCE / "nodes").glob("*/machine.py"))
    ],
)
def test_the_machine_of_a_role_knows_no_real_world(page):
    assert find_real_world(page) == {}


@pytest.mark.skipif(not (SOURCE / "nodes" / "__init__.py").is_file(), reason="no nodes room yet")
def test_only_the_shell_of_the_nodes_touches_the_world():
    """Outside `nodes.shell` there is no event loop, wire, disk, clock or chance; ASGI types apart.

    A role's app may speak of requests and responses (starlette), so those pages are named ``app``
    or stand under ``doors``.
    """
    graph = build_graph()
    touching = {}
    for module in sorted(graph.find_descendants("probatum.nodes")):
        parts = module.split(".")[2:]
        if parts[0] == "shell":
            continue
        found = {name.split(".")[0] for name in graph.find_modules_directly_imported_by(module)}
        found &= REAL_WORLD | {"os", "random"}
        if parts[-1] == "app" or "doors" in parts:
            found -= {"starlette", "http"}
        if found:
            touching[module] = found
    assert touching == {}
