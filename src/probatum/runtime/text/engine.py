"""A language model behind one door: requests from any thread, tokens as they come (`TEXT-1`).

One thread of its own brings all texts on, step by step (`scheduler`). Weights are mapped, so that
engines of several processes share them. Must not know packages' folders, envelopes or sockets.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import ParamSpec, cast

from probatum.errors import Fault, ProbatumError, Refusal
from probatum.protocol.manifests import Manifest
from probatum.runtime.text.cache import compute_cache_bytes
from probatum.runtime.text.decoder import Decoder
from probatum.runtime.text.kernels import make_kernel
from probatum.runtime.text.requests import (
    TextAnswer,
    TextLimits,
    TextRequest,
    TextScore,
    check_text_request,
    get_text_model,
)
from probatum.runtime.text.scheduler import OnDone, OnTokens, Scheduler, Text
from probatum.runtime.text.steps import Kernel
from probatum.runtime.text.weights import open_weights

__all__ = ["TextEngine", "TextJob"]

P = ParamSpec("P")


class TextJob:
    """One text that an engine works on."""

    __slots__ = ("_text",)

    def __init__(self, text: Text) -> None:
        self._text = text

    def cancel(self) -> None:
        """End it before the next step: what there is of the answer is given, not ended."""
        self._text.is_cancelled = True


class TextEngine:
    """One model, ready to answer.

    Args:
        manifest: Its package's manifest.
        weights: The file that the manifest calls its model; its digest was held to the manifest.
        threads: That compute; no bit depends on it.
        limits: What it takes on.
        kernel: Computes the steps; absent for the fastest there is.
        copied: Whether weights are copied instead of mapped: faster, not shared by processes.

    Raises:
        Refusal: `text.no-model`, `text.wrong-weights`, `safetensors.bad-head`.
        Fault: `text.disk`, `canon.unsound-arithmetic`.
    """

    def __init__(
        self,
        manifest: Manifest,
        weights: Path,
        *,
        threads: int = 1,
        limits: TextLimits | None = None,
        kernel: Kernel | None = None,
        copied: bool = False,
    ) -> None:
        self._manifest = manifest
        self._model = get_text_model(manifest)
        self._limits = limits or TextLimits()
        self._weights = open_weights(weights, self._model, copied=copied)
        self._kernel = kernel or make_kernel(threads)
        self._scheduler = Scheduler(Decoder(self._weights, self._kernel), self._limits)
        self._changed = threading.Condition()
        self._joining: list[Text] = []
        self._reserved: dict[Text, int] = {}
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="probatum-text", daemon=True)
        self._thread.start()

    @property
    def kernel_name(self) -> str:
        """What computes: numpy, or which compiled kernel."""
        return self._kernel.name

    def submit(self, request: TextRequest, on_tokens: OnTokens, on_done: OnDone) -> TextJob:
        """Ask for a text; both callbacks are called on the engine's thread, and must not block.

        Args:
            request: What is asked.
            on_tokens: Is given new tokens in order, not those of the prefix; with each run its
                packed logprobs, if the request wants them.
            on_done: Is given the answer, or why there is none, once: `text.wrong-prefix`,
                `text.not-finite`, `text.failed`, `text.closed`.

        Raises:
            Refusal: Those of `check_text_request`, `text.busy`.
            Fault: `text.closed`.
        """
        check_text_request(self._manifest, request)
        text = Text(self._model, request, on_tokens, on_done)
        text.on_tokens = _guard(text, on_tokens)
        text.on_done = _guard(text, on_done)
        self._join(text)
        return TextJob(text)

    def score(self, request: TextRequest, answer: tuple[int, ...]) -> TextScore:
        """Compute the rule's choice at every place of an answer, by one prefill; waits for it.

        Args:
            request: What was asked; without a prefix.
            answer: At least one token.

        Raises:
            Refusal: Those of `check_text_request`, `text.too-long`, `text.busy`.
            Fault: `text.not-finite`, `text.failed`, `text.closed`.
        """
        check_text_request(self._manifest, replace(request, prefix=()))
        if not answer or len(request.prompt) + len(answer) > self._model.context:
            raise Refusal("text.too-long", f"an answer of {len(answer)} tokens is not taken")
        if not all(0 <= token < self._model.vocabulary for token in answer):
            raise Refusal("text.bad-token", f"tokens are 0 to {self._model.vocabulary - 1}")
        future: Future[TextScore] = Future()

        def finish(result: TextAnswer | TextScore | ProbatumError) -> None:
            if isinstance(result, ProbatumError):
                future.set_exception(result)
            else:
                future.set_result(cast("TextScore", result))

        scored = replace(request, prefix=answer)
        self._join(Text(self._model, scored, _ignore, finish, scores=True))
        return future.result()

    def close(self) -> None:
        """End all texts by a fault, and the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _join(self, text: Text) -> None:
        need = compute_cache_bytes(self._model, text.room)
        with self._changed:
            if self._is_closed:
                raise _make_closed()
            held = sum(self._reserved.values())
            if held + need > self._limits.cache_bytes or len(self._reserved) >= self._limits.texts:
                raise Refusal(
                    "text.busy",
                    f"{len(self._reserved)} texts hold {held} bytes; this one takes {need} of "
                    f"{self._limits.cache_bytes}",
                    hint="ask again later, or for fewer tokens",
                )
            self._reserved[text] = need
            self._joining.append(text)
            self._changed.notify()

    def _run(self) -> None:
        """Bring texts on until the engine is closed."""
        while self._take_joining():
            try:
                done = self._scheduler.step()
            except Exception as error:  # noqa: BLE001 - the outermost loop: whoever waits is told
                with self._changed:
                    done = [text for text in self._reserved if text not in self._joining]
                self._scheduler = Scheduler(Decoder(self._weights, self._kernel), self._limits)
                # Some were told in this very step, before it failed.
                left = [text for text in done if not text.is_done]
                self._tell(left, Fault("text.failed", f"the engine failed: {error!r}"))
            with self._changed:
                for text in done:
                    self._reserved.pop(text, None)
        with self._changed:
            left = [*self._scheduler.texts, *self._joining]
            self._reserved.clear()
        self._tell(left, _make_closed())
        self._kernel.close()
        self._weights.close()

    def _take_joining(self) -> bool:
        """Take in what joined, waiting while there is nothing to do: False when closed."""
        with self._changed:
            while not (self._is_closed or self._joining or self._scheduler.texts):
                self._changed.wait()
            if self._is_closed:
                return False
            for text in self._joining:
                self._scheduler.add(text)
            self._joining.clear()
            return True

    @staticmethod
    def _tell(texts: list[Text], error: ProbatumError) -> None:
        for text in texts:
            text.on_done(error)


def _make_closed() -> Fault:
    return Fault("text.closed", "the engine is closed", hint="ask another node")


def _ignore(_: tuple[int, ...], __: bytes = b"", /) -> None:
    """Take nothing: who scores gets no new tokens."""


def _guard(text: Text, callback: Callable[P, None]) -> Callable[P, None]:
    """Keep what a callback raises from the other texts: its own ends, and the error is shown."""

    def call(*values: P.args, **named: P.kwargs) -> None:
        try:
            callback(*values, **named)
        except Exception as error:  # noqa: BLE001 - a caller's code, on the engine's thread
            text.is_cancelled = True
            threading.excepthook(
                threading.ExceptHookArgs(
                    (type(error), error, error.__traceback__, threading.current_thread())
                )
            )

    return call
