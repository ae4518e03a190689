"""The shape of a machine, and how a step stretches its chance.

A party is an object that owns its state: ``step(event, moment)`` changes the state and returns
wishes; nothing else happens. To restart a party, build it anew from what its journal or tables
hold (docs/adr/0001). Must not know any party.
"""

from __future__ import annotations

from typing import Protocol

from probatum.machine.events import Event, Moment
from probatum.machine.wishes import Wish
from probatum.protocol.hashing import hash_tagged

__all__ = ["Machine", "draw"]


class Machine(Protocol):
    """Anything that acts."""

    def step(self, event: Event, moment: Moment) -> tuple[Wish, ...]:
        """Take one event, return the wishes that follow from it."""
        ...


def draw(moment: Moment, purpose: str) -> bytes:
    """Draw 32 bytes for one purpose from a step's entropy.

    Different purposes get independent bytes; the same purpose in one step the same bytes.
    """
    return hash_tagged("probatum/draw/1", moment.entropy, purpose.encode())
