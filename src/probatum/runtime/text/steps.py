"""What a decoder is made of: the steps that a kernel computes, each rounded as the graph says.

Read `pure` for what each step means, `decoder` for their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from probatum.protocol.manifests import TextModel
from probatum.runtime.text.cache import KeyValueCache
from probatum.runtime.text.matrices import AnyMatrix
from probatum.runtime.text.weights import Layer

__all__ = ["Floats", "Heads", "Kernel", "Marks", "Network", "Part"]

Floats: TypeAlias = NDArray[np.float32]
Marks: TypeAlias = NDArray[np.int32]
"""Of each row, not 0 where it met what is not finite; kernels only ever set them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Rows that are the next tokens of one text.

    Attributes:
        cache: Of the tokens before; its `length` is the first row's position.
        begin: The first row.
        count: Of rows.
    """

    cache: KeyValueCache
    begin: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Heads:
    """How rows of a projection are cut, and turned.

    Attributes:
        queries: Heads of queries.
        keys: Heads of keys and values; divides `queries`.
        width: Of a head.
        scale: What queries are multiplied by, a float32.
        cosines: float32 [context, width/2].
        sines: Likewise.
    """

    queries: int
    keys: int
    width: int
    scale: np.float32
    cosines: Floats
    sines: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A model as its layers compute.

    Attributes:
        text: Its sizes.
        layers: In order.
        final_norm: Weights [D].
        head: Makes logits, [V, D].
        heads: How rows of each layer's projection are cut.
        epsilon: Of all norms.
    """

    text: TextModel
    layers: tuple[Layer, ...]
    final_norm: Floats
    head: AnyMatrix
    heads: Heads
    epsilon: np.float32


class Kernel(Protocol):
    """Computes the steps, alone or all of them. Not for two threads at once."""

    name: str

    def read(
        self,
        network: Network,
        x: Floats,
        parts: tuple[Part, ...],
        wanted: NDArray[np.int64],
        marks: Marks,
    ) -> Floats:
        """Pass rows through all layers, their keys and values into the caches: logits.

        Args:
            network: The model.
            x: [R, D]; overwritten.
            parts: Cover all rows.
            wanted: Rows of which logits are wanted, in order.
            marks: As above.

        Returns:
            [len(wanted), V].
        """
        ...

    def norm(self, x: Floats, weight: Floats, epsilon: np.float32) -> Floats:
        """Divide rows by the root of their mean square and epsilon, times a weight: [R, D]."""
        ...

    def multiply(self, x: Floats, matrix: AnyMatrix, marks: Marks) -> Floats:
        """Compute the products of rows [R, K] with a matrix's: [R, N]."""
        ...

    def attend(
        self, projected: Floats, parts: tuple[Part, ...], layer: int, heads: Heads, marks: Marks
    ) -> Floats:
        """Put keys and values of rows into their caches, and mix values by attention.

        Args:
            projected: [R, (Hq + 2 Hkv) d]; overwritten.
            parts: Cover all rows.
            layer: Of the caches.
            heads: How rows are cut.
            marks: As above.

        Returns:
            [R, Hq d].
        """
        ...

    def gate(self, both: Floats) -> Floats:
        """Compute gate·sigmoid(gate)·up of rows [R, 2 F]: [R, F]."""
        ...

    def close(self) -> None:
        """Let threads go."""
        ...
