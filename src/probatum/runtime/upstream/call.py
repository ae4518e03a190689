"""One call of an engine: its time, and how another thread ends it. Must not know what is asked."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

from probatum.errors import Fault

__all__ = ["Call"]


class Call:
    """Bounds what may be several HTTP requests for one text."""

    def __init__(self, *, total_s: float, quiet_s: float) -> None:
        """Begin.

        Args:
            total_s: For everything.
            quiet_s: Longest time without a byte.
        """
        self._until = time.monotonic() + total_s
        self._quiet_s = quiet_s
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_cancelled = False

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody wants no more."""
        return self._is_cancelled

    def cancel(self) -> None:
        """End it: whoever waits for bytes wakes up. Harmless if it has ended."""
        with self._lock:
            self._is_cancelled = True
            if self._socket is not None:
                # Not closed: its number might be another file's by the time that its reader looks.
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def attach(self, line: socket.socket) -> None:
        """Name the line that `cancel` is to cut."""
        with self._lock:
            self._socket = line
        self.check()

    def detach(self) -> None:
        """Forget the line."""
        with self._lock:
            self._socket = None

    def check(self) -> float:
        """Check that it goes on; return how long the next byte may take, in seconds.

        Raises:
            Fault: `upstream.cancelled`, `upstream.timeout`.
        """
        if self._is_cancelled:
            raise Fault("upstream.cancelled", "nobody wants the upstream engine's answer any more")
        left = self._until - time.monotonic()
        if left <= 0:
            raise Fault(
                "upstream.timeout",
                "the upstream engine took too long",
                hint="ask for fewer tokens, or give the engine more of the machine",
            )
        return min(left, self._quiet_s)
