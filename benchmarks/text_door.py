"""What gateway and node add to a text: until its first token, from one to the next, until its last.

The peer is the engine alone, in this process, with the same request and the node's own file of
weights. The two take turns, so that other load meets both. A process that did not write last is
slow to begin, by as much as half of its first token's time, whichever it is: so each writes twice,
and the second text counts. Figures are medians of the differences of neighbours. A client reads the
stream of ``/v1/completions`` from real processes, over a connection that it keeps, as clients of
that API do. The kernel's books say how long the event loops of the processes computed, and how long
they waited for a core: that is other load.
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from benchmarks import text
from benchmarks.measuring import Row, list_tree, make_row
from probatum.hub.importing.hf_folder import read_folder
from probatum.hub.importing.writing import ImportFacts, write_text_package
from probatum.hub.package import Package
from probatum.ops.network import Network, NetworkPlan
from probatum.protocol.openai_text import make_seed_nonce
from probatum.runtime.text.chat import ChatTokenizer
from probatum.runtime.text.engine import TextEngine
from probatum.runtime.text.requests import TextRequest
from tests.unit.hub.importing import foreign_models as foreign

CONTEXT = 256
LIMIT = 32
TOP_K = 16
GOAL_MS = 5.0
PROMPT = "The capital of France is"
TINY = {"LAYERS": 2, "WIDTH": 64, "HEADS": 4, "KV_HEADS": 2, "HEAD": 16, "HIDDEN": 128}
MIDDLE = {"LAYERS": 12, "WIDTH": 512, "HEADS": 8, "KV_HEADS": 4, "HEAD": 64, "HIDDEN": 1536}
ROLES = ("gateway", "inference")


@dataclass(frozen=True, kw_only=True)
class Times:
    """Of one text, in milliseconds after it was asked for: first token, last token, the end."""

    first: float
    last: float
    end: float

    @property
    def between(self) -> float:
        """From one token to the next."""
        return (self.last - self.first) / (LIMIT - 1)


@dataclass(frozen=True, kw_only=True)
class Loop:
    """What a process's first thread did, in milliseconds."""

    computed: float
    waited: float

    def since(self, before: Loop) -> Loop:
        """Take what it had done before away."""
        return Loop(computed=self.computed - before.computed, waited=self.waited - before.waited)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request, and what the engine alone writes to it."""

    model: str
    prompt: str
    tokens: tuple[int, ...]
    top_k: int
    seed: int


def run(*, quick: bool = False) -> list[Row]:
    """Measure one request at a time."""
    turns = 8 if quick else 24
    rows = [
        *measure_random("tiny model", TINY, 2 * turns),
        *measure_random("38-million model", MIDDLE, turns // 2),
    ]
    try:
        package = text.open_package()
    except subprocess.CalledProcessError:  # it was not fetched, and cannot be
        return rows
    return [*rows, *measure_package("SmolLM2-135M", package, turns // 3)]


def measure_random(name: str, sizes: dict[str, int], turns: int) -> list[Row]:
    """Measure a model of random weights: what its tokens are does not matter."""
    config = {"max_position_embeddings": CONTEXT}
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        with mock.patch.multiple(foreign, **sizes):
            foreign.write_folder(folder / "source", foreign.make_weights(3), config=config)
        facts = ImportFacts(
            name="net", version="1", licence="MIT", description="Random weights.", context=CONTEXT
        )
        found = read_folder(folder / "source", top_k=TOP_K)
        package = write_text_package(found, facts, folder / "net", lambda _done, _total: None)
        return measure_package(name, package, turns)


def measure_package(name: str, package: Package, turns: int) -> list[Row]:
    """Measure a package behind a gateway and a node."""
    plan = NetworkPlan(nodes=1, models=(package.folder,), block_interval_ms=500)
    with (
        tempfile.TemporaryDirectory() as work,
        Network.open(Path(work) / "network", plan) as network,
    ):
        network.start()
        (weights,) = (Path(work) / "network" / "homes").rglob(package.manifest.model)
        engine = TextEngine(package.manifest, weights)
        try:
            return measure(name, engine, package, network.endpoints.gateway, turns)
        finally:
            engine.close()


def measure(name: str, engine: TextEngine, package: Package, gateway: str, turns: int) -> list[Row]:
    asked = find_request(engine, package)
    line = http.client.HTTPConnection(gateway.removeprefix("http://"), timeout=60)
    pids = find_pids()
    for _ in range(3):  # the gateway fetches the tokenizer, the node learns how its disk is
        ask(line, asked)
    pairs: list[tuple[Times, Times]] = []
    loops: list[tuple[Loop, ...]] = []

    def ask_watched() -> Times:
        ask(line, asked)
        before = read_loops(pids)
        times = ask(line, asked)
        loops.append(tuple(map(Loop.since, read_loops(pids), before)))
        return times

    for turn in range(turns):
        if turn % 2:
            through = ask_watched()
            pairs.append((write_again(engine, asked), through))
        else:
            alone = write_again(engine, asked)
            pairs.append((alone, ask_watched()))
    line.close()
    return [*make_time_rows(name, pairs), *make_loop_rows(name, loops)]


def make_time_rows(name: str, pairs: list[tuple[Times, Times]]) -> list[Row]:
    measures: tuple[tuple[str, Callable[[Times], float], float | None], ...] = (
        ("first token", lambda times: times.first, GOAL_MS),
        ("from token to token", lambda times: times.between, GOAL_MS),
        (f"last of {LIMIT} tokens", lambda times: times.last, GOAL_MS),
        ("the signed answer's evidence", lambda times: times.end, None),
    )
    rows = []
    for what, get, goal in measures:
        bare = statistics.median(get(alone) for alone, _ in pairs)
        later = statistics.median(get(through) - get(alone) for alone, through in pairs)
        rows.append(
            make_row(
                f"text door: {name}, {what}, later than the engine's own",
                later,
                "ms",
                peer=f"engine alone {bare:.1f} ms",
                goal=goal,
            )
        )
    return rows


def make_loop_rows(name: str, loops: list[tuple[Loop, ...]]) -> list[Row]:
    rows = []
    for place, role in enumerate(ROLES):
        waited = statistics.median(one[place].waited for one in loops)
        rows.append(
            make_row(
                f"text door: {name}, CPU of the {role} process beside its engine, a text",
                statistics.median(one[place].computed for one in loops),
                "ms",
                peer=f"waited for a core {waited:.1f} ms",
            )
        )
    return rows


def find_request(engine: TextEngine, package: Package) -> Asked:
    """Find a seed whose text is long, and begins and ends with a whole character."""
    tokenizer = ChatTokenizer((package.folder / "tokenizer.json").read_bytes(), None)
    language = package.manifest.text
    assert language is not None
    for seed in range(10_000):
        asked = Asked(
            model=package.manifest.name,
            prompt=PROMPT,
            tokens=tokenizer.encode_text(PROMPT),
            top_k=language.top_k,
            seed=seed,
        )
        ids = write(engine, asked)[0]
        ends = [tokenizer.decode(ids[:1]), tokenizer.decode(ids[-1:])]
        if len(ids) == LIMIT and all(end.isascii() and end for end in ends):
            return asked
    raise RuntimeError("this model writes no such text")


def write(engine: TextEngine, asked: Asked) -> tuple[tuple[int, ...], Times]:
    """Have the engine alone write."""
    heard: list[float] = []
    ids: list[int] = []
    done = threading.Event()

    def hear(news: tuple[int, ...]) -> None:
        heard.append(time.perf_counter())
        ids.extend(news)

    request = TextRequest(
        prompt=asked.tokens,
        limit=LIMIT,
        temperature=1.0,
        top_k=asked.top_k,
        choice=0,
        nonce=make_seed_nonce(asked.seed),
    )
    begun = time.perf_counter()
    engine.submit(request, hear, lambda _: done.set())
    done.wait()
    end = time.perf_counter()
    return tuple(ids), make_times(begun, heard, end)


def write_again(engine: TextEngine, asked: Asked) -> Times:
    """Have the engine alone write twice, and take the second time."""
    write(engine, asked)
    return write(engine, asked)[1]


def ask(line: http.client.HTTPConnection, asked: Asked) -> Times:
    """Read a completion's stream."""
    fields = {"model": asked.model, "prompt": asked.prompt, "seed": asked.seed}
    body = json.dumps({**fields, "max_tokens": LIMIT, "stream": True})
    heard: list[float] = []
    begun = time.perf_counter()
    line.request("POST", "/v1/completions", body)
    with line.getresponse() as response:
        if response.status != http.HTTPStatus.OK:
            raise RuntimeError(response.read())
        while event := response.readline():
            if event.startswith(b"data: {") and b'"finish_reason":null' in event:
                heard.append(time.perf_counter())
    return make_times(begun, heard, time.perf_counter())


def make_times(begun: float, heard: list[float], end: float) -> Times:
    first, last, whole = (1_000 * (moment - begun) for moment in (heard[0], heard[-1], end))
    return Times(first=first, last=last, end=whole)


def find_pids() -> tuple[int, ...]:
    """Find the processes of the network, by their roles."""
    found = {}
    for pid in list_tree(os.getpid()):
        said = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        found |= {role: pid for role in ROLES if f"probatum.nodes.{role}.run" in said}
    return tuple(found[role] for role in ROLES)


def read_loops(pids: tuple[int, ...]) -> tuple[Loop, ...]:
    """Read what the event loops did so far; by the kernel's books of its scheduler."""
    books = [Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split() for pid in pids]
    return tuple(Loop(computed=int(one[0]) / 1e6, waited=int(one[1]) / 1e6) for one in books)
