"""vLLM's server, by its ``/v1/completions`` with token ids.

Built to its documented interface and never run against it: not exercised.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from probatum.errors import Fault
from probatum.runtime.upstream.call import Call
from probatum.runtime.upstream.contract import (
    Candidate,
    EngineFacts,
    Place,
    SamplingRule,
    WeighedRun,
    refuse_reply,
)
from probatum.runtime.upstream.wire import Wire

__all__ = ["VllmServer"]

_Id = Annotated[int, Meta(ge=0, lt=1 << 24)]


class _Logprob(msgspec.Struct):
    logprob: float
    rank: int | None = None


class _Weighed(msgspec.Struct):
    token_logprobs: list[float | None] = []
    top_logprobs: list[dict[str, float] | None] | None = None


class _Choice(msgspec.Struct):
    token_ids: list[_Id] | None = None
    logprobs: _Weighed | None = None
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    prompt_logprobs: list[dict[str, _Logprob] | None] | None = None


class _Reply(msgspec.Struct):
    choices: Annotated[list[_Choice], Meta(max_length=1)]


class _Model(msgspec.Struct):
    id: str
    max_model_len: int | None = None


class _Models(msgspec.Struct):
    data: Annotated[list[_Model], Meta(min_length=1)]


class _Version(msgspec.Struct):
    version: str


class VllmServer:
    """One server; see `Upstream` for what each call does."""

    def __init__(self, wire: Wire, served_as: str) -> None:
        """Make it.

        Args:
            wire: Leads to the server.
            served_as: The model's name there.
        """
        self._wire = wire
        self._served_as = served_as

    def generate(
        self,
        prompt: tuple[int, ...],
        rule: SamplingRule,
        limit: int,
        stop_ids: tuple[int, ...],
        call: Call,
    ) -> Iterator[tuple[int, ...]]:
        """Have a text written, and give tokens as they come."""
        for run, _ in self._write(prompt, rule, limit, stop_ids, None, call):
            yield run

    def generate_weighed(
        self,
        prompt: tuple[int, ...],
        rule: SamplingRule,
        limit: int,
        stop_ids: tuple[int, ...],
        top: int,
        call: Call,
    ) -> Iterator[WeighedRun]:
        """Have a text written and weighed: by the model itself, before the rule's settings."""
        for run, said in self._write(prompt, rule, limit, stop_ids, top, call):
            if said is None or len(said.token_logprobs) < len(run):
                raise refuse_reply("it gives tokens without the logprobs that were asked for")
            tops = said.top_logprobs or [None] * len(run)
            yield (
                run,
                tuple(
                    _read_named(place or {}, given)
                    for place, given in zip(tops, said.token_logprobs, strict=False)
                )[: len(run)],
            )

    def _write(
        self,
        prompt: tuple[int, ...],
        rule: SamplingRule,
        limit: int,
        stop_ids: tuple[int, ...],
        top: int | None,
        call: Call,
    ) -> Iterator[tuple[tuple[int, ...], _Weighed | None]]:
        weighed = {} if top is None else {"logprobs": top, "return_tokens_as_token_ids": True}
        asked = {
            "model": self._served_as,
            "prompt": list(prompt),
            "max_tokens": limit,
            "temperature": rule.temperature,
            "top_k": rule.top_k,
            "top_p": 1.0,
            "seed": rule.make_seed(0),
            "stop_token_ids": list(stop_ids),
            "skip_special_tokens": False,
            "return_token_ids": True,
            "stream": True,
            **weighed,
        }
        count = 0
        for reply in self._wire.stream("/v1/completions", asked, call, _Reply):
            for choice in reply.choices:
                run = tuple(choice.token_ids or ())
                end = next((at for at, one in enumerate(run) if one in stop_ids), None)
                if end is not None:
                    run = run[: end + 1]
                count += len(run)
                if count > limit:
                    raise refuse_reply("more tokens than were asked for")
                if run:
                    yield run, choice.logprobs
                if end is not None or count == limit:
                    return
        raise Fault(
            "upstream.other-end",
            f"the engine ended the text after {count} tokens, without one of the package's stop "
            "tokens",
            hint="the engine runs another model, or with a smaller context, than the package says",
            retryable=False,
        )

    def score(
        self, prompt: tuple[int, ...], answer: tuple[int, ...], top: int, call: Call
    ) -> tuple[Place, ...]:
        """Weigh an answer as part of a prompt."""
        asked = {
            "model": self._served_as,
            "prompt": [*prompt, *answer],
            "max_tokens": 1,
            "temperature": 0.0,
            "prompt_logprobs": top,
        }
        reply = self._wire.post("/v1/completions", asked, call, _Reply)
        weighed = reply.choices[0].prompt_logprobs if reply.choices else None
        if weighed is None or len(weighed) != len(prompt) + len(answer):
            raise refuse_reply("it weighs other tokens than were given")
        return tuple(
            _read_place(place or {}, given, top)
            for place, given in zip(weighed[len(prompt) :], answer, strict=True)
        )

    def profile(self, call: Call) -> EngineFacts:
        """Ask which model is served, and by which version."""
        models = self._wire.get("/v1/models", call, _Models)
        version = self._wire.get("/version", call, _Version)
        model = next((one for one in models.data if one.id == self._served_as), None)
        if model is None:
            raise Fault(
                "upstream.other-model",
                f"the engine does not serve {self._served_as!r}",
                hint="start it with --served-model-name as the package says",
                retryable=False,
            )
        return EngineFacts(
            name=model.id, context=model.max_model_len, build=f"vLLM {version.version}"[:100]
        )


def _read_named(place: dict[str, float], given: float | None) -> Place:
    """Read a place whose tokens are named ``token_id:5``."""
    found = {name.removeprefix("token_id:"): logprob for name, logprob in place.items()}
    top = [
        Candidate(id=int(name), logprob=logprob)
        for name, logprob in found.items()
        if name.isdecimal() and len(name) < 9
    ]
    return Place(given=given, top=tuple(sorted(top, key=lambda one: (-one.logprob, one.id))))


def _read_place(place: dict[str, _Logprob], given: int, top: int) -> Place:
    found = {int(name): one for name, one in place.items() if name.isdecimal() and len(name) < 9}
    ranked = sorted(found.items(), key=lambda item: (-item[1].logprob, item[0]))
    own = found.get(given)
    return Place(
        given=None if own is None else own.logprob,
        top=tuple(Candidate(id=token, logprob=one.logprob) for token, one in ranked[:top]),
    )
