"""Hearing one answer to its end: tokens as they come made into text, and held to what is signed.

Tokens that were told are no promise (`TEXT-1`): the answer is. A client was told text of them, so
an answer that begins otherwise ends in an error. Must not know HTTP. Read next: `wording`.
"""

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from probatum.errors import Misuse, Refusal
from probatum.nodes.gateway.doors.openai_answers import Ending, Head
from probatum.nodes.gateway.doors.wording import Wording
from probatum.nodes.shell.conversations import Conversation
from probatum.nodes.shell.problems import PartyRefusal
from probatum.protocol.bundles import decode_bundle
from probatum.protocol.dsse import decode_payload
from probatum.protocol.manifests import LanguageModel
from probatum.protocol.messages import Answer, Produced, Refused
from probatum.protocol.openai_text import FinishReason, TextEvidence
from probatum.protocol.receipts import decode_receipt
from probatum.protocol.texts import Text, read_answer, unpack_ids

if TYPE_CHECKING:
    from probatum.runtime.text.chat import ChatTokenizer

__all__ = ["Hearing", "Tell"]

Tell = Callable[[str], Awaitable[None]]
"""Is given more of the text; never nothing."""
_MANY: Final = 256
"""Tokens that are made into text beside the event loop, not on it."""


class Run(Protocol):
    """Does what takes a while beside the event loop."""

    def __call__(self, work: Callable[[], str], /) -> Awaitable[str]:
        """Do it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """Hears one answer.

    Attributes:
        language: The model.
        prompt: What it goes on from.
        place: Which of the response's answers.
        run: Does what takes a while.
    """

    language: LanguageModel
    tokenizer: ChatTokenizer
    stops: tuple[str, ...]
    prompt: tuple[int, ...]
    head: Head
    place: int
    run: Run

    async def listen(self, conversation: Conversation, tell: Tell) -> Ending:
        """Listen to the end, and tell the text as it becomes certain.

        Raises:
            PartyRefusal: The gateway's own, also in mid-stream.
            Refusal: `openai.altered-text`, `tokens.bad-tokenizer`, `door.stopping`.
        """
        wording = Wording(self.tokenizer.start_stream(), self.stops)
        heard: array[int] = array("I")
        while replies := await conversation.take():
            for reply in replies:
                match reply.message:
                    case Produced(start=start, ids=packed):
                        news = unpack_ids(packed)[len(heard) - start :]
                        heard.extend(news)
                        await self._tell(wording, news, tell)
                        if wording.is_stopped:
                            conversation.say_enough()
                    case Answer() as answer:
                        return await self._finish(wording, heard, answer, tell)
                    case Refused() as refused:
                        raise PartyRefusal(refused)
                    case _:
                        raise Misuse("door.not-an-answer", "an Ask was answered by something else")
        raise Refusal("door.stopping", "the node stopped before it answered", hint="ask again")

    async def _finish(
        self, wording: Wording, heard: array[int], answer: Answer, tell: Tell
    ) -> Ending:
        text = read_answer(answer.outputs)
        if text.ids[: len(heard)] != tuple(heard):
            refusal = Refusal(
                "openai.altered-text",
                "the answer does not begin with the text that was told",
                hint="believe neither before its receipt was rechecked, or ask again",
            )
            raise PartyRefusal.from_refusal(refusal, answer.request_id)
        await self._tell(wording, text.ids[len(heard) :], tell)
        rest = wording.finish()
        if rest:
            await tell(rest)
        reason = self._find_reason(text, is_stopped=wording.is_stopped)
        return Ending(reason=reason, evidence=self._make_evidence(text, answer))

    async def _tell(self, wording: Wording, ids: tuple[int, ...], tell: Tell) -> None:
        if len(ids) > _MANY:
            piece = await self.run(lambda: wording.push(ids))
        else:
            piece = wording.push(ids)
        if piece:
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
            prompt_tokens=self.prompt,
            tokens=text.ids,
            ended=text.ended,
        )
