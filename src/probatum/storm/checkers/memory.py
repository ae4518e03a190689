"""Bounded memory: at rest a machine holds no more than it has open conversations.

(A full node holds one entry for each follower that waits for the next block.) Finds every `Held`
map in a machine, however deep, by walking its objects. Must not know machines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from probatum.machine.budget import Held
from probatum.storm.world import World

__all__ = ["check_memory", "find_held"]

_DEPTH = 12


def find_held(thing: object) -> Iterator[tuple[str, Held[Any, Any]]]:
    """Find all `Held` maps that an object of this project reaches, with the way to each."""
    yield from _walk(thing, "", set(), _DEPTH)


def _walk(
    thing: object, way: str, seen: set[int], depth: int
) -> Iterator[tuple[str, Held[Any, Any]]]:
    if id(thing) in seen or depth == 0:
        return
    seen.add(id(thing))
    if isinstance(thing, Held):
        yield way, thing
    elif isinstance(thing, dict):
        for key, value in thing.items():
            yield from _walk(value, f"{way}[{key!r}]", seen, depth - 1)
    elif isinstance(thing, list | tuple | set | frozenset):
        for at, value in enumerate(thing):
            yield from _walk(value, f"{way}[{at}]", seen, depth - 1)
    elif type(thing).__module__.startswith("probatum."):
        for name, value in _list_attributes(thing):
            yield from _walk(value, f"{way}.{name}", seen, depth - 1)


def _list_attributes(thing: object) -> list[tuple[str, object]]:
    names = set(getattr(thing, "__dict__", {}))
    for kind in type(thing).__mro__:
        slots = getattr(kind, "__slots__", ())
        names.update((slots,) if isinstance(slots, str) else slots)
    return [(name, getattr(thing, name)) for name in sorted(names) if hasattr(thing, name)]


def check_memory(world: World) -> None:
    """Check that no machine holds anything that it should have let go."""
    trace = world.kernel.trace
    for name in sorted(world.roles):
        held = list(find_held(world.kernel.parties[name].machine))
        trace.count("held maps checked", len(held))
        asked = world.kernel.network.count_open(name)
        for way, entries in held:
            if "._pending" in way and (world.docket.deeds or world.docket.forgetful):
                continue  # gateways wait long for receipts that nodes never settle
            if len(entries) > asked:
                why = f"{way} holds {len(entries)} entries for {asked} conversations"
                trace.find("memory.held", name, why)
