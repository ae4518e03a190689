"""A conversation with a language model, line by line, each answer with its evidence.

Lines come from a terminal or from anywhere else. Must not know how answers are asked for
(`texting`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from probatum.cli.asking_text import check_words, show_piece
from probatum.cli.fetching import open_store
from probatum.cli.output import note, print_facts, print_lines
from probatum.cli.places import expand_home
from probatum.cli.rechecking import recheck
from probatum.cli.settings import Common
from probatum.cli.texting import Asking, Written, describe_text, say_evidence
from probatum.errors import Fault, ProbatumError, Refusal
from probatum.evidence.receipt import VerifiedBundle, check_pending
from probatum.protocol.texts import TextClass, get_text_class
from probatum.runtime.text.template import ChatMessage
from probatum.runtime.tokens import TEXT_CHARS

__all__ = ["Conversation"]

_HELP: Final = (
    "/why        what backs the last answer: custody, receipt, tokens, nonce",
    "/recheck    compute the last answer's choices again, here, by one prefill",
    "/save FILE  write the conversation and its evidence as JSON",
    "/reset      begin anew",
    "/quit       end; so does Ctrl-D",
    "//…         a message that begins with a slash",
    "Ctrl-C ends an answer, with its receipt; again, it is not waited for.",
)
_PROMPT: Final = "> "
_PROVEN: Final[Mapping[TextClass, str]] = MappingProxyType(
    {
        "text-exact": "rule and weights determine every token",
        "text-signed": "who said it; another program chose the tokens",
        "text-relayed": "who said it; a closed service wrote it",
    }
)


class Conversation:
    """One conversation."""

    def __init__(self, common: Common, asking: Asking, system: str | None) -> None:
        """Begin.

        Args:
            common: Where receipts and packages are kept, and how to print.
            asking: Asks the model.
            system: The system's message, None for the template's own.
        """
        self._common = common
        self._asking = asking
        self._system = system
        self._messages: list[ChatMessage] = []
        self._turns: list[Written] = []
        self._drawn = 0
        self._commands: dict[str, Callable[[str], None]] = {
            "/help": self._help,
            "/why": self._why,
            "/recheck": self._recheck,
            "/save": self._save,
            "/reset": self._reset,
        }
        self._reset("")

    def run(self) -> None:
        """Take lines until there are no more, or `/quit`.

        Raises:
            ProbatumError: What goes wrong, where no terminal is there to go on.
        """
        is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
        if is_terminal:
            import readline  # noqa: F401, PLC0415 - a terminal's lines can be edited with it
        while True:
            try:
                line = input(_PROMPT) if is_terminal else _read_line()
                if line.strip() in {"/quit", "/exit"}:
                    return
                if line.strip():
                    self.take(line)
            except EOFError:
                if is_terminal:
                    print_lines(("",))
                return
            except KeyboardInterrupt:
                if not is_terminal:
                    raise
                print_lines(("", "(/quit or Ctrl-D ends)"))
            except ProbatumError as error:
                if not is_terminal:
                    raise
                note(f"{error.code}: {error.message}")
                if error.hint:
                    note(f"  hint: {error.hint}")

    def take(self, line: str) -> None:
        """Take one line: a command, or what is said to the model.

        Raises:
            Refusal: `chat.unknown-command`, `chat.no-answer-yet`, `chat.not-fetched`,
                `chat.no-file`, `text.*`, and the network's.
            Fault: `chat.unwritable`, and the network's.
        """
        word, _, rest = line.strip().partition(" ")
        if word.startswith("/") and not word.startswith("//"):
            command = self._commands.get(word)
            if command is None:
                raise Refusal(
                    "chat.unknown-command", f"there is no command {word[:40]}", hint="/help"
                )
            command(rest.strip())
            return
        self._say(line[1:] if word.startswith("//") else line)

    def _say(self, line: str) -> None:
        check_words(line)
        question = ChatMessage(role="user", content=line)
        prompt = self._asking.language.words.encode_chat((*self._messages, question))
        turn, self._drawn = self._drawn, self._drawn + 1
        show = _show_nothing if self._common.json else show_piece
        try:
            written = self._asking.write(prompt, turn, show)
        except KeyboardInterrupt:
            print_lines(("", "(not waited for; `probatum receipt list` shows what came of it)"))
            return
        except ProbatumError:
            if not self._common.json:
                print_lines(("",))
            raise
        self._messages += [question, ChatMessage(role="assistant", content=written.text)]
        self._turns.append(written)
        if self._common.json:
            document = describe_text(self._asking.language, written)
            sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
        else:
            print_lines(("", f"[{say_evidence(written)}]", ""))
        sys.stdout.flush()

    def _get_last(self) -> Written:
        if not self._turns:
            raise Refusal("chat.no-answer-yet", "nothing has been answered yet", hint="say a word")
        return self._turns[-1]

    def _help(self, _: str) -> None:
        print_lines(_HELP)

    def _reset(self, _: str) -> None:
        self._turns.clear()
        self._messages.clear()
        if self._system is not None:
            self._messages.append(ChatMessage(role="system", content=self._system))

    def _why(self, _: str) -> None:
        written = self._get_last()
        answer = written.answer.answer
        verified = check_pending(answer.bundle)
        facts, kind = verified.receipt.request, get_text_class(written.model)
        print_facts(
            {
                "request": answer.request_id,
                "model": f"{self._asking.language.name}@{self._asking.language.version}",
                "package": facts.model.package,
                "canonical": facts.model.canonical,
                "class": f"{kind}: {_PROVEN[kind]}",
                "rule": f"{written.model.rule}, temperature {written.drawing.temperature:g}, "
                f"top_k {written.drawing.top_k}, at most {written.drawing.max_tokens} tokens",
                "nonce": f"{facts.nonce}, drawn by the {facts.nonce_by}",
                "salt": f"drawn by the {facts.salt_by}; opens the receipt's roots",
            }
        )
        print_lines(("custody:", *_say_custody(verified)))
        prompt, tokens = written.prompt, written.answer.ids
        print_lines((f"prompt, {len(prompt)} tokens: {_list(prompt)}",))
        print_lines((f"answer, {len(tokens)} tokens: {_list(tokens)}",))
        print_lines(("checks:", *(f"  {line}" for line in answer.checks)))
        print_lines(
            (
                "anybody who has the package and what is kept here can compute it again:",
                f"  probatum receipt recheck {answer.request_id}",
            )
        )

    def _recheck(self, _: str) -> None:
        answer, language = self._get_last().answer.answer, self._asking.language
        if not open_store(self._common).has(language.package):
            size = sum(file.size for file in language.manifest.files)
            raise Refusal(
                "chat.not-fetched",
                f"that takes the model's weights, and they are not here ({size:,} bytes)",
                hint=f"probatum model fetch {language.name}@{language.version}",
            )
        recheck(answer.request_id, common=self._common)

    def _save(self, name: str) -> None:
        if not name:
            raise Refusal("chat.no-file", "where to?", hint="/save FILE")
        document = {
            "messages": [{"role": one.role, "content": one.content} for one in self._messages],
            "answers": [describe_text(self._asking.language, each) for each in self._turns],
        }
        try:
            with expand_home(Path(name)).open("x", encoding="utf-8") as file:
                json.dump(document, file, ensure_ascii=False, indent=1)
                file.write("\n")
        except OSError as error:
            raise Fault("chat.unwritable", f"cannot write {name}: {error.strerror}") from None
        print_lines((f"wrote {name}",))


def _read_line() -> str:
    """Read a line that no terminal gives. Raises EOFError, Refusal `text.not-utf8`."""
    try:
        line = sys.stdin.readline(TEXT_CHARS + 2)
    except UnicodeDecodeError:
        raise Refusal("text.not-utf8", "that is no UTF-8 text") from None
    if not line:
        raise EOFError
    return line.removesuffix("\n")


def _say_custody(verified: VerifiedBundle) -> list[str]:
    lines = []
    for branch in verified.branches:
        record = branch.record
        with_ = f", from prefix {record.prefix[:16]}…" if record.prefix else ""
        taken = "countersigned" if branch.acknowledged else "not countersigned"
        wrote = "; signed the answer" if verified.receipt.node == record.taker else ""
        lines.append(
            f"  branch {record.branch}: {record.giver.role} {record.giver.account} handed it to "
            f"{record.taker.account}{with_}; {taken}{wrote}"
        )
    if verified.cancellation is not None:
        seen, reason = verified.cancellation.seen, verified.cancellation.reason
        lines.append(f"  cancelled by the gateway after {seen} tokens: {reason}")
    return lines


def _list(ids: tuple[int, ...]) -> str:
    return " ".join(map(str, ids))


def _show_nothing(_: str) -> None:
    """Show nothing: the whole is printed as JSON."""
