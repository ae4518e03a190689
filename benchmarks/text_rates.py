"""Tokens a second and the cost of an audit, engine after engine, at the same lengths.

Every round times all engines, one after the other: with one thread in CPU seconds, so that other
load disturbs less, with two by the clock. Figures are medians of the rounds' ratios. The prompts
are read once, before any clock starts: the caches' bits do not depend on who filled them. Our
engine chooses its tokens by the rule with noise; the peers take the greatest logit.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.measuring import Row, make_row
from benchmarks.text_llama import LlamaPeer, write_float32
from benchmarks.text_peer import Peer, make_session
from probatum.protocol.manifests import TextModel
from probatum.runtime.text.cache import KeyValueCache
from probatum.runtime.text.decoder import Decoder, Reading
from probatum.runtime.text.kernels import make_kernel
from probatum.runtime.text.pure import PureKernel
from probatum.runtime.text.requests import TextLimits, TextRequest
from probatum.runtime.text.sampling import choose_token, make_rule
from probatum.runtime.text.scheduler import Scheduler, Text
from probatum.runtime.text.steps import Kernel
from probatum.runtime.text.weights import open_weights

CONTEXT = 66
"""Tokens of a prompt."""
GENERATED = {1: 16, 8: 12}
"""Steps of a round, by batch."""
AUDITED = 256
COMPILED = "compiled"
COPIED = "compiled, weights copied"
BLOCKS = "compiled, weights in blocks"
LLAMA = "llama.cpp float32"
LLAMA_OWN = "llama.cpp on the blocks, int8 arithmetic"
GOALS = {
    ("numpy", 1): 30,
    ("numpy", 8): 25,
    (COMPILED, 1): 75,
    (COMPILED, 8): 55,
    (BLOCKS, 1): 100,
}
"""Percent of ONNX Runtime's tokens a second with one thread, by kernel and batch."""
AUDIT_GOAL = 0.35


class Bench:
    """One model and its engines.

    Args:
        floats: Its weights as float32.
        blocks: The same in blocks.
        gguf: The file that it was imported from.
        text: Its sizes.
        work: A folder for what the peers need.
    """

    def __init__(self, floats: Path, blocks: Path, gguf: Path, text: TextModel, work: Path) -> None:
        self.text = text
        mapped = open_weights(floats, text)
        self.weights = {
            "numpy": mapped,
            COMPILED: mapped,
            COPIED: open_weights(floats, text, copied=True),
            BLOCKS: open_weights(blocks, text),
        }
        self.sessions = {
            threads: make_session(floats, text, work, threads=threads, rows=1) for threads in (1, 2)
        }
        self.llamas = {LLAMA: write_float32(gguf, work / "float32.gguf"), LLAMA_OWN: gguf}
        self.rng = np.random.default_rng(0)

    def compare_generating(self, threads: int, batch: int, rounds: int) -> list[Row]:
        """Compare tokens a second: one row an engine."""
        prompts = self.rng.integers(3, 40_000, (batch, CONTEXT))
        with self._open_engines(threads, prompts) as engines:
            rates: dict[str, list[float]] = {name: [] for name in engines}
            clock = time.process_time if threads == 1 else time.perf_counter
            for _ in range(rounds):
                for name, generate in engines.items():
                    begun = clock()
                    generate(GENERATED[batch])
                    rates[name].append(batch * GENERATED[batch] / (clock() - begun))
        peers = rates.pop("ONNX Runtime")
        place = f"batch {batch}, {threads} thread{'s'[: threads - 1]}"
        rows = [
            make_row(
                f"text {name}, {place}",
                _compare(own, peers),
                "% of peer",
                peer=f"ONNX Runtime {statistics.median(peers):.1f} tokens/s; this "
                f"{statistics.median(own):.1f}",
                goal=GOALS.get((name, batch)) if threads == 1 else None,
                more_is_better=True,
            )
            for name, own in rates.items()
        ]
        if LLAMA in rates:
            rows += [
                make_row(
                    f"text {name}, {place}, against llama.cpp",
                    _compare(rates[name], rates[LLAMA]),
                    "% of peer",
                    peer=f"{LLAMA} {statistics.median(rates[LLAMA]):.1f} tokens/s",
                )
                for name in (COMPILED, BLOCKS)
                if name in rates
            ]
        return rows

    @contextmanager
    def _open_engines(
        self, threads: int, prompts: np.ndarray
    ) -> Iterator[dict[str, Callable[[int], None]]]:
        """Let every engine read the prompts: functions that generate so many tokens."""
        kernels = _make_kernels(threads)
        for name in ("numpy", COPIED) if threads > 1 and COMPILED in kernels else ():
            kernels.pop(name).close()
        peer = Peer(self.sessions[threads], self.text, len(prompts))
        first = peer.read(prompts)[:, -1].argmax(axis=-1)
        engines: dict[str, Callable[[int], None]] = {
            "ONNX Runtime": lambda count: _generate_peer(peer, first, count)
        }
        caches, tokens = self._read(prompts, kernels)
        for name, kernel in kernels.items():
            decoder = Decoder(self.weights[name], kernel)
            engines[name] = lambda count, decoder=decoder: _generate(decoder, caches, tokens, count)
        llamas = {}
        if len(prompts) == 1 and threads == 1:
            llamas = {name: LlamaPeer(path, prompts[0]) for name, path in self.llamas.items()}
        try:
            yield engines | {name: one.generate for name, one in llamas.items()}
        finally:
            for llama in llamas.values():
                llama.close()
            for kernel in kernels.values():
                kernel.close()

    def _read(
        self, prompts: np.ndarray, kernels: dict[str, Kernel]
    ) -> tuple[list[KeyValueCache], list[int]]:
        """Read all prompts by the fastest kernel: caches, and the tokens that follow."""
        name = BLOCKS if BLOCKS in kernels else "numpy"
        room = CONTEXT + max(GENERATED.values())
        caches = [KeyValueCache(self.text, room) for _ in prompts]
        readings = [
            Reading(cache=cache, tokens=tuple(prompt.tolist()), wanted=1)
            for cache, prompt in zip(caches, prompts, strict=True)
        ]
        found = Decoder(self.weights[name], kernels[name]).read(readings)
        return caches, [_choose(logits, 0, row) for row, logits in enumerate(found)]

    def compare_audit(self, rounds: int) -> list[Row]:
        """Compare an exact prefill of an answer with the peer's time to generate as much, once."""
        kernels = _make_kernels(1)
        kernels.pop(COPIED, None)
        own: dict[str, list[float]] = {name: [] for name in kernels}
        prompt = self.rng.integers(3, 40_000, (1, 16))
        peer = Peer(self.sessions[1], self.text, 1)
        begun = time.process_time()
        _generate_peer(peer, peer.read(prompt)[:, -1].argmax(axis=-1), AUDITED - 1)
        generated = time.process_time() - begun
        for _ in range(rounds):
            answer = self.rng.integers(3, 40_000, AUDITED)
            for name, kernel in kernels.items():
                begun = time.process_time()
                self._audit(Decoder(self.weights[name], kernel), prompt[0], answer)
                own[name].append(time.process_time() - begun)
        for kernel in kernels.values():
            kernel.close()
        return [
            make_row(
                f"text audit of {AUDITED} tokens, {name}",
                statistics.median(found) / generated,
                "of generating",
                peer=f"ONNX Runtime generates in {generated:.1f} s; exact prefill "
                f"{statistics.median(found):.1f} s",
                goal=AUDIT_GOAL,
            )
            for name, found in own.items()
        ]

    def _audit(self, decoder: Decoder, prompt: np.ndarray, answer: np.ndarray) -> None:
        request = TextRequest(
            prompt=tuple(prompt.tolist()),
            limit=len(answer),
            temperature=0.8,
            top_k=64,
            choice=0,
            nonce=bytes(32),
            prefix=tuple(answer.tolist()),
        )
        scheduler = Scheduler(decoder, TextLimits())
        scheduler.add(Text(self.text, request, lambda _: None, lambda _: None, scores=True))
        while scheduler.step() == []:
            pass


def _compare(own: list[float], peers: list[float]) -> float:
    """Take the median of the rounds' ratios, in percent."""
    return statistics.median(100 * one / peer for one, peer in zip(own, peers, strict=True))


def _make_kernels(threads: int) -> dict[str, Kernel]:
    kernels: dict[str, Kernel] = {"numpy": PureKernel(threads)}
    fastest = make_kernel(threads)
    if fastest.name != "numpy":
        kernels |= {COMPILED: fastest, COPIED: make_kernel(threads), BLOCKS: make_kernel(threads)}
    return kernels


def _generate(decoder: Decoder, caches: list[KeyValueCache], tokens: list[int], count: int) -> None:
    """Generate from the prompts on, always the same places of the caches."""
    for cache in caches:
        cache.length = CONTEXT
    last = tokens
    for place in range(1, count + 1):
        readings = [
            Reading(cache=cache, tokens=(token,), wanted=1)
            for cache, token in zip(caches, last, strict=True)
        ]
        found = decoder.read(readings)
        last = [_choose(logits, place, row) for row, logits in enumerate(found)]


def _choose(logits: np.ndarray | None, place: int, row: int) -> int:
    assert logits is not None
    rule = make_rule(temperature=0.8, top_k=64, choice=row, nonce=bytes(32))
    return choose_token(logits[-1], rule, place)


def _generate_peer(peer: Peer, first: np.ndarray, count: int) -> None:
    """Generate greedily; the peer is left as it was found."""
    cache, length, tokens = peer.cache, peer.length, first
    for _ in range(count):
        tokens = peer.read(tokens[:, None])[:, -1].argmax(axis=-1)
    peer.cache, peer.length = cache, length
