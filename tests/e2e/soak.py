"""Hours of customers, kills and restarts: what a soak does, counts and measures.

Sixteen connections ask without pause. Nodes and the gateway are killed and started again, by
seed. Every answer that a customer got must settle and verify with the trust file alone, and no
place in a log may be given twice. Memory is sampled each second. In the second half the gateway,
the ledger and one node are left alone, so that their lines are those of one life. The other nodes
are killed to the end; theirs show what each life begins with, which is all that was before it.
"""

from __future__ import annotations

import asyncio
import collections
import json
import os
import random
import statistics
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from probatum.client.client import AsyncClient
from probatum.client.failures import RequestFailed, RequestRefused
from probatum.client.proofs import make_check_now
from probatum.errors import Fault, Refusal
from probatum.evidence.receipt import check_bundle, check_contents
from probatum.ops.network import GATEWAY
from probatum.protocol.trust import decode_trust

CONNECTIONS = 16
SETTLERS = 16
WAITING = 4_000
"""Most answers that wait for their settlement to be looked at; customers pause beyond."""
SETTLE_AFTER_S = 3.0
PATIENCE_S = 0.5
SETTLE_S = 240.0
KEPT = 2_000
"""Receipts kept to the end, to be verified once nothing runs any more."""
WARM_S = 15.0
"""A process that has just started is not measured: it is still loading."""
FILL_S = 120.0
"""Who is left alone is so for this long before it is measured: what it keeps for those who ask
again fills to its bound, 40 MiB in a gateway, which drawn into a line is no growth."""
SLOPE_MIB_PER_H = 32.0
"""What the memory of a process may grow by, by the line through its samples.

The trees that a node remembers take 42 bytes an answer, until there are 200,000: 24 MiB an hour at
160 answers a second. At that pace a log in memory would be another 53, a bundle that is kept for
each request thousands.
"""
NOISE_MIB = 8.0
"""The same for a soak so short that the allocator's steps are all that there is to see."""
MIB = 1 << 20
COLUMNS = "{:10} {:>5}  {:10} {:>9} {:>8} {:>8} {:>12} {:>8} {:>9}"
HEADS = (
    "process",
    "lives",
    "line of",
    "half MiB",
    "end",
    "most",
    "slope MiB/h",
    "bound",
    "disk MiB",
)


@dataclass(kw_only=True)
class Line:
    """A process's memory over the second half.

    Attributes:
        lives: How many processes that were, over the whole soak.
        kind: ``one life``: of all samples; ``beginnings``: of the first of each life.
        slope_mib_per_h: Of the line of least squares through the samples.
        bound_mib_per_h: What that may be.
    """

    name: str
    lives: int
    kind: str
    first_mib: float
    last_mib: float
    most_mib: float
    slope_mib_per_h: float
    bound_mib_per_h: float
    disk_mib: float

    def get_cells(self):
        """Get what stands in its row of the table."""
        sizes = (self.first_mib, self.last_mib, self.most_mib, self.slope_mib_per_h)
        figures = (*sizes, self.bound_mib_per_h, self.disk_mib)
        return (self.name, self.lives, self.kind, *(f"{figure:.1f}" for figure in figures))

    @property
    def is_flat(self):
        return self.slope_mib_per_h <= self.bound_mib_per_h


@dataclass(kw_only=True)
class Report:
    """What a soak found."""

    seconds: float
    seed: int
    answered: int = 0
    settled: int = 0
    verified_at_the_end: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    used_twice: list[str] = field(default_factory=list)
    killed: dict[str, int] = field(default_factory=dict)
    latency_ms: dict[str, float] = field(default_factory=dict)
    memory: list[Line] = field(default_factory=list)

    def write(self):
        """Write it as a table."""
        asked = self.answered + sum(self.failed.values())
        lines = [
            (
                f"soak of {self.seconds:.0f} s, seed {self.seed}, {CONNECTIONS} connections: "
                f"{asked} asked, {self.answered} answered ({self.answered / self.seconds:.0f}/s), "
                f"{self.settled} settled and verified, {self.verified_at_the_end} again at the end"
            ),
            f"killed {sum(self.killed.values())}: {self.killed}",
            f"failed {sum(self.failed.values())}: {self.failed}",
            f"answer ms: {self.latency_ms}",
            (
                f"lost {len(self.lost)}; places used twice {len(self.used_twice)}; "
                f"odd {len(self.odd)} {self.odd[:5]}"
            ),
            "",
            COLUMNS.format(*HEADS),
        ]
        lines += [COLUMNS.format(*line.get_cells()) for line in self.memory]
        return "\n".join(lines)

    def save(self, path):
        """Save it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


class Customers:
    """Customers on a thread of their own, and those who look after their receipts."""

    def __init__(self, network, model, inputs, folder, report):
        self._network, self._model, self._inputs = network, model, inputs
        self._folder, self._report = folder, report
        self._places = collections.defaultdict(set)
        self._kept = []
        self._seen = 0
        self._latencies = []
        self._draw = random.Random(report.seed)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ending.set()
        self._thread.join()

    @property
    def answered(self):
        return self._report.answered

    def make_client(self):
        return AsyncClient(
            self._network.endpoints.gateway,
            trust=self._network.trust_path,
            receipts=self._folder,
        )

    async def _run(self):
        waiting, room = asyncio.Queue(), asyncio.Semaphore(WAITING)
        settlers = [asyncio.create_task(self._look_after(waiting, room)) for _ in range(SETTLERS)]
        await asyncio.gather(
            *(self._ask_again_and_again(waiting, room) for _ in range(CONNECTIONS))
        )
        await waiting.join()
        for settler in settlers:
            settler.cancel()
        ordered = sorted(self._latencies) or [0.0]
        for name, share in (("p50", 0.5), ("p99", 0.99), ("most", 1.0)):
            place = min(len(ordered) - 1, int(share * len(ordered)))
            self._report.latency_ms[name] = round(ordered[place] * 1_000, 1)

    async def _ask_again_and_again(self, waiting, room):
        report = self._report
        async with self.make_client() as client:
            while not self._ending.is_set():
                begun = time.monotonic()
                try:
                    answer = await client.ask(self._model, self._inputs, timeout_s=10)
                except (RequestFailed, RequestRefused) as failure:
                    report.failed[failure.code] = report.failed.get(failure.code, 0) + 1
                    await asyncio.sleep(0.05)
                    continue
                except (Refusal, Fault) as error:
                    report.odd.append(f"{error.code}: {error.message}")
                    await asyncio.sleep(0.05)
                    continue
                report.answered += 1
                self._note_latency(time.monotonic() - begun)
                await room.acquire()
                waiting.put_nowait((time.monotonic(), answer))

    def _note_latency(self, seconds):
        """Keep a fair sample of bounded size."""
        if len(self._latencies) < 50_000:
            self._latencies.append(seconds)
        elif (place := self._draw.randrange(self._report.answered)) < len(self._latencies):
            self._latencies[place] = seconds

    async def _look_after(self, waiting, room):
        async with self.make_client() as client:
            while True:
                since, answer = await waiting.get()
                await asyncio.sleep(max(0.0, since + SETTLE_AFTER_S - time.monotonic()))
                try:
                    await client.settle(answer, timeout_s=PATIENCE_S)
                except (Refusal, Fault) as error:
                    age_s = time.monotonic() - since
                    if error.code == "client.not-settled" and age_s < SETTLE_S:
                        # Its node is away: others' receipts need not wait for it.
                        waiting.put_nowait((since, answer))
                    else:
                        self._report.lost.append(f"{answer.request_id}: {error}")
                        room.release()
                else:
                    self._note_settled(client.receipts, answer)
                    room.release()
                waiting.task_done()

    def _note_settled(self, store, answer):
        """Note what settled, and forget its files but for a fair sample."""
        self._report.settled += 1
        log = answer.receipt.log
        places = self._places[answer.receipt.node.account, log.session]
        if log.index in places:
            self._report.used_twice.append(f"{answer.receipt.node.account} {log}")
        places.add(log.index)
        self._seen += 1
        if len(self._kept) < KEPT:
            self._kept.append(answer.request_id)
            return
        place = self._draw.randrange(self._seen)
        gone = answer.request_id
        if place < KEPT:
            gone, self._kept[place] = self._kept[place], gone
        store.remove(gone)

    def verify_kept(self, trust):
        """Verify what was kept, with the trust file alone: nothing has to run for it."""
        store = self.make_client().receipts
        for request_id in self._kept:
            verified = check_bundle(store.load_bundle(request_id), make_check_now(trust))
            contents = store.load_contents(request_id)
            check_contents(verified, contents.salt, contents.inputs, contents.outputs)
            self._report.verified_at_the_end += 1


class Memory:
    """Samples of every process's resident memory."""

    def __init__(self, network):
        self._network = network
        self._samples = collections.defaultdict(list)
        self._born = {}
        self.lives = collections.Counter()

    def note_start(self, name):
        self._born[name] = time.monotonic()
        self.lives[name] += 1

    def sample(self):
        now = time.monotonic()
        for name in self._network.names:
            if now - self._born[name] < WARM_S:
                continue
            pages = Path(f"/proc/{self._network.get_pid(name)}/statm").read_text().split()[1]
            size = int(pages) * os.sysconf("SC_PAGE_SIZE") / MIB
            self._samples[name].append((now, size, self.lives[name]))

    def draw_line(self, name, since):
        """Draw the line through a process's samples."""
        points = [point for point in self._samples[name] if point[0] >= since]
        kind = "one life"
        if len({life for _, _, life in points}) > 1:
            kind = "beginnings"
            first = {}
            for point in points:
                first.setdefault(point[2], point)
            points = list(first.values())
        times, sizes = [point[0] for point in points], [point[1] for point in points]
        hours = (times[-1] - times[0]) / 3_600
        slope = statistics.linear_regression(times, sizes).slope * 3_600
        home = self._network.get_home(name)
        on_disk = sum(path.stat().st_size for path in home.glob("*") if path.is_file())
        return Line(
            name=name,
            lives=self.lives[name],
            kind=kind,
            first_mib=round(sizes[0], 1),
            last_mib=round(sizes[-1], 1),
            most_mib=round(max(sizes), 1),
            slope_mib_per_h=round(slope, 1),
            bound_mib_per_h=round(max(SLOPE_MIB_PER_H, NOISE_MIB / hours), 1),
            disk_mib=round(on_disk / MIB, 1),
        )


def soak(network, model, inputs, folder, *, seconds, seed, say=print):
    """Soak a started network; return the report. The network is stopped afterwards."""
    report = Report(seconds=seconds, seed=seed)
    draw = random.Random(seed)
    memory = Memory(network)
    for name in network.names:
        memory.note_start(name)
    spared = draw.choice(network.node_names)
    begun = time.monotonic()
    half, end = begun + seconds / 2, begun + seconds
    alone_from = half - max(WARM_S, min(FILL_S, seconds / 4))
    trust = decode_trust(network.trust_path.read_bytes())
    with Customers(network, model, inputs, folder, report) as customers:
        next_kill = next_word = begun + draw.uniform(2, 8)
        while (now := time.monotonic()) < end:
            memory.sample()
            if now >= next_word:
                next_word = now + max(10, seconds / 30)
                say(f"{now - begun:6.0f} s: {report.answered} answered, {report.settled} settled")
            if now >= next_kill and now < end - 5:
                victims = _draw_victims(network, draw, spared if now > alone_from else None)
                _kill(network, draw, victims, memory, report)
                _await_answer(customers, victims)
                next_kill = time.monotonic() + draw.uniform(2, 20)
            time.sleep(1.0)
            assert network.find_dead() == ()
        memory.sample()
        report.seconds = round(time.monotonic() - begun, 1)
    report.memory = [memory.draw_line(name, half) for name in network.names]
    network.stop()
    customers.verify_kept(trust)
    return report


def _draw_victims(network, draw, spared):
    """Draw whom to kill: one, two at one time, or all that may be."""
    nodes = [name for name in network.node_names if name != spared]
    alone = [*nodes, GATEWAY] if spared is None else nodes
    return draw.sample(alone, draw.choice((1, 1, 1, 1, 2, len(alone))))


def _kill(network, draw, victims, memory, report):
    for victim in victims:
        network.kill(victim)
        report.killed[victim] = report.killed.get(victim, 0) + 1
    time.sleep(draw.choice((0.0, draw.uniform(0, 1), draw.uniform(0, 5))))
    # The gateway first: a node is back once it can be asked through it.
    for victim in sorted(victims, key=lambda name: name != GATEWAY):
        memory.note_start(victim)
        network.restart(victim)


def _await_answer(customers, victims):
    answered = customers.answered
    deadline = time.monotonic() + 60
    while customers.answered == answered and time.monotonic() < deadline:
        time.sleep(0.05)
    assert customers.answered > answered, f"nobody answers after {victims} were killed"


def make_inputs():
    """One row for the small model."""
    return {"x": np.linspace(-1, 1, 256, dtype=np.float32)[np.newaxis]}
