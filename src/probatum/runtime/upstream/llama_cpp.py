"""llama.cpp's server, by its own ``/completion``, which takes and gives token ids.

Its event stream is not used: of tokens whose bytes are no whole character it names only the last,
so that ids are missing. Instead the text is asked for in short runs, each a request of its own that
goes on where the one before ended; the server keeps what it has read, so nothing is computed twice
as long as it has a slot free. Likewise its weights for such tokens are missing, and a grammar
cannot force them: a token is weighed by a bias towards it, which the reported values leave out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

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

__all__ = ["LlamaServer"]

_LONGEST_RUN: Final = 8
_FORCE: Final = 10_000
"""Added to a logit, it outweighs all others."""

_Id = Annotated[int, Meta(ge=0, lt=1 << 24)]


class _Weighed(msgspec.Struct):
    id: _Id
    logprob: float | None = None


class _Chosen(_Weighed):
    top_logprobs: list[_Weighed] = []


class _Completion(msgspec.Struct):
    tokens: list[_Id]
    truncated: bool = False
    stop_type: str = ""
    completion_probabilities: list[_Chosen] = []


class _Settings(msgspec.Struct):
    n_ctx: Annotated[int, Meta(ge=1)]


class _Props(msgspec.Struct):
    default_generation_settings: _Settings
    model_alias: str = ""
    build_info: str = ""


class LlamaServer:
    """One server; see `Upstream` for what each call does."""

    def __init__(self, wire: Wire, end_id: int) -> None:
        """Make it.

        Args:
            wire: Leads to the server.
            end_id: A token that ends texts: it has no bytes, so what is weighed with it is told.
        """
        self._wire = wire
        self._end_id = end_id

    def generate(
        self,
        prompt: tuple[int, ...],
        rule: SamplingRule,
        limit: int,
        stop_ids: tuple[int, ...],
        call: Call,
    ) -> Iterator[tuple[int, ...]]:
        """Have a text written, in runs of at most eight tokens."""
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
        """Have a text written and weighed; a run with parts of characters is weighed once more."""
        ids: list[int] = []
        # Among so many the chosen one is always found.
        count = max(top, rule.top_k)
        for run, said in self._write(prompt, rule, limit, stop_ids, count, call):
            if tuple(one.id for one in said) == run:
                places = tuple(_read_place(one, one.id, count, is_told=True) for one in said)
            else:
                places = self.score((*prompt, *ids), run, count, call)
            ids += run
            yield run, places

    def _write(
        self,
        prompt: tuple[int, ...],
        rule: SamplingRule,
        limit: int,
        stop_ids: tuple[int, ...],
        top: int | None,
        call: Call,
    ) -> Iterator[tuple[tuple[int, ...], tuple[_Chosen, ...]]]:
        ids: list[int] = []
        room = 1
        while len(ids) < limit:
            room = min(room, limit - len(ids))
            asked = {
                "prompt": [*prompt, *ids],
                "n_predict": room,
                "temperature": rule.temperature,
                "top_k": rule.top_k,
                "seed": rule.make_seed(len(ids)),
                # None but these: what else is on by default would choose otherwise.
                "samplers": ["top_k", "temperature"],
                "cache_prompt": True,
                "return_tokens": True,
                **({} if top is None else {"n_probs": top}),
            }
            reply = self._wire.post("/completion", asked, call, _Completion)
            run, said = tuple(reply.tokens), tuple(reply.completion_probabilities)
            if not 1 <= len(run) <= room:
                raise refuse_reply(f"{len(run)} tokens where 1 to {room} were asked for")
            end = next((at for at, one in enumerate(run) if one in stop_ids), None)
            if end is not None:
                yield run[: end + 1], said[: end + 1]
                return
            if len(run) < room or reply.truncated or reply.stop_type == "eos":
                raise Fault(
                    "upstream.other-end",
                    f"the engine ended the text after {len(ids) + len(run)} tokens, without one of "
                    "the package's stop tokens",
                    hint="the engine runs another model, or with a smaller context, than the "
                    "package says",
                    retryable=False,
                )
            ids += run
            yield run, said
            room = min(_LONGEST_RUN, 2 * room)

    def score(
        self, prompt: tuple[int, ...], answer: tuple[int, ...], top: int, call: Call
    ) -> tuple[Place, ...]:
        """Weigh an answer, one request a token."""
        places = []
        for at, given in enumerate(answer):
            before = [*prompt, *answer[:at]]
            found = self._weigh(before, given, top, call)
            if found is None:
                # The token's bytes are no whole character: the place alone, then.
                found = self._weigh(before, self._end_id, top, call)
            if found is None:
                raise refuse_reply("it weighs no tokens")
            places.append(_read_place(found, given, top, is_told=found.id == given))
        return tuple(places)

    def _weigh(self, before: list[int], token: int, top: int, call: Call) -> _Chosen | None:
        asked = {
            "prompt": before,
            "n_predict": 1,
            "temperature": 0,
            "samplers": ["temperature"],
            "logit_bias": [[token, _FORCE]],
            "n_probs": top,
            "cache_prompt": True,
            "return_tokens": True,
        }
        reply = self._wire.post("/completion", asked, call, _Completion)
        if reply.tokens != [token]:
            raise refuse_reply("it does not take the token that is to be weighed")
        return reply.completion_probabilities[0] if reply.completion_probabilities else None

    def profile(self, call: Call) -> EngineFacts:
        """Ask for the server's properties."""
        props = self._wire.get("/props", call, _Props)
        return EngineFacts(
            name=props.model_alias[:200],
            context=props.default_generation_settings.n_ctx,
            build=props.build_info[:100],
        )


def _read_place(found: _Chosen, given: int, top: int, *, is_told: bool) -> Place:
    """Read what is said of a place.

    Args:
        found: As the server says it.
        given: The token there.
        top: How many of the likeliest are wanted.
        is_told: Whether what is said is said of that token.
    """
    ranked = tuple(
        Candidate(id=one.id, logprob=one.logprob)
        for one in found.top_logprobs[:top]
        if one.logprob is not None
    )
    own = found.logprob if is_told else None
    return Place(given=next((one.logprob for one in ranked if one.id == given), own), top=ranked)
