"""Toy machines for the kernel's tests: they remember what they saw and wish what they are told."""

from __future__ import annotations

from probatum.machine.events import Started
from probatum.protocol.messages import GetLogFile, GotLogFile
from probatum.storm.disk import DiskPace
from probatum.storm.kernel import Kernel
from probatum.storm.network import Weather

CALM = Weather(delay_ms=(1, 5))
BRISK = DiskPace(flush_ms=(2, 2), slow_rate=0.0)


class Toy:
    """Keeps (time, event) pairs; answers each kind of event with what `script` says."""

    def __init__(self, script=None, seen=None):
        self.script = script or {}
        self.seen = [] if seen is None else seen
        self.entropies = []

    def step(self, event, moment):
        self.seen.append((moment.now_ms, event))
        self.entropies.append(moment.entropy)
        wishes = self.script.get(type(event), ())
        return tuple(wishes(event) if callable(wishes) else wishes)

    def of(self, kind):
        return [event for _, event in self.seen if isinstance(event, kind)]


class World:
    """A kernel, and the toys of all lives by name."""

    def __init__(self, seed=1, weather=CALM, pace=BRISK):
        self.kernel = Kernel(seed=seed, weather=weather, pace=pace)
        self.lives = {}

    def add(self, name, script=None, **more):
        self.lives[name] = []

        def build(disk):
            toy = Toy(script)
            toy.journal = tuple(disk.journal)
            self.lives[name].append(toy)
            return toy

        self.kernel.add(name, f"http://{name}", build, **more)
        self.kernel.start(name)
        return self.lives[name][-1]

    def run(self, until_ms=1_000):
        self.kernel.loop.run_until(until_ms)

    def counts(self, what):
        return self.kernel.trace.counts[what]


def question(number=1):
    return GetLogFile(session=number, path="checkpoint")


def answer(number=1):
    return GotLogFile(data=b"answer %d" % number)


def on_start(*wishes):
    return {Started: wishes}


__all__ = ["BRISK", "CALM", "Toy", "World", "answer", "on_start", "question"]
