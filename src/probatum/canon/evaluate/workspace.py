"""What kernels work in: buffers used again, threads, what is kept of weights, hard inputs' results.

One workspace serves one evaluation at a time. Must not know what kernels compute.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from math import prod
from typing import Any, Final, TypeVar

import numpy as np

from probatum.canon.evaluate.compiled import Compiled
from probatum.canon.evaluate.values import Array, Doubles, Value, get_numpy_dtype

__all__ = ["CHUNK", "COMPILED_CHUNK", "Flags", "Scratch", "Workspace"]

CHUNK: Final = 1 << 14
"""Elements that are worked on at a time, so that what is between stays in the cache."""
COMPILED_CHUNK: Final = 1 << 16
"""Elements that a compiled loop, which leaves nothing between, is given at a time."""
K_CHUNK: Final = 256
"""Terms that one matrix product sums: fewer mean a smaller bound, more mean fewer calls."""
KEPT_BYTES: Final = 1 << 32
EXACT_RESULTS: Final = 1 << 16

T = TypeVar("T")


class Flags:
    """Whether an operation raised overflow, division by zero or invalid since last asked."""

    __slots__ = ("_raised",)

    def __init__(self) -> None:
        self._raised = False

    def __call__(self, _kind: str, _flag: int) -> None:
        """Take note: numpy calls this."""
        self._raised = True

    def take(self) -> bool:
        """Tell, and forget."""
        raised, self._raised = self._raised, False
        return raised


class Scratch:
    """Arrays of one thread, by name, grown where needed; their contents do not last."""

    __slots__ = ("_arrays",)

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, str], Array] = {}

    def take(self, name: str, count: int, dtype: str = "float64") -> Array:
        """Get `count` elements of a type; the same memory at the next call of that name."""
        have = self._arrays.get((name, dtype))
        if have is None or have.size < count:
            have = np.empty(max(count, CHUNK), get_numpy_dtype(dtype))
            self._arrays[name, dtype] = have
        return have[:count]


class Workspace:
    """Buffers, threads and what is kept from one evaluation to the next.

    Args:
        threads: Worked on at a time; the bits do not depend on it.
        k_chunk: Terms that one matrix product sums; the bits do not depend on it.
        kept_bytes: At most kept of what is derived from weights.
        compiled: Computes what it can of float32; the bits do not depend on it.
    """

    def __init__(
        self,
        *,
        threads: int = 1,
        k_chunk: int = K_CHUNK,
        kept_bytes: int = KEPT_BYTES,
        compiled: Compiled | None = None,
    ) -> None:
        self.compiled = compiled
        self.threads = threads
        self.k_chunk = k_chunk
        self.flags = Flags()
        self.exact: dict[Hashable, int] = {}
        self._scratch = [Scratch() for _ in range(threads)]
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._free: dict[int, list[Array]] = {}
        self._kept: dict[Hashable, Any] = {}
        self._kept_room = kept_bytes
        self._last: tuple[Value, Hashable, tuple[Doubles, Doubles, bool]] | None = None

    @property
    def scratch(self) -> Scratch:
        """The first thread's arrays."""
        return self._scratch[0]

    def close(self) -> None:
        """Let the threads go."""
        if self._pool is not None:
            self._pool.shutdown()

    def take(self, shape: tuple[int, ...], dtype: str) -> Array:
        """Get an uninitialised array, of memory given back before where some is of its size."""
        kind = get_numpy_dtype(dtype)
        size = prod(shape) * kind.itemsize
        free = self._free.get(size)
        memory = free.pop() if free else np.empty(size, np.uint8)
        return memory.view(kind).reshape(shape)

    def take_doubles(self, shape: tuple[int, ...]) -> Doubles:
        """Get an uninitialised float64 array."""
        return self.take(shape, "float64")

    def give_back(self, array: Array) -> None:
        """Give back an array that `take` gave and that nothing reads any more."""
        base = array
        while isinstance(base.base, np.ndarray):
            base = base.base
        if base.dtype == np.uint8 and base.ndim == 1:
            self._free.setdefault(base.size, []).append(base)

    def forget_free(self) -> None:
        """Let go of the memory that was given back."""
        self._free.clear()

    def keep(self, key: Hashable, size: int, make: Callable[[], T]) -> T:
        """Make something once and keep it, as long as there is room for its `size` bytes."""
        found: T | None = self._kept.get(key)
        if found is None:
            found = make()
            if size <= self._kept_room:
                self._kept_room -= size
                self._kept[key] = found
        return found

    def remember(
        self, value: Value, form: Hashable, make: Callable[[], tuple[Doubles, Doubles, bool]]
    ) -> tuple[Doubles, Doubles, bool]:
        """Make a form of a tensor, unless it was the last that was asked for."""
        if self._last is None or self._last[0] is not value or self._last[1] != form:
            if self._last is not None:
                self.give_back(self._last[2][0])
            self._last = (value, form, make())
        return self._last[2]

    def keep_exact(self, key: Hashable, make: Callable[[], int]) -> int:
        """Compute a hard result once; at most `EXACT_RESULTS` are kept."""
        found = self.exact.get(key)
        if found is None:
            found = make()
            if len(self.exact) < EXACT_RESULTS:
                self.exact[key] = found
        return found

    def spread(
        self, count: int, step: int, work: Callable[[Scratch, int, int], T | None]
    ) -> list[T]:
        """Work on 0..count in steps, on all threads; what is not None comes back, in order."""
        begins = range(0, count, step)
        if self._pool is None or len(begins) < 2:
            scratch = self._scratch[0]
            found = [work(scratch, begin, min(count, begin + step)) for begin in begins]
            return [one for one in found if one is not None]

        def work_share(share: int) -> list[tuple[int, T | None]]:
            with np.errstate(all="ignore"):
                return [
                    (begin, work(self._scratch[share], begin, min(count, begin + step)))
                    for begin in begins[share :: self.threads]
                ]

        shares = self._pool.map(work_share, range(self.threads))
        together = sorted((pair for share in shares for pair in share), key=lambda pair: pair[0])
        return [one for _, one in together if one is not None]
