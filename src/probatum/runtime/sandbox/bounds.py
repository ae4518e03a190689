"""What an examining process may use: an operator's figures (`PUB-1`). Must not know processes."""

from __future__ import annotations

from typing import Final

import msgspec

from probatum.protocol import limits

__all__ = ["SandboxBounds"]

_MEMORY_BASE: Final = 1024 * limits.MIB


class SandboxBounds(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one examination.

    Attributes:
        memory_base_bytes: Address space for a file of no size; interpreter and engine take
            some 200 MiB of it.
        memory_times: Address space beside that, in sizes of the file: its bytes, the parsed
            form, the weights, and the weights in the layout of kernels.
        cpu_seconds: Processor time in all.
        load_seconds: Time for reading, judging and loading.
        run_seconds: Time for the sample run.
        parent: Process id of who waits for the verdict; filled in by it.
    """

    memory_base_bytes: int = _MEMORY_BASE
    memory_times: int = 6
    cpu_seconds: int = 120
    load_seconds: float = 120.0
    run_seconds: float = 30.0
    parent: int = 0

    def compute_memory(self, size: int) -> int:
        """Compute the address space for a file of a size."""
        return self.memory_base_bytes + self.memory_times * size
