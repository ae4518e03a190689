"""The OpenAI API's chats and completions, over models that write text (`TEXT-1`, `TEXT-2`).

A request becomes one question for each answer that is wanted: each has its own receipt, and a
client finds under ``probatum`` what holds its text to it. The gateway turns text into tokens and
back by the package's own files; tokens are the evidence, text never is. Must not know routing or
custody. Read next: `openai_answers`, `wording`.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from probatum.errors import ProbatumError, Refusal
from probatum.nodes.gateway.doors.asking import DoorParts
from probatum.nodes.gateway.doors.headers import RECEIPT, Said, read_said
from probatum.nodes.gateway.doors.openai_answers import (
    ChatForm,
    CompletionForm,
    Ending,
    Form,
    Head,
)
from probatum.nodes.gateway.doors.openai_form import make_door, make_error, read_name
from probatum.nodes.gateway.doors.openai_hearing import Hearing
from probatum.nodes.gateway.doors.openai_logprobs import Piece
from probatum.nodes.shell.conversations import Conversation
from probatum.nodes.shell.front import CONVERSATION_S, JSON_TYPE, respond
from probatum.nodes.shell.problems import get_status
from probatum.nodes.shell.side_by_side import EventStream, Names, converse_all
from probatum.nodes.shell.tokenising import ChatShelf
from probatum.protocol import openai
from probatum.protocol.logprobs import check_logprobs_told
from probatum.protocol.manifests import LanguageModel, Manifest
from probatum.protocol.messages import Ask, AskLogprobs
from probatum.protocol.openai_text import (
    Chat,
    Drawing,
    Prompts,
    TextUsage,
    encode_error_event,
    make_seed_nonce,
)
from probatum.protocol.primitives import Nonce
from probatum.protocol.texts import (
    TextQuestion,
    get_text_arithmetic,
    get_text_class,
    make_question,
    read_question,
)

if TYPE_CHECKING:
    from probatum.runtime.text.chat import ChatTokenizer

__all__ = ["make_routes"]


def make_routes(parts: DoorParts, shelf: ChatShelf | None = None) -> tuple[BaseRoute, ...]:
    """Make the routes of chats and completions; they come before those of `openai`."""
    shelf, names = shelf or ChatShelf(), Names()
    return tuple(
        Route(path, make_door(_TextEndpoint(parts, shelf, names, form)))
        for path, form in (
            ("/v1/chat/completions", ChatForm()),
            ("/v1/completions", CompletionForm()),
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What a request comes to.

    Attributes:
        asks: What the gateway is asked, for one answer each.
        questions: What each of them asks.
        prompts: What the model is to go on from.
    """

    head: Head
    asks: tuple[Ask, ...]
    questions: tuple[TextQuestion, ...]
    prompts: tuple[tuple[int, ...], ...]
    language: LanguageModel
    tokenizer: ChatTokenizer
    drawing: Drawing

    @property
    def receipts(self) -> tuple[tuple[bytes, bytes], ...]:
        """Where the answers' receipts will be, as headers."""
        ids = b", ".join(str(ask.request_id).encode() for ask in self.asks)
        return ((RECEIPT, ids),)


class _TextEndpoint:
    """``POST`` of a chat or of prompts, answered whole or in pieces."""

    def __init__(self, parts: DoorParts, shelf: ChatShelf, names: Names, form: Form) -> None:
        self._parts = parts
        self._shelf = shelf
        self._names = names
        self._form = form
        self._limit_bytes = min(parts.limit_bytes, openai.BODY_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["method"] != "POST":
            raise Refusal("door.wrong-method", "requests are sent by POST")
        with self._parts.gate.enter(scope) as caller:
            said = read_said(scope)
            intake = self._parts.intake
            body = await intake.read(scope, receive, limit_bytes=self._limit_bytes)
            size = len(body)
            try:
                plan = await self._read(scope, body, said)
                del body
                if plan.drawing.stream:
                    await self._stream(plan, scope, send, caller)
                else:
                    await self._answer(plan, scope, send, caller)
            finally:
                intake.release(size)

    async def _read(self, scope: Scope, body: bytes, said: Said) -> _Plan:
        asked = self._form.decode(body)
        models, drawing = self._parts.models, asked.drawing
        model = models.get(*read_name(asked.model))
        manifest = await models.get_manifest(scope, model)
        language = manifest.language
        if language is None:
            raise Refusal(
                "openai.no-text",
                f"{manifest.name} {manifest.version} writes no text",
                hint="its own inputs and outputs are at GET /v2/models/<name>",
            )
        sources = models.list_sources(model)
        tokenizer = await self._shelf.get(model.package, manifest, sources)
        prompts = await self._encode(tokenizer, asked)
        count = len(prompts) * drawing.choices
        if said.request_id is not None and count > 1:
            raise Refusal("door.bad-header", f"one Probatum-Request cannot name {count} answers")
        nonce = _choose_nonce(said, drawing)
        questions = tuple(
            _make_question(manifest, language, drawing, prompt, choice)
            for prompt in prompts
            for choice in range(drawing.choices)
        )
        asks = tuple(
            _make_ask(
                drawing,
                model=model.name,
                version=model.version,
                inputs=make_question(question),
                assurance="signed",
                arithmetic=get_text_arithmetic(language),
                salt=said.salt,
                nonce=nonce,
                request_id=said.request_id or self._names.draw(),
                timeout_ms=int(CONVERSATION_S * 1000),
                node=said.node,
            )
            for question in questions
        )
        head = Head(
            id=str(asks[0].request_id),
            created=self._names.tell_time_s(),
            model=asked.model,
            package=model.package.hex(),
            text_class=get_text_class(language),
            rule=language.rule,
        )
        for place in range(0, len(asks), drawing.choices):
            _check_question(manifest, language, drawing, asks[place])  # one no for all
        return _Plan(
            head=head,
            asks=asks,
            questions=questions,
            prompts=prompts,
            language=language,
            tokenizer=tokenizer,
            drawing=drawing,
        )

    async def _encode(
        self, tokenizer: ChatTokenizer, asked: Chat | Prompts
    ) -> tuple[tuple[int, ...], ...]:
        if isinstance(asked, Chat):
            turns = tuple((one.role, one.content) for one in asked.messages)
            return (await self._shelf.encode_chat(tokenizer, turns),)
        texts = tuple(one for one in asked.prompts if isinstance(one, str))
        if not texts:
            return tuple(one for one in asked.prompts if not isinstance(one, str))
        return await self._shelf.encode_texts(tokenizer, texts)

    def _make_hearing(self, plan: _Plan, place: int) -> Hearing:
        return Hearing(
            language=plan.language,
            tokenizer=plan.tokenizer,
            stops=plan.drawing.stops,
            question=plan.questions[place],
            head=plan.head,
            place=place,
            run=self._shelf.run,
            top_logprobs=plan.drawing.logprobs,
        )

    async def _answer(self, plan: _Plan, scope: Scope, send: Send, caller: str) -> None:
        parts: list[list[Piece]] = [[] for _ in plan.asks]

        async def listen(place: int, conversation: Conversation) -> Ending:
            async def keep(piece: Piece) -> None:
                parts[place].append(piece)

            return await self._make_hearing(plan, place).listen(conversation, keep)

        driver = self._parts.driver
        endings = await converse_all(driver, scope, plan.asks, caller, listen)
        is_weighed = plan.drawing.logprobs is not None
        texts = tuple(_join(pieces, is_weighed=is_weighed) for pieces in parts)
        body = self._form.encode_whole(plan.head, texts, endings, _count(plan, endings))
        await respond(send, HTTPStatus.OK, body, JSON_TYPE, headers=plan.receipts)

    async def _stream(self, plan: _Plan, scope: Scope, send: Send, caller: str) -> None:
        drawing = plan.drawing
        pieces = self._form.make_pieces(plan.head, tells_usage=drawing.include_usage)
        stream = EventStream(send, plan.receipts)

        async def listen(place: int, conversation: Conversation) -> Ending:
            async def tell(piece: Piece) -> None:
                await stream.say(pieces.encode_text(place, piece))

            ending = await self._make_hearing(plan, place).listen(conversation, tell)
            await stream.say(pieces.encode_ending(place, ending))
            return ending

        try:
            driver = self._parts.driver
            endings = await converse_all(driver, scope, plan.asks, caller, listen)
        except ProbatumError as error:
            if not stream.is_begun:
                raise
            # The status is said already; clients of this API look for an error among the events.
            await stream.end(encode_error_event(make_error(error, get_status(error))))
            return
        await stream.end(pieces.encode_last(_count(plan, endings)))


def _check_question(
    manifest: Manifest, language: LanguageModel, drawing: Drawing, ask: Ask
) -> None:
    """Hold a question to the model's bounds. Raises Refusal `text.*`, `schema.*`."""
    question = read_question(manifest, ask.inputs)
    if drawing.logprobs is not None:
        check_logprobs_told(language, drawing.logprobs, question.limit)


def _choose_nonce(said: Said, drawing: Drawing) -> Nonce | None:
    """Choose the client's own nonce, None if it has none."""
    if drawing.seed is None:
        return said.nonce
    if said.nonce is not None:
        raise Refusal("door.bad-header", "seed and Probatum-Nonce both say what chance is")
    return make_seed_nonce(drawing.seed)


def _make_ask(drawing: Drawing, **fields: Any) -> Ask:
    """Make one answer's question."""
    if drawing.logprobs is not None:
        # They come with the pieces, and with nothing else.
        return AskLogprobs(**fields, stream=True, top_logprobs=drawing.logprobs)
    # Who waits for the whole needs no pieces, unless to see a stop among them.
    return Ask(**fields, stream=drawing.stream or bool(drawing.stops))


def _join(pieces: list[Piece], *, is_weighed: bool) -> Piece:
    """Make one piece of all."""
    text = "".join([piece.text for piece in pieces])
    if not is_weighed:
        return Piece(text=text)
    return Piece(text=text, tokens=tuple(one for piece in pieces for one in piece.tokens or ()))


def _make_question(
    manifest: Manifest,
    language: LanguageModel,
    drawing: Drawing,
    prompt: tuple[int, ...],
    choice: int,
) -> TextQuestion:
    """Make one answer's question; what was left open is as much as the package admits."""
    admitted = manifest.canonical.dims if manifest.canonical else ()
    most = min(
        [language.context - len(prompt), *(one.greatest for one in admitted if one.name == "a")]
    )
    return TextQuestion(
        prompt=prompt,
        limit=drawing.limit or max(1, most),
        temperature=drawing.temperature,
        top_k=drawing.top_k or language.top_k,
        choice=choice,
    )


def _count(plan: _Plan, endings: tuple[Ending, ...]) -> TextUsage:
    """Count tokens; a prompt counts once, however many answers to it there are."""
    read = sum(map(len, plan.prompts))
    written = sum(len(ending.evidence.tokens) for ending in endings)
    return TextUsage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)
