"""A language model at the command line: its words, how it is asked, and what backs its answer.

Tokenizer and template come from a node and are held to the package's digest; the weights stay
where they are. Must not know commands. Read next: `asking_text`, `chatting`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from probatum.cli.amounts import format_units
from probatum.cli.drawing import Drawing
from probatum.cli.fetching import fetch_file, fetch_manifest, find_sources
from probatum.cli.reading import find_model
from probatum.cli.settings import Common
from probatum.client.client import Client, TextAnswer
from probatum.client.hearing import Hearing
from probatum.errors import Refusal
from probatum.protocol.manifests import LanguageModel, Manifest, TextModel
from probatum.protocol.primitives import Digest
from probatum.protocol.texts import get_text_arithmetic, get_text_class
from probatum.runtime.text.chat import ChatTokenizer
from probatum.runtime.text.template import TEMPLATE_BYTES
from probatum.runtime.tokens import TOKENIZER_BYTES

__all__ = [
    "Asking",
    "Language",
    "Written",
    "describe_text",
    "open_language",
    "say_evidence",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """A language model that is published and offered, and its words."""

    name: str
    version: str
    package: Digest
    manifest: Manifest
    text: LanguageModel
    words: ChatTokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A text that was asked for.

    Attributes:
        text: Its tokens as text, special ones left out.
        prompt: What the model read.
        drawing: How it was drawn; `top_k` within the model's bound.
    """

    text: str
    prompt: tuple[int, ...]
    drawing: Drawing
    answer: TextAnswer
    model: LanguageModel


def open_language(common: Common, model: str) -> Language:
    """Learn what a language model is, by name or name@version, and load its words.

    Raises:
        Refusal: `model.unknown`, `model.not-offered`, `text.no-model`, `text.no-tokenizer`,
            `tokens.*`, `template.*`, `settings.*`.
        Fault: `model.unobtainable`, `wire.*`.
    """
    record, _ = find_model(common, model)
    sources = find_sources(common, record.package)
    manifest = fetch_manifest(sources, record.package)
    if manifest.language is None:
        raise Refusal(
            "text.no-model",
            f"{record.name} {record.version} writes no text",
            hint=f"give it its inputs: probatum ask {record.name} NAME=VALUE …",
        )
    if manifest.tokenizer is None:
        raise Refusal(
            "text.no-tokenizer",
            f"the package of {record.name} {record.version} brings no tokenizer",
            hint="ask for tokens by the SDK: Client.ask_text",
        )
    said = fetch_file(sources, record.package, manifest, manifest.tokenizer, TOKENIZER_BYTES)
    template = None
    if manifest.language.template is not None:
        data = fetch_file(
            sources, record.package, manifest, manifest.language.template, TEMPLATE_BYTES
        )
        template = _decode(data)
    return Language(
        name=record.name,
        version=record.version,
        package=record.package,
        manifest=manifest,
        text=manifest.language,
        words=ChatTokenizer(said, template),
    )


def _decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Refusal("template.bad-form", "the chat template is no UTF-8 text") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Asks one language model, and shows its texts as they are written."""

    client: Client
    language: Language
    drawing: Drawing
    node: str | None
    timeout_s: float

    def write(self, prompt: tuple[int, ...], turn: int, show: Callable[[str], None]) -> Written:
        """Have a text written; Ctrl-C ends it, with its receipt, a second one gives up on it.

        Args:
            prompt: Tokens that the model goes on from.
            turn: Of a conversation; 0 for a single text.
            show: Is given the text, piece by piece.

        Raises:
            Refusal: `text.*`, `client.*` and the network's.
            Fault: As `Client.ask_text`.
            KeyboardInterrupt: For the second Ctrl-C.
        """
        drawing, language = self._fit(prompt), self.language
        nonce = drawing.make_nonce(turn)
        stream = language.words.start_stream()
        hearing = Hearing(
            lambda hear: self.client.ask_text(
                language.name,
                prompt,
                limit=drawing.max_tokens,
                temperature=drawing.temperature,
                top_k=drawing.top_k,
                nonce=nonce,
                hear=hear,
                version=language.version,
                timeout_s=self.timeout_s,
                node=self.node,
                arithmetic=get_text_arithmetic(language.text),
            )
        )
        shown, is_ended = 0, False
        while True:
            try:
                for run in hearing:
                    shown += len(run)
                    show("".join([stream.push(one) for one in run]))
                break
            except KeyboardInterrupt:
                if is_ended:
                    raise
                is_ended = True
                hearing.end()
        answer = hearing.finish()
        show("".join([stream.push(one) for one in answer.ids[shown:]]) + stream.finish())
        return Written(
            text=language.words.decode(answer.ids),
            prompt=prompt,
            drawing=drawing,
            answer=answer,
            model=language.text,
        )

    def _fit(self, prompt: tuple[int, ...]) -> Drawing:
        """Fit what is asked for to the model. Raises Refusal `text.too-long`, `text.bad-rule`."""
        text, drawing = self.language.text, self.drawing
        room = text.context - len(prompt)
        if room < 1:
            raise Refusal(
                "text.too-long",
                f"that makes {len(prompt)} tokens; {self.language.name} reads {text.context}, "
                "with the answer",
                hint="say less; a conversation begins anew with /reset",
            )
        if drawing.top_k < 1 or drawing.max_tokens < 1:
            raise Refusal("text.bad-rule", "top_k and max_tokens are at least 1")
        return Drawing(
            temperature=drawing.temperature,
            top_k=min(drawing.top_k, text.top_k),
            seed=drawing.seed,
            max_tokens=min(drawing.max_tokens, room),
        )


def say_evidence(written: Written) -> str:
    """Say on one line what backs a text."""
    answer, drawing = written.answer, written.drawing
    facts = answer.answer.receipt.request
    price, rule = answer.answer.price_units, _say_rule(written.model)
    return " · ".join(
        (
            f"receipt {answer.answer.request_id}",
            f"class {get_text_class(written.model)}",
            f"{len(answer.ids)} tokens, {_say_end(answer)}",
            f"{rule}, temperature {drawing.temperature:g}, top_k {drawing.top_k}",
            f"nonce by the {facts.nonce_by}",
            *((f"price {format_units(price)} tokens",) if price else ()),
        )
    )


def _say_rule(model: LanguageModel) -> str:
    return model.rule if isinstance(model, TextModel) else f"{model.engine}'s own rule"


def _say_end(answer: TextAnswer) -> str:
    return "ended" if answer.ended else f"cancelled ({answer.cancelled})"


def describe_text(language: Language, written: Written) -> dict[str, Any]:
    """Describe a text and its evidence, for programs."""
    answer, drawing = written.answer, written.drawing
    facts = answer.answer.receipt.request
    return {
        "text": written.text,
        "request_id": answer.answer.request_id,
        "node": answer.answer.receipt.node.account,
        "model": f"{language.name}@{language.version}",
        "package": facts.model.package,
        "canonical": facts.model.canonical,
        "class": get_text_class(language.text),
        "rule": language.text.rule,
        "temperature": drawing.temperature,
        "top_k": drawing.top_k,
        "max_tokens": drawing.max_tokens,
        "nonce": facts.nonce,
        "nonce_by": facts.nonce_by,
        "prompt_tokens": list(written.prompt),
        "tokens": list(answer.ids),
        "ended": answer.ended,
        "cancelled": answer.cancelled,
        "price_units": answer.answer.price_units,
        "salt": answer.answer.salt.hex(),
        "checks": [
            {"clause": line.clause, "standing": line.standing, "text": line.text}
            for line in answer.answer.checks
        ],
    }
