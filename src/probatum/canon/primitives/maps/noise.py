"""Gumbel: the noise of each candidate token, from a nonce that nobody can foresee (`GUMBEL-1`).

A key is made of the nonce and the number of the choice, a block of eight words of the key, a
position and an eighth of the token's number, and a noise of one word. All integers are read as
their 64 bits, negative ones too, so that every input has a value.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from probatum.canon.arith.formats import FLOAT32
from probatum.canon.arith.gumbel import NOISE_BITS, compute_gumbel
from probatum.canon.arith.rounding import round_dyadic
from probatum.canon.graph.binding import BoundNode
from probatum.canon.graph.sizes import Size
from probatum.canon.graph.types import CanonDtype, TensorType
from probatum.canon.primitives.interface import Attributes, Read, ReadBound, Reading
from probatum.canon.primitives.operands import (
    broadcast,
    check_attributes,
    check_dtype,
    check_operands,
    refuse_operands,
)
from probatum.canon.primitives.places import find_broadcast, list_coordinates

__all__ = [
    "BLOCK_WORDS",
    "NONCE_WORDS",
    "Gumbel",
    "derive_noise_block",
    "derive_noise_key",
    "get_noise_word",
]

TAG: Final = b"probatum/gumbel/1"
NONCE_WORDS: Final = 4
"""A nonce of 32 bytes is read as so many little-endian integers of 64 bits."""
BLOCK_WORDS: Final = 8
WORD_BYTES: Final = 4
WORK: Final = 3 << 24
"""Three logarithms, each as any function at the cap of 4,096 bits; the hashes are small change."""
INT64: Final = frozenset({"int64"})


def derive_noise_key(nonce: bytes, choice: int) -> bytes:
    """Derive the key of all noise of one answer.

    Args:
        nonce: 32 bytes.
        choice: Number of the answer among those of one request; 64 bits.
    """
    return sha256(TAG + nonce + choice.to_bytes(8, "big")).digest()


def derive_noise_block(key: bytes, position: int, block: int) -> bytes:
    """Derive the 32 bytes from which eight neighbouring tokens' noise is made.

    Args:
        key: Of `derive_noise_key`.
        position: Of the token in the answer; 64 bits.
        block: The token's number, of 64 bits, divided by 8.
    """
    return sha256(key + position.to_bytes(8, "big") + block.to_bytes(8, "big")).digest()


def get_noise_word(block: bytes, token: int) -> int:
    """Get the word of a token, of the block that it lies in."""
    start = token % BLOCK_WORDS * WORD_BYTES
    return int.from_bytes(block[start : start + WORD_BYTES], "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gumbel:
    """Noise of tokens at positions: nonce[4], choice[1]; positions and tokens are broadcast."""

    operator: str = "Gumbel"
    version: int = 1

    def infer(
        self,
        inputs: tuple[TensorType, ...],
        attributes: Attributes,
        dtype: CanonDtype | None = None,
    ) -> TensorType:
        """Compute the type; see `Typed`."""
        nonce, choice, positions, tokens = check_operands("Gumbel", inputs, *[INT64] * 4)
        check_attributes("Gumbel", attributes)
        if nonce.shape != (NONCE_WORDS,) or choice.shape != (1,):
            raise refuse_operands("Gumbel reads a nonce of four integers and a choice of one")
        shape = broadcast("Gumbel", positions.shape, tokens.shape)
        return TensorType(check_dtype("Gumbel", "float32", dtype), shape)

    def list_conditions(self, _: tuple[TensorType, ...], __: Attributes) -> tuple[Size, ...]:
        """None."""
        return ()

    def judge(self, node: BoundNode, element: int) -> Reading:
        """Read nonce, choice, position and token; hash twice; compute the noise."""
        coordinates = list_coordinates(node.output.shape, element)
        _, _, positions, tokens = node.inputs
        *nonce, choice, position, token = yield (
            Read(0, 0, NONCE_WORDS),
            Read(1, 0),
            Read(2, find_broadcast(positions.shape, coordinates)),
            Read(3, find_broadcast(tokens.shape, coordinates)),
        )
        key = derive_noise_key(b"".join(one.to_bytes(8, "little") for one in nonce), choice)
        block = derive_noise_block(key, position, token // BLOCK_WORDS)
        return round_dyadic(FLOAT32, compute_gumbel(get_noise_word(block, token)), -NOISE_BITS)

    def bound_reads(self, _: BoundNode) -> tuple[ReadBound, ...]:
        """The nonce, and one element of each other operand."""
        return (ReadBound(0, 1, NONCE_WORDS), *(ReadBound(source, 1) for source in (1, 2, 3)))

    def count_operations(self, node: BoundNode) -> int:
        """One an element."""
        return node.output.count

    def measure(self, _: BoundNode) -> int:
        """Three logarithms and their surroundings."""
        return WORK + (1 << 12)
