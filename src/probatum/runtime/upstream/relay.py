"""A closed service of the OpenAI chat interface: text in, text out, and no token ids at all.

A relay's tokens are the bytes of its texts in UTF-8, and 256 ends one. So what is signed is what
came; which model it came from, or whether from one, nobody can tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from probatum.errors import Fault, Refusal
from probatum.protocol.manifests import RELAY_END
from probatum.runtime.upstream.call import Call
from probatum.runtime.upstream.contract import (
    EngineFacts,
    Place,
    SamplingRule,
    WeighedRun,
    refuse_reply,
)
from probatum.runtime.upstream.wire import Wire

__all__ = ["Relay"]

_RUN: Final = 1_024


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: Annotated[list[_Choice], Meta(max_length=1)] = []


class Relay:
    """One service; see `Upstream` for what each call does."""

    def __init__(self, wire: Wire, served_as: str) -> None:
        """Make it.

        Args:
            wire: Leads to the service, with the path before ``/chat/completions``.
            served_as: The model's name there.
        """
        self._wire = wire
        self._served_as = served_as

    def generate(
        self,
        prompt: tuple[int, ...],
        rule: SamplingRule,
        limit: int,
        stop_ids: tuple[int, ...],  # noqa: ARG002 - a relay's texts end by one token alone
        call: Call,
    ) -> Iterator[tuple[int, ...]]:
        """Have a text written; the prompt is one message of a user.

        Raises:
            Refusal: `text.bad-token` for a prompt that is no text in UTF-8.
            Fault: `upstream.*`.
        """
        asked = {
            "model": self._served_as,
            "messages": [{"role": "user", "content": _read_prompt(prompt)}],
            "max_tokens": limit,
            "temperature": rule.temperature,
            "seed": rule.make_seed(0),
            "stream": True,
        }
        count = 0
        for chunk in self._wire.stream("/chat/completions", asked, call, _Chunk):
            for choice in chunk.choices:
                data = (choice.delta.content or "").encode("utf-8", "replace")[: limit - count]
                count += len(data)
                for at in range(0, len(data), _RUN):
                    yield tuple(data[at : at + _RUN])
                if count == limit:
                    return
                if choice.finish_reason is not None:
                    yield (RELAY_END,)
                    return
        raise refuse_reply("the text breaks off")

    def generate_weighed(
        self,
        prompt: tuple[int, ...],  # noqa: ARG002 - part of the contract
        rule: SamplingRule,  # noqa: ARG002 - ditto
        limit: int,  # noqa: ARG002 - ditto
        stop_ids: tuple[int, ...],  # noqa: ARG002 - ditto
        top: int,  # noqa: ARG002 - ditto
        call: Call,  # noqa: ARG002 - ditto
    ) -> Iterator[WeighedRun]:
        """Say that a relay weighs nothing: its tokens here are bytes."""
        raise Fault(
            "upstream.no-logprobs",
            "a closed service's tokens are bytes here, and it weighs none of them",
            retryable=False,
        )

    def score(
        self,
        prompt: tuple[int, ...],  # noqa: ARG002 - part of the contract
        answer: tuple[int, ...],  # noqa: ARG002 - ditto
        top: int,  # noqa: ARG002 - ditto
        call: Call,  # noqa: ARG002 - ditto
    ) -> tuple[Place, ...]:
        """Say that a relay weighs nothing."""
        raise Fault("upstream.no-score", "a closed service weighs no given tokens", retryable=False)

    def profile(self, call: Call) -> EngineFacts:  # noqa: ARG002 - part of the contract
        """Say what is known without asking: some services charge for each question."""
        return EngineFacts(name=self._served_as, context=None, build="")


def _read_prompt(prompt: tuple[int, ...]) -> str:
    try:
        return bytes(prompt).decode("utf-8")
    except ValueError:
        raise Refusal(
            "text.bad-token",
            "a relay's prompt is a text in UTF-8, a token a byte",
            hint="use the package's own tokenizer",
        ) from None
