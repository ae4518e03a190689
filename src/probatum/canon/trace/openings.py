"""Openings: some chunks of a tensor, shown to belong to its root (`CANON-5`).

An opening holds the chunks and, from left to right, the chaining values of the largest subtrees
that hold none of them: what Bao sends, without the values that can be computed. The tensor's length
is not part of it: it follows from dtype and shape, which the root's key binds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Annotated, Final

from msgspec import Meta

from probatum.canon.trace.compression import (
    CHUNK_BYTES,
    compute_chunk_value,
    compute_parent_value,
)
from probatum.canon.trace.tree import Subtree, get_chunk_length, split, whole
from probatum.errors import Refusal
from probatum.protocol.encoding import LedgerValue
from probatum.protocol.primitives import Root

__all__ = ["OPENED_CHUNKS", "TENSOR_BOUND", "Opening", "check_chunks", "check_opening", "cut_run"]

OPENED_CHUNKS: Final = 64
"""The most chunks of one opening."""
TENSOR_BOUND: Final = 1 << 56
"""A tensor inside a graph has fewer bytes."""
PATH_VALUES: Final = OPENED_CHUNKS * 46
"""One a level below the root, and TENSOR_BOUND makes 46 levels."""


class Opening(LedgerValue, frozen=True, kw_only=True):
    """Chunks of one tensor and what joins them to its root.

    Attributes:
        chunks: In order of their numbers, which the reader knows.
        path: Chaining values of the largest subtrees without any of them, from left to right.
    """

    chunks: Annotated[
        tuple[Annotated[bytes, Meta(max_length=CHUNK_BYTES)], ...],
        Meta(min_length=1, max_length=OPENED_CHUNKS),
    ]
    path: Annotated[tuple[Root, ...], Meta(max_length=PATH_VALUES)]


def check_opening(
    root: bytes, key: bytes, length: int, number: int, chunk: bytes, path: tuple[bytes, ...]
) -> None:
    """Check that one chunk belongs to a tensor; see `check_chunks` for arguments and errors."""
    _check(root, key, length, (number,), (chunk,), path)


def check_chunks(
    root: bytes, key: bytes, length: int, numbers: tuple[int, ...], opening: Opening
) -> None:
    """Check that the chunks of these numbers belong to a tensor.

    At most 16 compressions a chunk and one a value of the path are made, 30 microseconds each.

    Args:
        root: The tensor's.
        key: Its root's, derived from dtype and shape by `roots`.
        length: Its bytes, by dtype and shape.
        numbers: Of the opened chunks, rising.
        opening: The chunks and their path.

    Raises:
        Refusal: `canon.bad-opening` where the opening has not the form that length and numbers
            ask for, `canon.wrong-opening` where it does not make the root.
    """
    _check(root, key, length, numbers, opening.chunks, opening.path)


def cut_run(
    numbers: tuple[int, ...], chunks: tuple[bytes, ...], first: int, size: int
) -> bytes | None:
    """Cut a run of a tensor's bytes out of its opened chunks.

    Args:
        numbers: Of the opened chunks, rising.
        chunks: Their bytes.
        first: Place of the first byte in the tensor.
        size: How many bytes, at least 1.

    Returns:
        The bytes, or None where a chunk of them is not opened.
    """
    wanted = tuple(range(first // CHUNK_BYTES, (first + size - 1) // CHUNK_BYTES + 1))
    at = bisect_left(numbers, wanted[0])
    if numbers[at : at + len(wanted)] != wanted:
        return None
    begin = first - wanted[0] * CHUNK_BYTES
    run = b"".join(chunks[at : at + len(wanted)])[begin : begin + size]
    return run if len(run) == size else None


def _check(
    root: bytes,
    key: bytes,
    length: int,
    numbers: tuple[int, ...],
    chunks: tuple[bytes, ...],
    path: tuple[bytes, ...],
) -> None:
    if not 0 <= length < TENSOR_BOUND:
        raise Refusal("canon.bad-opening", f"a tensor has fewer than {TENSOR_BOUND} bytes")
    top = whole(length)
    if not 1 <= len(numbers) <= OPENED_CHUNKS or any(
        left >= right for left, right in zip((-1, *numbers), (*numbers, top.size), strict=True)
    ):
        raise Refusal("canon.bad-opening", f"1 to {OPENED_CHUNKS} chunks are opened, in order")
    if len(path) != _count_path(top, numbers) or any(len(value) != 32 for value in path):
        raise Refusal("canon.bad-opening", "the path has not the values that these chunks ask for")
    if len(chunks) != len(numbers) or any(
        len(chunk) != get_chunk_length(length, number)
        for number, chunk in zip(numbers, chunks, strict=True)
    ):
        raise Refusal("canon.bad-opening", "the chunks do not have the sizes of these chunks")
    if _join(key, top, numbers, iter(chunks), iter(path), is_root=True) != root:
        raise Refusal("canon.wrong-opening", "the chunks do not make up the root")


def _divide(
    node: Subtree, numbers: tuple[int, ...]
) -> tuple[tuple[Subtree, tuple[int, ...]], tuple[Subtree, tuple[int, ...]]]:
    left, right = split(node)
    middle = bisect_left(numbers, right.first)
    return (left, numbers[:middle]), (right, numbers[middle:])


def _count_path(node: Subtree, numbers: tuple[int, ...]) -> int:
    if not numbers:
        return 1
    if node.size == 1:
        return 0
    return sum(_count_path(half, wanted) for half, wanted in _divide(node, numbers))


def _join(
    key: bytes,
    node: Subtree,
    numbers: tuple[int, ...],
    chunks: Iterator[bytes],
    path: Iterator[bytes],
    *,
    is_root: bool,
) -> bytes:
    if not numbers:
        return next(path)
    if node.size == 1:
        return compute_chunk_value(key, next(chunks), node.first, is_root=is_root)
    left, right = (
        _join(key, half, wanted, chunks, path, is_root=False)
        for half, wanted in _divide(node, numbers)
    )
    return compute_parent_value(key, left, right, is_root=is_root)
