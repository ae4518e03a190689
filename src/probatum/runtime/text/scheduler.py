"""Which tokens the next step reads, and what follows from its logits: continuous batching.

Texts join and leave between steps. Each growing answer gives a step one row; what is left of the
step's room is shared by the prompts that are still being read, so that none waits for a long one.
No bit depends on any of it (`CANON-7`). Must not know threads. Read `decoder` first, `engine` next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from probatum.errors import Fault, ProbatumError, Refusal
from probatum.protocol.logprobs import TokenLogprobs, pack_logprobs
from probatum.protocol.manifests import TextModel
from probatum.runtime.text.cache import KeyValueCache
from probatum.runtime.text.decoder import Decoder, Reading
from probatum.runtime.text.logprobs import compute_logprobs
from probatum.runtime.text.requests import (
    TextAnswer,
    TextLimits,
    TextRequest,
    TextScore,
    has_ended,
)
from probatum.runtime.text.sampling import choose_token, make_rule
from probatum.runtime.text.steps import Floats

__all__ = ["OnDone", "OnTokens", "Scheduler", "Text"]


class OnTokens(Protocol):
    """Takes new tokens, and their packed logprobs where those were asked for."""

    def __call__(self, ids: tuple[int, ...], logprobs: bytes = b"", /) -> None:
        """Take them."""
        ...


OnDone: TypeAlias = Callable[[TextAnswer | TextScore | ProbatumError], None]


class Text:
    """One text on its way.

    Args:
        model: Sizes and stop tokens.
        request: Checked; its prefix is what is scored where `scores` is set.
        on_tokens: Is given new tokens.
        on_done: Is given what came of it, once.
        scores: Whether all choices beside the prefix are wanted, and nothing new.
    """

    def __init__(
        self,
        model: TextModel,
        request: TextRequest,
        on_tokens: OnTokens,
        on_done: OnDone,
        *,
        scores: bool = False,
    ) -> None:
        self.on_tokens = on_tokens
        self.on_done = on_done
        self.is_cancelled = False
        self.is_done = False
        self._model = model
        self._request = request
        self._scores = scores
        self._rule = make_rule(
            temperature=request.temperature,
            top_k=request.top_k,
            choice=request.choice,
            nonce=request.nonce,
        )
        # What is read: the prompt, then tokens that are given, then those that were chosen.
        self._tokens = [*request.prompt, *request.prefix]
        # A whole answer's last token is checked, and nothing follows it.
        closed = scores or has_ended(model, request.prefix, request.limit)
        self._to_read = len(self._tokens) - closed
        self._choices: list[int] = []
        self._logprobs: list[TokenLogprobs] = []
        self._cache: KeyValueCache | None = None

    @property
    def room(self) -> int:
        """Tokens that it reads at most."""
        answer = len(self._request.prefix) if self._scores else self._request.limit
        return len(self._request.prompt) + answer - 1

    @property
    def waiting(self) -> int:
        """Tokens that are known and not read yet; 1 while an answer grows."""
        return self._to_read - (self._cache.length if self._cache is not None else 0)

    def make_reading(self, count: int) -> Reading:
        """Make the next reading, of so many tokens."""
        if self._cache is None:
            self._cache = KeyValueCache(self._model, self.room)
        begin = self._cache.length
        end = begin + count
        # The row before a token of the answer chooses it.
        wanted = max(0, end - max(begin, len(self._request.prompt) - 1))
        return Reading(cache=self._cache, tokens=tuple(self._tokens[begin:end]), wanted=wanted)

    def take(self, logits: Floats | None) -> TextAnswer | TextScore | ProbatumError | None:
        """Take the logits that a reading wanted: what came of the text, None while it goes on."""
        if logits is None:
            return Fault(
                "text.not-finite",
                "a number of this text is too great for float32, and none follows from it",
                hint="no exact answer exists; ask something else",
                retryable=False,
            )
        prefix = self._request.prefix
        for row in logits:
            place = len(self._choices)
            chosen = choose_token(row, self._rule, place)
            self._choices.append(chosen)
            if place >= len(prefix):
                self._tokens.append(chosen)
                self._to_read += 1
                self._tell(row, chosen)
            elif self._scores:
                self._weigh(row, prefix[place])
            elif chosen != prefix[place]:
                return Refusal(
                    "text.wrong-prefix",
                    f"the token at place {place} of the prefix is {prefix[place]}; the rule "
                    f"chooses {chosen}",
                    hint="whoever signed this prefix answered wrongly",
                )
        return self._finish()

    def _tell(self, row: Floats, chosen: int) -> None:
        """Tell a new token; who asked for no logprobs pays for none."""
        top = self._request.top_logprobs
        if top is None:
            self.on_tokens((chosen,))
        else:
            self.on_tokens((chosen,), pack_logprobs((compute_logprobs(row, chosen, top),), top))

    def _weigh(self, row: Floats, given: int) -> None:
        if self._request.top_logprobs is not None:
            self._logprobs.append(compute_logprobs(row, given, self._request.top_logprobs))

    def _finish(self) -> TextAnswer | TextScore | None:
        prefix, limit, count = self._request.prefix, self._request.limit, len(self._choices)
        if not count or count < len(prefix):
            return None
        if self._scores:
            ended = has_ended(self._model, prefix, limit)
            return TextScore(
                chosen=tuple(self._choices), ended=ended, logprobs=tuple(self._logprobs)
            )
        # No token before the last one ended it, or nothing would have followed.
        if self._choices[-1] in self._model.stop_ids or count == limit:
            return TextAnswer(ids=tuple(self._choices), ended=True)
        return None

    def cut(self) -> TextAnswer:
        """Get the answer so far, as far as it was checked."""
        return TextAnswer(ids=tuple(self._choices), ended=False)


class Scheduler:
    """The texts of one model, and the steps that bring them on.

    Args:
        decoder: Of the model.
        limits: Rows of a step.
    """

    def __init__(self, decoder: Decoder, limits: TextLimits) -> None:
        self._decoder = decoder
        self._limits = limits
        self._texts: list[Text] = []

    @property
    def texts(self) -> tuple[Text, ...]:
        """Those on their way, in order of arrival."""
        return tuple(self._texts)

    def add(self, text: Text) -> None:
        """Let a text join the next step."""
        self._texts.append(text)

    def step(self) -> list[Text]:
        """Read one step's tokens: the texts that are done with, told what came of them."""
        done: list[Text] = []
        for text in self.texts:
            if text.is_cancelled:
                self._end(text, text.cut(), done)
        shares = self._share()
        if shares:
            found = self._decoder.read([text.make_reading(count) for text, count in shares])
            for (text, _), logits in zip(shares, found, strict=True):
                result = text.take(logits)
                if result is not None:
                    self._end(text, result, done)
        return done

    def _end(
        self, text: Text, result: TextAnswer | TextScore | ProbatumError, done: list[Text]
    ) -> None:
        self._texts.remove(text)
        done.append(text)
        text.is_done = True
        text.on_done(result)

    def _share(self) -> list[tuple[Text, int]]:
        """Share out a step's rows."""
        growing = [(text, 1) for text in self._texts if text.waiting == 1]
        reading = [text for text in self._texts if text.waiting > 1]
        room = self._limits.chunk_beside if growing else self._limits.chunk
        shares = growing
        for place, text in enumerate(reading):
            # Those that need less than their share leave it to those after them.
            count = min(text.waiting, max(1, room // (len(reading) - place)))
            room = max(0, room - count)
            shares.append((text, count))
        return shares
