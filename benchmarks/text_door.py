"""What gateway and node add to a text: until its first token, and until its last.

The peer is the engine alone, in this process, with the same request; the two take turns, so that
other load on the machine meets both. Figures are differences of medians. A client reads the stream
of ``/v1/completions`` from real processes. The model is small, with random weights: what is
measured does not depend on how long a token takes.
"""

from __future__ import annotations

import http.client
import json
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from benchmarks.measuring import Row, make_row
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
SIZES = {"LAYERS": 12, "WIDTH": 512, "HEADS": 8, "KV_HEADS": 4, "HEAD": 64, "HIDDEN": 1536}


@dataclass(frozen=True, kw_only=True)
class Times:
    """Of one text, in milliseconds after it was asked for: first token, last token, the end."""

    first: float
    last: float
    end: float


def run(*, quick: bool = False) -> list[Row]:
    """Measure one request at a time."""
    turns = 6 if quick else 16
    with tempfile.TemporaryDirectory() as work:
        package = write_package(Path(work))
        engine = TextEngine(package.manifest, package.folder / "model.safetensors")
        plan = NetworkPlan(nodes=1, models=(package.folder,), block_interval_ms=500)
        try:
            with Network.open(Path(work) / "network", plan) as network:
                network.start()
                return measure(engine, package, network.endpoints.gateway, turns)
        finally:
            engine.close()


def write_package(folder: Path) -> Package:
    config = {"max_position_embeddings": CONTEXT}
    with mock.patch.multiple(foreign, **SIZES):
        foreign.write_folder(folder / "source", foreign.make_weights(3), config=config)
    facts = ImportFacts(
        name="net", version="1", licence="MIT", description="Random weights.", context=CONTEXT
    )
    found = read_folder(folder / "source", top_k=TOP_K)
    return write_text_package(found, facts, folder / "net", lambda _done, _total: None)


def measure(engine: TextEngine, package: Package, gateway: str, turns: int) -> list[Row]:
    tokenizer = ChatTokenizer((package.folder / "tokenizer.json").read_bytes(), None)
    prompt = tokenizer.encode_text("hello")
    seed = find_seed(engine, tokenizer, prompt)
    where = gateway.removeprefix("http://")
    ask(where, seed)  # the gateway fetches the tokenizer
    alone, through = [], []
    for _ in range(turns):
        alone.append(write(engine, prompt, seed)[1])
        through.append(ask(where, seed))
    rows = []
    for name, goal in (("first", GOAL_MS), ("last", GOAL_MS), ("end", None)):
        bare, whole = (
            statistics.median(getattr(times, name) for times in found) for found in (alone, through)
        )
        said = {
            "first": "first token",
            "last": f"last of {LIMIT} tokens",
            "end": "the signed answer's evidence",
        }
        rows.append(
            make_row(
                f"text door: {said[name]}, later than the engine's own",
                whole - bare,
                "ms",
                peer=f"engine alone {bare:.1f} ms, through gateway and node {whole:.1f} ms",
                goal=goal,
            )
        )
    return rows


def find_seed(engine: TextEngine, tokenizer: ChatTokenizer, prompt: tuple[int, ...]) -> int:
    """Find a seed whose text is long, and begins and ends with a whole character."""
    for seed in range(10_000):
        ids = write(engine, prompt, seed)[0]
        ends = tokenizer.decode(ids[:1]) + tokenizer.decode(ids[-1:])
        if len(ids) == LIMIT and ends.isascii() and len(ends) > 1:
            return seed
    raise RuntimeError("this model writes no such text")


def write(engine: TextEngine, prompt: tuple[int, ...], seed: int) -> tuple[tuple[int, ...], Times]:
    """Have the engine alone write."""
    heard: list[float] = []
    ids: list[int] = []
    done = threading.Event()

    def hear(news: tuple[int, ...]) -> None:
        heard.append(time.perf_counter())
        ids.extend(news)

    request = TextRequest(
        prompt=prompt,
        limit=LIMIT,
        temperature=1.0,
        top_k=TOP_K,
        choice=0,
        nonce=make_seed_nonce(seed),
    )
    begun = time.perf_counter()
    engine.submit(request, hear, lambda _: done.set())
    done.wait()
    end = time.perf_counter()
    first, last = heard[0], heard[-1]
    times = Times(
        first=1_000 * (first - begun), last=1_000 * (last - begun), end=1_000 * (end - begun)
    )
    return tuple(ids), times


def ask(where: str, seed: int) -> Times:
    """Read a completion's stream."""
    body = json.dumps(
        {"model": "net", "prompt": "hello", "seed": seed, "max_tokens": LIMIT, "stream": True}
    )
    connection = http.client.HTTPConnection(where, timeout=60)
    connection.connect()
    begun = time.perf_counter()
    connection.request("POST", "/v1/completions", body)
    heard: list[float] = []
    with connection.getresponse() as response:
        if response.status != http.HTTPStatus.OK:
            raise RuntimeError(response.read())
        while line := response.readline():
            if line.startswith(b"data: {") and b'"finish_reason":null' in line:
                heard.append(time.perf_counter())
    end = time.perf_counter()
    connection.close()
    return Times(
        first=1_000 * (heard[0] - begun),
        last=1_000 * (heard[-1] - begun),
        end=1_000 * (end - begun),
    )
