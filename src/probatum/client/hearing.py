"""One text as it is written, heard on the caller's own thread (`TEXT-1`).

`Client.ask_text` tells tokens on the client's thread, where nobody may wait. Here they are taken
when there is time, for whoever prints them, or does something else between them. Must not know
what tokens mean.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Self, TypeAlias

from probatum.client.answers import TextAnswer
from probatum.client.texting import Hear

__all__ = ["Hearing"]

_Done: TypeAlias = TextAnswer | BaseException


class Hearing:
    """One text that is being written: iterate over its runs of tokens, then `finish`.

    An iteration that is interrupted, as by Ctrl-C, can go on.
    """

    def __init__(self, ask: Callable[[Hear], TextAnswer]) -> None:
        """Begin to ask.

        Args:
            ask: Asks for the text with what it is given as `hear`, on a thread of its own.
        """
        self._runs: queue.SimpleQueue[tuple[int, ...] | _Done] = queue.SimpleQueue()
        self._is_enough = threading.Event()
        self._done: _Done | None = None
        # A daemon: whoever gives up waiting must be able to leave.
        threading.Thread(target=self._run, args=(ask,), daemon=True).start()

    def __iter__(self) -> Self:
        """Iterate over runs of tokens, in order, as they come."""
        return self

    def __next__(self) -> tuple[int, ...]:
        """Wait for the next run."""
        if self._done is None:
            item = self._runs.get()
            if isinstance(item, tuple):
                return item
            self._done = item
        raise StopIteration

    def end(self) -> None:
        """Say that no more is wanted: the text is cancelled at its next token."""
        self._is_enough.set()

    def finish(self) -> TextAnswer:
        """Wait for the end, and give the answer that passed its checks.

        Raises:
            Refusal, Fault, Misuse: Those of `ask`.
        """
        for _ in self:
            pass
        if not isinstance(self._done, TextAnswer):
            assert self._done is not None, "the iteration has ended"
            raise self._done
        return self._done

    def _run(self, ask: Callable[[Hear], TextAnswer]) -> None:
        try:
            self._runs.put(ask(self._hear))
        except BaseException as error:  # noqa: BLE001 - the thread's outermost: told to who waits
            self._runs.put(error)

    def _hear(self, news: tuple[int, ...]) -> bool:
        self._runs.put(news)
        return self._is_enough.is_set()
