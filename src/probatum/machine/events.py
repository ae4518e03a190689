"""Events: everything that the world can tell a party. One event, one step.

Tickets (`conversation`, `call`, `ticket`, `job`, `timer`) are strings that the party or its
driver chose; the driver gives them back unchanged. Events and wishes are structs, not data
classes: they are made for every request, and cost a third so. Must not know who acts.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from probatum.errors import Fault, Refusal
from probatum.protocol.messages import Message
from probatum.protocol.tensors import Tensor

__all__ = [
    "Arrived",
    "BlockFinal",
    "Computed",
    "Durable",
    "Enough",
    "Event",
    "Fired",
    "Generated",
    "Hung",
    "Moment",
    "Returned",
    "Started",
    "Stopping",
    "Unreachable",
]


class Moment(msgspec.Struct, frozen=True):
    """Time and chance of one step.

    Attributes:
        now_ms: Monotonic-or-Unix milliseconds of the driver; advice, never a promise to others.
        entropy: 32 fresh bytes; a step that needs more expands them by a tagged hash.
    """

    now_ms: int
    entropy: bytes


class Started(msgspec.Struct, frozen=True):
    """The party may act: sent once, after it was built or recovered."""


class Stopping(msgspec.Struct, frozen=True):
    """The operator wants the party to end soon: take no new work, finish what is held."""


class Arrived(msgspec.Struct, frozen=True):
    """A message opened a conversation with this party.

    `caller` is who says it, as the door established: ``key:`` and the public part of an API key;
    empty for anybody.
    """

    conversation: str
    message: Message
    caller: str = ""


class Hung(msgspec.Struct, frozen=True):
    """The other side of a conversation went away; replies to it go nowhere."""

    conversation: str


class Enough(msgspec.Struct, frozen=True):
    """The other side is there, and wants no more of a text than it has heard (`TEXT-1`)."""

    conversation: str


class BlockFinal(msgspec.Struct, frozen=True):
    """An engine outside the party has one more block, which others may be told of.

    Attributes:
        height: Its height.
        transactions: How many it has.
    """

    height: int
    transactions: int


class Returned(msgspec.Struct, frozen=True):
    """A reply to an earlier `Send`; `last` when no more can come."""

    call: str
    message: Message
    last: bool


class Unreachable(msgspec.Struct, frozen=True):
    """An earlier `Send` ended without a last reply: refused, cut, or out of time."""

    call: str
    reason: str


class Durable(msgspec.Struct, frozen=True):
    """What an earlier `Journal` or `Commit` asked for is on disk."""

    ticket: str


class Generated(msgspec.Struct, frozen=True):
    """A `Generate` has more tokens: those after the last ones that were told.

    `logprobs` are theirs, packed, where the wish was for them.
    """

    job: str
    ids: tuple[int, ...]
    logprobs: bytes = b""


class Computed(msgspec.Struct, frozen=True):
    """A `Compute` or `Generate` has ended: outputs, or why not."""

    job: str
    outcome: tuple[Tensor, ...] | Refusal | Fault


class Fired(msgspec.Struct, frozen=True):
    """A timer ran out."""

    timer: str


Event: TypeAlias = (
    Started
    | Stopping
    | Arrived
    | BlockFinal
    | Hung
    | Enough
    | Returned
    | Unreachable
    | Durable
    | Generated
    | Computed
    | Fired
)
"""Everything that can happen to a party."""
