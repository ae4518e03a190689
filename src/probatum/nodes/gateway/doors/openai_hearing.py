"""Hearing one answer to its end: tokens as they come made into text, and held to what is signed.

Tokens that were told are no promise (`TEXT-1`): the answer is. A client was told text of them, so
an answer that begins otherwise ends in an error. Must not know HTTP. Read next: `wording`.
"""

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import UNSET

from probatum.errors import Misuse, Refusal
from probatum.nodes.gateway.doors.openai_answers import Ending, Head
from probatum.nodes.gateway.doors.openai_logprobs import (
    UNSIGNED,
    Piece,
    Weighing,
    refuse_missing,
)
from probatum.nodes.gateway.doors.wording import Wording
from probatum.nodes.shell.conversations import Conversation
from probatum.nodes.shell.problems import PartyRefusal
from probatum.protocol.bundles import decode_bundle
from probatum.protocol.dsse import decode_payload
from probatum.protocol.logprobs import TokenLogprobs, unpack_logprobs
from probatum.protocol.manifests import LanguageModel, UpstreamModel
from probatum.protocol.messages import Answer, Produced, ProducedLogprobs, Refused
from probatum.protocol.openai_text import FinishReason, TextEvidence
from probatum.protocol.receipts import decode_receipt
from probatum.protocol.texts import Text, TextQuestion, read_answer, unpack_ids

if TYPE_CHECKING:
    from probatum.runtime.text.chat import ChatTokenizer

__all__ = ["Hearing", "Tell"]

Tell = Callable[[Piece], Awaitable[None]]
"""Is given more of the answer; never nothing."""
_MANY: Final = 256
"""Tokens that are made into text beside the event loop, not on it."""


class Run(Protocol):
    """Does what takes a while beside the event loop."""

    def __call__(self, work: Callable[[], Piece], /) -> Awaitable[Piece]:
        """Do it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """Hears one answer.

    Attributes:
        language: The model.
        question: What was asked.
        place: Which of the response's answers.
        run: Does what takes a while.
        top_logprobs: How many alternatives are told beside each token's logprob; None if no
            logprobs are.
    """

    language: LanguageModel
    tokenizer: ChatTokenizer
    stops: tuple[str, ...]
    question: TextQuestion
    head: Head
    place: int
    run: Run
    top_logprobs: int | None = None

    async def listen(self, conversation: Conversation, tell: Tell) -> Ending:
        """Listen to the end, and tell the text as it becomes certain.

        Raises:
            PartyRefusal: The gateway's own, also in mid-stream.
            Refusal: `openai.altered-text`, `openai.no-logprobs`, `tokens.bad-tokenizer`,
                `text.bad-logprobs`, `door.stopping`.
        """
        words = _Words(self)
        heard: array[int] = array("I")
        while replies := await conversation.take():
            for reply in replies:
                match reply.message:
                    case Produced(start=start, ids=packed) as produced:
                        ids, known = unpack_ids(packed), len(heard) - start
                        heard.extend(ids[known:])
                        said = self._read_logprobs(produced, ids)[known:]
                        await self._tell(words, ids[known:], said, tell)
                        if words.is_stopped:
                            conversation.say_enough()
                    case Answer() as answer:
                        return await self._finish(words, heard, answer, tell)
                    case Refused() as refused:
                        raise PartyRefusal(refused)
                    case _:
                        raise Misuse("door.not-an-answer", "an Ask was answered by something else")
        raise Refusal("door.stopping", "the node stopped before it answered", hint="ask again")

    def _read_logprobs(self, message: Produced, ids: tuple[int, ...]) -> tuple[TokenLogprobs, ...]:
        if self.top_logprobs is None or not isinstance(message, ProducedLogprobs):
            return ()
        return unpack_logprobs(message.logprobs, ids, self.top_logprobs)

    async def _finish(self, words: _Words, heard: array[int], answer: Answer, tell: Tell) -> Ending:
        text = read_answer(answer.outputs)
        if text.ids[: len(heard)] != tuple(heard):
            refusal = Refusal(
                "openai.altered-text",
                "the answer does not begin with the text that was told",
                hint="believe neither before its receipt was rechecked, or ask again",
            )
            raise PartyRefusal.from_refusal(refusal, answer.request_id)
        try:
            await self._tell(words, text.ids[len(heard) :], (), tell)
            rest = words.finish(is_stop=text.ids[-1] in self.language.stop_ids)
        except Refusal as refusal:
            # The answer exists and is paid for: its bundle can still be asked for.
            raise PartyRefusal.from_refusal(refusal, answer.request_id) from None
        if rest.text or rest.tokens:
            await tell(rest)
        reason = self._find_reason(text, is_stopped=words.is_stopped)
        return Ending(reason=reason, evidence=self._make_evidence(text, answer))

    async def _tell(
        self,
        words: _Words,
        ids: tuple[int, ...],
        said: tuple[TokenLogprobs, ...],
        tell: Tell,
    ) -> None:
        if len(ids) > _MANY:
            piece = await self.run(lambda: words.push(ids, said))
        else:
            piece = words.push(ids, said)
        if piece.text or piece.tokens:
            await tell(piece)

    def _find_reason(self, text: Text, *, is_stopped: bool) -> FinishReason:
        # A text that was cancelled was cut by who asked for it, here or with its salt.
        if is_stopped or not text.ended or text.ids[-1] in self.language.stop_ids:
            return "stop"
        return "length"

    def _make_evidence(self, text: Text, answer: Answer) -> TextEvidence:
        envelope = decode_bundle(answer.bundle).receipt
        if envelope is None:
            raise Misuse("door.no-receipt", "the gateway answered without a receipt")
        facts = decode_receipt(decode_payload(envelope)).request
        return TextEvidence(
            index=self.place,
            receipt=answer.request_id,
            salt=answer.salt.hex(),
            package=self.head.package,
            text_class=self.head.text_class,
            rule=self.head.rule,
            nonce=facts.nonce,
            nonce_by=facts.nonce_by,
            prompt_tokens=self.question.prompt,
            limit=self.question.limit,
            temperature=self.question.temperature,
            top_k=self.question.top_k,
            choice=self.question.choice,
            tokens=text.ids,
            ended=text.ended,
            logprobs=UNSET if self.top_logprobs is None else self._describe_logprobs(),
        )

    def _describe_logprobs(self) -> str:
        if isinstance(self.language, UpstreamModel):
            return "not signed: the word of the program that wrote the text"
        return UNSIGNED


class _Words:
    """One answer's text and, where they are told, the logprobs of its tokens."""

    def __init__(self, hearing: Hearing) -> None:
        tokenizer = hearing.tokenizer
        is_weighed = hearing.top_logprobs is not None
        self._wording = Wording(tokenizer.start_stream(), hearing.stops, counts=is_weighed)
        self._weighing = Weighing(tokenizer.spell) if is_weighed else None

    @property
    def is_stopped(self) -> bool:
        """Whether a stop was found: nothing comes after it."""
        return self._wording.is_stopped

    def push(self, ids: tuple[int, ...], said: tuple[TokenLogprobs, ...]) -> Piece:
        """Take the next tokens; give what is certain now, perhaps nothing."""
        if self.is_stopped:
            return Piece(text="")
        if self._weighing is not None:
            if len(said) < len(ids):
                raise refuse_missing()
            self._weighing.take(ids, said)
        text = self._wording.push(ids)
        return self._make(text, self._wording.take_offsets())

    def finish(self, *, is_stop: bool) -> Piece:
        """Give the rest; `is_stop`: the last token ends the text, and is no part of it."""
        text = self._wording.finish()
        told, rest = self._wording.take_offsets(), self._wording.take_rest()
        return self._make(text, told + (rest[:-1] if is_stop else rest))

    def _make(self, text: str, offsets: tuple[int, ...]) -> Piece:
        if self._weighing is None:
            return Piece(text=text)
        return Piece(text=text, tokens=self._weighing.release(offsets))
