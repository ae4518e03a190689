"""What is asked of the checking process, and what it reports (`PUB-1`, `CANON-6`).

Must not know how anything is found out.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from probatum.protocol.encoding import Document, LedgerValue
from probatum.protocol.hexes import HexDigest
from probatum.protocol.tensors import Tensor
from probatum.runtime.sandbox.verdict import Reason

__all__ = ["Bounds", "Distance", "ExactReport", "Measurement", "Question", "Speed"]


class Question(LedgerValue, frozen=True, kw_only=True):
    """What is to be found out.

    Attributes:
        model: The ONNX file.
        ranges: Least and greatest admitted value of each named dim.
        bind: Inputs that the package binds to constants.
        inputs: One sample request; none: samples are drawn.
        seed: What is drawn depends on it alone.
        is_measured: Whether speed and distances are wanted too.
        is_graph_wanted: Whether the graph itself is, encoded.
        usual: Range of every dim that has none in `ranges`; absent, such dims are a reason.
    """

    model: bytes
    ranges: dict[str, tuple[int, int]]
    bind: tuple[Tensor, ...] = ()
    inputs: tuple[Tensor, ...] = ()
    seed: int = 0
    is_measured: bool = True
    is_graph_wanted: bool = False
    usual: tuple[int, int] | None = None


class Bounds(Document, frozen=True, kw_only=True):
    """What evaluating, tracing and judging cost at most, whatever the dims are (`CANON-8`).

    Attributes:
        entries: Tensors of the trace.
        weights: Tensors of the package.
        operations: Multiply-adds, comparisons and functions of one evaluation.
        weight_bytes: Bytes of all weights.
        peak_bytes: Bytes of inputs and entries that are alive at one time.
        trace_bytes: Bytes of all entries together.
        opening_bytes: Openings for one direct element or one block, the largest (`CANON-9`).
        judge_work: 64-bit multiply-adds of judging one, the largest.
    """

    entries: int
    weights: int
    operations: int
    weight_bytes: int
    peak_bytes: int
    trace_bytes: int
    opening_bytes: int
    judge_work: int


class ExactReport(Document, frozen=True, kw_only=True):
    """Whether a file is admissible to the class `exact`.

    Attributes:
        reasons: Why not, the first of many; none if it is.
        more_reasons: How many there are beside these.
        digest: The canonical digest.
        dims: Each declared dim with its least and greatest value.
        bounds: What it costs.
    """

    reasons: Annotated[tuple[Reason, ...], Meta(max_length=64)] = ()
    more_reasons: int = 0
    digest: HexDigest | None = None
    dims: dict[str, tuple[int, int]] = msgspec.field(default_factory=dict)
    bounds: Bounds | None = None

    @property
    def is_admitted(self) -> bool:
        """Whether there is no reason to refuse it."""
        return not self.reasons


class Speed(Document, frozen=True, kw_only=True):
    """What one answer took on this machine, one thread each, in turn: medians of the rounds."""

    exact_ms: float
    engine_ms: float
    ratio: float
    rounds: int


class Distance(Document, frozen=True, kw_only=True):
    """How far an output lies from the canonical one.

    Attributes:
        of: What computed it.
        output: Its name.
        distance: Greatest difference over the greatest magnitude of the canonical output; None
            where the output holds no floats, or one of the two is not finite where the other is.
        equal: Share of elements that are the same bits, 0 to 1.
    """

    of: str
    output: str
    distance: float | None
    equal: float


class Measurement(Document, frozen=True, kw_only=True):
    """What was measured on samples.

    Attributes:
        note: Why nothing was; empty if something was.
        samples: How many requests.
        is_drawn: Whether they were drawn, by `seed`, and not given.
        shapes: Of the inputs.
        speed: What an answer took.
        distances: By what computed it, then by output.
    """

    note: str = ""
    samples: int = 0
    is_drawn: bool = False
    seed: int = 0
    shapes: dict[str, tuple[int, ...]] = msgspec.field(default_factory=dict)
    speed: Speed | None = None
    distances: tuple[Distance, ...] = ()
