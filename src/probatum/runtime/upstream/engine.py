"""A language model that another program runs, behind the same door as one's own (`TEXT-2`).

One thread a text waits for the engine; how many there are at a time is bounded. What comes is held
to the package before anybody hears it: tokens of its vocabulary, no more than were asked for, an
end where it may end. Must not know packages' folders, envelopes or ledgers. Read next: `contract`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from probatum.errors import Fault, ProbatumError, Refusal
from probatum.protocol.logprobs import pack_logprobs
from probatum.protocol.manifests import Manifest, UpstreamModel
from probatum.protocol.texts import TextQuestion, is_ended
from probatum.runtime.upstream.call import Call
from probatum.runtime.upstream.contract import (
    EngineFacts,
    Place,
    Upstream,
    WeighedRun,
    make_rule,
    read_logprobs,
    refuse_reply,
)
from probatum.runtime.upstream.llama_cpp import LlamaServer
from probatum.runtime.upstream.relay import Relay
from probatum.runtime.upstream.vllm import VllmServer
from probatum.runtime.upstream.wire import Wire

__all__ = ["UpstreamAnswer", "UpstreamEngine", "UpstreamJob", "UpstreamLimits", "make_upstream"]

_PROFILE_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamAnswer:
    """The tokens of an answer, and whether it has ended or was cancelled."""

    ids: tuple[int, ...]
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamLimits:
    """What is asked of an engine.

    Attributes:
        texts: At a time.
        total_s: For one text.
        quiet_s: Longest time without a byte of it.
    """

    texts: int = 64
    total_s: float = 900.0
    quiet_s: float = 120.0


class OnTokens(Protocol):
    """Takes new tokens, and their packed logprobs where those were asked for."""

    def __call__(self, ids: tuple[int, ...], logprobs: bytes = b"", /) -> None:
        """Take them."""
        ...


OnDone: TypeAlias = Callable[[UpstreamAnswer | ProbatumError], None]


class UpstreamJob:
    """One text that an engine works on."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    def cancel(self) -> None:
        """End it: what there is of the answer is given, not ended."""
        self._call.cancel()


class UpstreamEngine:
    """One model on one engine, ready to answer."""

    def __init__(
        self,
        manifest: Manifest,
        url: str,
        secret: str | None = None,
        limits: UpstreamLimits | None = None,
    ) -> None:
        """Make it; the engine is not asked anything yet.

        Args:
            manifest: The package's.
            url: Where the engine listens; see `Wire`.
            secret: A key that it asks for.
            limits: What is asked of it.

        Raises:
            Refusal: `upstream.no-model`, `upstream.bad-url`, `upstream.bad-key`.
        """
        self._model = _get_model(manifest)
        self._limits = limits or UpstreamLimits()
        self._upstream = make_upstream(self._model, Wire(url, secret))
        self._lock = threading.Lock()
        self._calls: dict[Call, threading.Thread] = {}
        self._is_closed = False

    def submit(
        self,
        question: TextQuestion,
        nonce: bytes,
        on_tokens: OnTokens,
        on_done: OnDone,
        *,
        top_logprobs: int | None = None,
    ) -> UpstreamJob:
        """Ask for a text; both callbacks are called on the text's own thread.

        Args:
            question: What is asked; `read_question` made it.
            nonce: 32 bytes of the request's facts: the engine's seed is made of them.
            on_tokens: Is given new tokens in order, with their packed logprobs if wanted.
            on_done: Is given the answer, or why there is none, once: `upstream.*`,
                `text.bad-token`.
            top_logprobs: How many alternatives are wanted beside each token's logprob; None
                where no logprobs are.

        Raises:
            Refusal: `text.busy`.
            Fault: `upstream.closed`.
        """
        call = Call(total_s=self._limits.total_s, quiet_s=self._limits.quiet_s)
        thread = threading.Thread(
            target=self._run,
            args=(question, nonce, on_tokens, on_done, call, top_logprobs),
            name="probatum-upstream",
            daemon=True,
        )
        with self._lock:
            if self._is_closed:
                raise Fault("upstream.closed", "the engine is closed", hint="ask another node")
            if len(self._calls) >= self._limits.texts:
                raise Refusal(
                    "text.busy",
                    f"{len(self._calls)} texts are being written",
                    hint="ask again later",
                )
            self._calls[call] = thread
        thread.start()
        return UpstreamJob(call)

    def profile(self) -> EngineFacts:
        """Ask the engine what it is, and hold its context to the package's.

        Raises:
            Fault: `upstream.*`; `upstream.small-context`.
        """
        facts = self._upstream.profile(Call(total_s=_PROFILE_S, quiet_s=_PROFILE_S))
        if facts.context is not None and facts.context < self._model.context:
            raise Fault(
                "upstream.small-context",
                f"the engine reads {facts.context} tokens, the package promises "
                f"{self._model.context}",
                hint="give each of the engine's slots at least that context",
                retryable=False,
            )
        return facts

    def close(self) -> None:
        """End all texts with what they have, and wait for their threads."""
        with self._lock:
            self._is_closed = True
            open_calls = dict(self._calls)
        for call in open_calls:
            call.cancel()
        for thread in open_calls.values():
            if thread is not threading.current_thread():
                thread.join()

    def _run(
        self,
        question: TextQuestion,
        nonce: bytes,
        on_tokens: OnTokens,
        on_done: OnDone,
        call: Call,
        top: int | None,
    ) -> None:
        ids: list[int] = []
        outcome: UpstreamAnswer | ProbatumError
        try:
            limit = question.limit
            for run, places in self._generate(question, nonce, top, call):
                self._check(ids, run, limit)
                ids.extend(run)
                if top is None:
                    on_tokens(run)
                else:
                    on_tokens(run, self._pack(run, places, top))
                if call.is_cancelled:
                    break
            outcome = self._finish(tuple(ids), limit, call)
        except ProbatumError as error:
            outcome = error
            if call.is_cancelled and ids:
                outcome = self._finish(tuple(ids), question.limit, call)
        except Exception as error:  # noqa: BLE001 - a thread's outermost frame: who waits is told
            outcome = Fault("upstream.failed", f"the adapter failed: {repr(error)[:300]}")
        finally:
            with self._lock:
                self._calls.pop(call, None)
        on_done(outcome)

    def _generate(
        self, question: TextQuestion, nonce: bytes, top: int | None, call: Call
    ) -> Iterator[WeighedRun]:
        rule = make_rule(question.temperature, question.top_k, nonce, question.choice)
        asked = (question.prompt, rule, question.limit, self._model.stop_ids)
        if top is None:
            return ((run, ()) for run in self._upstream.generate(*asked, call))
        return self._upstream.generate_weighed(*asked, top, call)

    def _pack(self, run: tuple[int, ...], places: tuple[Place, ...], top: int) -> bytes:
        """Pack what an engine says of a run's tokens. Raises Fault `upstream.*`."""
        if len(places) != len(run):
            raise refuse_reply("it weighs other tokens than it gives")
        said = tuple(read_logprobs(place, one, top) for place, one in zip(places, run, strict=True))
        if not all(one < self._model.vocabulary for place in said for one, _ in place.top):
            raise refuse_reply("it weighs a token that is not in the package's vocabulary")
        return pack_logprobs(said, top)

    def _check(self, ids: list[int], run: tuple[int, ...], limit: int) -> None:
        """Hold a run of tokens to the package. Raises Fault `upstream.bad-reply`."""
        if len(ids) + len(run) > limit:
            raise refuse_reply("it has more tokens than were asked for")
        if not all(0 <= one < self._model.vocabulary for one in run):
            raise refuse_reply("a token is not in the package's vocabulary")
        if any(one in self._model.stop_ids for one in run[:-1]):
            raise refuse_reply("tokens after the end of the text")

    def _finish(self, ids: tuple[int, ...], limit: int, call: Call) -> UpstreamAnswer:
        ended = is_ended(self._model, limit, ids)
        if not (ended or call.is_cancelled):
            raise refuse_reply("the text breaks off")
        return UpstreamAnswer(ids=ids, ended=ended)


def make_upstream(model: UpstreamModel, wire: Wire) -> Upstream:
    """Make the adapter for a model's engine."""
    match model.engine:
        case "llama.cpp":
            return LlamaServer(wire, model.stop_ids[0])
        case "vllm":
            return VllmServer(wire, model.served_as)
        case "relay":
            return Relay(wire, model.served_as)


def _get_model(manifest: Manifest) -> UpstreamModel:
    if manifest.upstream is None:
        raise Refusal("upstream.no-model", f"{manifest.name} is run by no other program")
    return manifest.upstream
