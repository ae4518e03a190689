"""Answers of class `exact` that are kept for who asks the same again (`EXACT-3`).

There is one right answer to a question, so what was computed once may be told to everybody who
asks it, bit for bit, of the same package. A question is known by its content alone: who asks, under
which request id and salt, stands in receipts, which are made anew. That somebody asked before shows
in the time that an answer takes; so an operator decides whether anything is kept. Must not know
engines or nodes.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from probatum.protocol.hashing import hash_tagged
from probatum.protocol.primitives import Digest, make_salt
from probatum.protocol.tensors import Tensor, compute_tensor_root

__all__ = ["KeptAnswers", "compute_question"]

_NO_SALT: Final = make_salt(bytes(32))
"""Inside one process nothing is hidden from anybody by a salt."""
_ENTRY_BYTES: Final = 512
"""What keeping an answer takes beside its tensors: digests, the table."""
_TENSOR_BYTES: Final = 512
"""What keeping a tensor takes beside its elements, of which it may have none: name, shape."""


def compute_question(package: Digest, inputs: tuple[Tensor, ...]) -> Digest:
    """Compute what names a question: its package, and every input's root under a salt of zeros.

    A root binds name, dtype, shape and elements (`CANON-5`).
    """
    roots = b"".join(compute_tensor_root(_NO_SALT, tensor) for tensor in inputs)
    return hash_tagged("probatum/kept-question/1", package, roots)


class KeptAnswers:
    """Answers by question, within a bound of bytes; the least recently told goes first.

    For any number of threads.
    """

    def __init__(self, limit_bytes: int) -> None:
        """Keep nothing yet; with a limit of 0 never anything."""
        self._limit_bytes = limit_bytes
        self._answers: OrderedDict[Digest, tuple[tuple[Tensor, ...], Digest]] = OrderedDict()
        self._held_bytes = 0
        self._told = 0
        self._computed = 0
        self._lock = threading.Lock()

    @property
    def is_on(self) -> bool:
        """Whether anything is ever kept."""
        return self._limit_bytes > 0

    @property
    def held_bytes(self) -> int:
        """Bytes of all answers that are kept."""
        return self._held_bytes

    @property
    def counts(self) -> tuple[int, int]:
        """How many questions were answered from here, and how many had to be computed."""
        return self._told, self._computed

    def find(self, question: Digest) -> tuple[Tensor, ...] | None:
        """Find the answer to a question; None if it is not kept, or not any more what it was.

        A wrong bit convicts its signer, and memory is not always sound.
        """
        with self._lock:
            answer, seal = self._answers.get(question, (None, None))
        whole = answer is not None and _seal(question, answer) == seal
        with self._lock:
            if not whole:
                self._computed += 1
                self._drop(question)
                return None
            self._told += 1
            if question in self._answers:
                self._answers.move_to_end(question)
            return answer

    def keep(self, question: Digest, answer: tuple[Tensor, ...]) -> None:
        """Keep an answer, if there is room for it at all."""
        size = _measure(answer)
        if size > self._limit_bytes:
            return
        seal = _seal(question, answer)
        with self._lock:
            self._drop(question)
            while self._held_bytes + size > self._limit_bytes:
                self._drop(next(iter(self._answers)))
            self._answers[question] = (answer, seal)
            self._held_bytes += size

    def _drop(self, question: Digest) -> None:
        dropped = self._answers.pop(question, None)
        if dropped is not None:
            self._held_bytes -= _measure(dropped[0])


def _measure(answer: tuple[Tensor, ...]) -> int:
    return _ENTRY_BYTES + sum(_TENSOR_BYTES + len(tensor.data) for tensor in answer)


def _seal(question: Digest, answer: tuple[Tensor, ...]) -> Digest:
    return compute_question(question, answer)
