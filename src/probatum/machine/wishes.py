"""Wishes: everything that a party can ask of the world.

A driver (the real one in `probatum.nodes.shell`, the simulated one in `probatum.storm`) grants
them in order. Must not know how a wish is granted.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from probatum.protocol.headers import SignedHeader
from probatum.protocol.messages import Message
from probatum.protocol.parties import ArithmeticClass
from probatum.protocol.primitives import Digest
from probatum.protocol.tensors import Tensor

__all__ = [
    "CancelTimer",
    "Commit",
    "Compute",
    "Curtail",
    "Generate",
    "Halt",
    "Journal",
    "Reply",
    "Report",
    "Send",
    "SetTimer",
    "Wish",
]


class Send(msgspec.Struct, frozen=True):
    """Open a conversation: replies come as `Returned`, its failure as `Unreachable`.

    Attributes:
        call: Ticket, unique while the call is open.
        to: Endpoint of the other party.
        timeout_ms: The whole conversation ends as `Unreachable` after this long.
    """

    call: str
    to: str
    message: Message
    timeout_ms: int


class Reply(msgspec.Struct, frozen=True):
    """Answer a conversation; `last` ends it."""

    conversation: str
    message: Message
    last: bool = True


class Journal(msgspec.Struct, frozen=True):
    """Append records to the party's journal and flush them; `Durable` follows.

    Records become durable in the order of the wishes; after a crash a prefix of them is found.
    """

    ticket: str
    records: tuple[bytes, ...]


class Commit(msgspec.Struct, frozen=True):
    """Write rows atomically to the party's table store; `Durable` follows.

    Attributes:
        rows: (table, key, value); a value of None deletes.
    """

    ticket: str
    rows: tuple[tuple[str, bytes, bytes | None], ...]


class Compute(msgspec.Struct, frozen=True):
    """Run a model; `Computed` follows."""

    job: str
    package: Digest
    inputs: tuple[Tensor, ...]
    arithmetic: ArithmeticClass = "float"


class Generate(msgspec.Struct, frozen=True):
    """Have a language model write (`TEXT-1`); `Generated`, as often as it likes, and `Computed`.

    Attributes:
        inputs: As the manifest has them.
        nonce: The request's, 32 bytes: the chance in the choice of tokens.
        prefix: Tokens that another node chose. They are checked before anything else is told: a
            wrong one ends the job with the refusal `text.wrong-prefix`.
        top_logprobs: How many alternatives are wanted beside each new token's logprob; None where
            no logprobs are.
    """

    job: str
    package: Digest
    inputs: tuple[Tensor, ...]
    nonce: bytes
    prefix: tuple[int, ...] = ()
    top_logprobs: int | None = None


class Curtail(msgspec.Struct, frozen=True):
    """End a `Generate` with the tokens that it has; harmless if it has ended."""

    job: str


class SetTimer(msgspec.Struct, frozen=True):
    """Wake the party after a while; setting a timer of the same name again replaces it."""

    timer: str
    after_ms: int


class CancelTimer(msgspec.Struct, frozen=True):
    """Take a timer back; harmless if it is not set, or has fired."""

    timer: str


class Report(msgspec.Struct, frozen=True):
    """Tell the operator: one structured log line. Level is ``info``, ``warning`` or ``error``."""

    level: str
    code: str
    message: str
    fields: tuple[tuple[str, str], ...] = ()


class Halt(msgspec.Struct, frozen=True):
    """Stop the party for good: going on would break a promise (`LOG-1`).

    `headers` are why, if two sealed pasts are: they are kept, and reported (`LIGHT-1`).
    """

    code: str
    message: str
    headers: tuple[SignedHeader, ...] = ()


Wish: TypeAlias = (
    Send
    | Reply
    | Journal
    | Commit
    | Compute
    | Generate
    | Curtail
    | SetTimer
    | CancelTimer
    | Report
    | Halt
)
"""Everything that a party can ask."""
