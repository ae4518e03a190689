"""The acts of the demo in which a language model writes (`TEXT-1`).

What a reader is shown comes as a reader's program gets it: by the SDK, from the gateway, as it is
written. Must not know how a network is started. Read next: `chat_story`.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from probatum.client.answers import TextAnswer
from probatum.client.hearing import Hearing
from probatum.errors import Fault
from probatum.evidence.receipt import check_pending
from probatum.hub.package import Package
from probatum.ops.demo.killing import measure_work
from probatum.ops.demo.offline import verify
from probatum.ops.demo.stage import Stage
from probatum.ops.tables import shorten
from probatum.runtime.text.chat import ChatTokenizer
from probatum.runtime.text.template import ChatMessage

__all__ = [
    "Heard",
    "Writer",
    "ask_another",
    "lose_the_writer",
    "open_words",
    "recheck",
    "show_custody",
    "talk",
    "verify_alone",
]

_TIMEOUT_S: Final = 120.0
_TOP_K: Final = 20
_KILL: Final = 36
"""After so many tokens the writer is killed: it has signed two prefixes by then."""
_LEAST: Final = 64
_LIMIT: Final = 96
_ATTEMPTS: Final = 3
_COLUMNS: Final = 88


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A text as a reader got it.

    Attributes:
        text: What was shown.
        nonce: The chance in it.
        first_s: Until the first token, in seconds.
        pause_s: The longest time between two runs of tokens, in seconds.
        all_s: Until the last token, in seconds.
    """

    text: str
    prompt: tuple[int, ...]
    nonce: bytes
    temperature: float
    answer: TextAnswer
    first_s: float
    pause_s: float
    all_s: float


class Writer:
    """Asks the model, and shows what it writes."""

    def __init__(self, stage: Stage, package: Package) -> None:
        """Make it; the model's words come from its package."""
        self._stage = stage
        self._name = package.manifest.name
        self._words = open_words(package)

    def encode(self, message: str) -> tuple[int, ...]:
        """Turn a message into tokens by the model's chat template."""
        return self._words.encode_chat((ChatMessage(role="user", content=message),))

    def write(
        self,
        prompt: tuple[int, ...],
        nonce: bytes,
        *,
        temperature: float,
        limit: int,
        node: str | None = None,
        is_shown: bool = True,
        watch: Callable[[int], None] = lambda _: None,
    ) -> Heard:
        """Have a text written.

        Args:
            prompt: What the model goes on from.
            nonce: The chance in it.
            temperature: Of the rule.
            limit: Tokens at most.
            node: Who alone may answer.
            is_shown: Whether the text is printed as it comes.
            watch: Is told how many tokens have come, each time that some do.
        """
        stream, page = self._words.start_stream(), _Page(self._stage, is_shown=is_shown)
        began = time.monotonic()
        hearing = Hearing(
            lambda hear: self._stage.client.ask_text(
                self._name,
                prompt,
                limit=limit,
                temperature=temperature,
                top_k=_TOP_K,
                nonce=nonce,
                hear=hear,
                timeout_s=_TIMEOUT_S,
                node=node,
            )
        )
        times, shown = [], 0
        for run in hearing:
            times.append(time.monotonic() - began)
            shown += len(run)
            page.show("".join([stream.push(one) for one in run]))
            watch(shown)
        answer = hearing.finish()
        page.show("".join([stream.push(one) for one in answer.ids[shown:]]) + stream.finish())
        page.end()
        return Heard(
            text=page.text,
            prompt=prompt,
            nonce=nonce,
            temperature=temperature,
            answer=answer,
            first_s=times[0],
            pause_s=max((b - a for a, b in itertools.pairwise(times)), default=0.0),
            all_s=times[-1],
        )


class _Page:
    """Shows a text as it comes, broken at spaces."""

    def __init__(self, stage: Stage, *, is_shown: bool) -> None:
        self._teller, self._is_shown = stage.teller, is_shown
        self._line = ""
        self.text = ""

    def show(self, piece: str) -> None:
        self.text += piece
        self._line += piece
        while "\n" in self._line or len(self._line) > _COLUMNS:
            cut = self._line.find("\n")
            if not 0 <= cut <= _COLUMNS:
                cut = self._line.rfind(" ", 0, _COLUMNS)
                cut = cut if cut > 0 else _COLUMNS
            line, self._line = self._line[:cut], self._line[cut:].removeprefix("\n").lstrip(" ")
            self._say(line)

    def end(self) -> None:
        self._say(self._line)
        self._line = ""

    def _say(self, line: str) -> None:
        if self._is_shown and line.strip():
            self._teller.line(f"  {''.join(c if c.isprintable() else '?' for c in line)}")


def open_words(package: Package) -> ChatTokenizer:
    """Load a package's tokenizer and chat template.

    Raises:
        Fault: `demo.promise-broken` if it has none.
    """
    manifest = package.manifest
    if manifest.tokenizer is None or manifest.text is None or manifest.text.template is None:
        raise Fault("demo.promise-broken", "the package brings tokenizer and template")
    template = package.read_file(manifest.text.template).decode()
    return ChatTokenizer(package.read_file(manifest.tokenizer), template)


def talk(stage: Stage, writer: Writer, message: str) -> Heard:
    """Ask one question, and show the answer with what backs it."""
    teller = stage.teller
    teller.line(f"you: {message}")
    heard = writer.write(writer.encode(message), os.urandom(32), temperature=0.2, limit=48)
    answer = heard.answer.answer
    facts = answer.receipt.request
    node = stage.name_operator(answer.receipt.node.account)
    teller.line(f"receipt {answer.request_id}, signed by {node}; class text-exact;")
    teller.line(
        f"{len(heard.answer.ids)} tokens by the rule GUMBEL-1, temperature 0.2, top_k {_TOP_K}; "
        f"the nonce was drawn by the {facts.nonce_by}."
    )
    teller.promise(facts.nonce == heard.nonce.hex(), "the receipt names the nonce")
    teller.promise(heard.answer.ended, "the answer ended where the rule ends it")
    teller.figure("first token", f"after {heard.first_s * 1000:.0f} ms")
    return heard


def ask_another(stage: Stage, writer: Writer, heard: Heard) -> None:
    """Ask another node for the same with the same nonce; its tokens are the same."""
    teller, network = stage.teller, stage.network
    first = heard.answer.answer.receipt.node.account
    other = next(name for name in network.node_names if network.get_operator(name) != first)
    again = writer.write(
        heard.prompt,
        heard.nonce,
        temperature=heard.temperature,
        limit=48,
        node=network.get_operator(other),
        is_shown=False,
    )
    teller.promise(
        again.answer.answer.receipt.node.account == network.get_operator(other),
        "the other node signed",
    )
    teller.promise(again.answer.ids == heard.answer.ids, "both nodes chose the same tokens")
    teller.line(
        f"{other}, asked with the same nonce, chose the same {len(again.answer.ids)} tokens "
        "and signed them."
    )


def recheck(stage: Stage, package: Package, heard: Heard) -> float:
    """Recheck a text by another process, which was not asked: one prefill. Return its seconds."""
    teller, answer = stage.teller, heard.answer.answer
    words = ("receipt", "recheck", answer.request_id)
    teller.line(f"probatum {' '.join(words)}")
    began = time.monotonic()
    done = subprocess.run(  # noqa: S603 - our own program, paths of ours
        [
            *(sys.executable, "-P", "-m", "probatum.cli", *words),
            *("--package", str(package.folder.absolute()), "--home", str(stage.work)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
        stdin=subprocess.DEVNULL,
    )
    wall_s = time.monotonic() - began
    for line in (done.stdout + done.stderr).strip().splitlines():
        teller.line(f"  {line}")
    teller.promise(done.returncode == 0, "rechecking finds the answer right")
    right = f"right: all {len(heard.answer.ids)} tokens"
    teller.promise(done.stdout.startswith(right), "every token was rechecked")
    return wall_s


def lose_the_writer(stage: Stage, writer: Writer, message: str) -> Heard:
    """Have a text written undisturbed, then again with its node killed; both are the same."""
    teller = stage.teller
    teller.line(f"you: {message}")
    calm = _write_calmly(stage, writer, writer.encode(message))
    teller.line(f"{len(calm.answer.ids)} tokens were written undisturbed, and are kept to compare.")
    teller.line("Now the same with the same nonce, as a reader sees it; the node that writes is")
    teller.line("killed (SIGKILL) after some tokens:")
    for _ in range(_ATTEMPTS):
        found = _try_to_lose(stage, writer, calm)
        if found is not None:
            heard, killed = found
            break
        teller.line("The text was done before its node could be killed; once more.")
    else:
        raise Fault("demo.too-fast", f"no node was killed in mid-stream in {_ATTEMPTS} attempts")
    branches = check_pending(heard.answer.answer.bundle).branches
    names = [stage.name_operator(branch.record.taker.account) for branch in branches]
    teller.promise(names[0] == killed, "the killed node had the text")
    teller.promise(names[-1] != killed, "another node ended it")
    teller.promise(branches[-1].record.prefix is not None, "it went on from a signed prefix")
    teller.promise(heard.answer.ids == calm.answer.ids, "tokens are those of the calm run")
    teller.promise(heard.text == calm.text, "the text is that of the calm run")
    teller.line("Token for token it is the text that was written undisturbed. Its custody:")
    teller.line("")
    show_custody(stage, heard)
    teller.figure("longest pause, undisturbed", f"{calm.pause_s * 1000:.0f} ms")
    teller.figure("longest pause, node killed", f"{heard.pause_s * 1000:.0f} ms")
    speed = len(calm.answer.ids) / calm.all_s
    teller.figure("tokens a second, undisturbed", f"{speed:.0f}, every sixteen signed")
    return heard


def _write_calmly(stage: Stage, writer: Writer, prompt: tuple[int, ...]) -> Heard:
    for _ in range(_ATTEMPTS):
        nonce = os.urandom(32)
        calm = writer.write(prompt, nonce, temperature=0.7, limit=_LIMIT, is_shown=False)
        if len(calm.answer.ids) >= _LEAST:
            return calm
        stage.teller.line("That text is too short to be interrupted; once more, by another nonce.")
    raise Fault("demo.too-fast", f"no text was long enough in {_ATTEMPTS} attempts")


def _try_to_lose(stage: Stage, writer: Writer, calm: Heard) -> tuple[Heard, str] | None:
    teller, assassin = stage.teller, _Assassin(stage)
    teller.line("")
    heard = writer.write(
        calm.prompt, calm.nonce, temperature=0.7, limit=_LIMIT, watch=assassin.watch
    )
    teller.line("")
    killed = assassin.killed
    if killed is None:
        return None
    if len(check_pending(heard.answer.answer.bundle).branches) == 1:
        # All tokens were on their way already.
        stage.network.restart(killed)
        return None
    teller.line(f"{killed} was killed after {assassin.after} of {len(heard.answer.ids)} tokens.")
    return heard, killed


class _Assassin:
    """Finds who writes by who works, and kills it in mid-stream."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._before: dict[str, int] = {}
        self.killed: str | None = None
        self.after = 0

    def watch(self, shown: int) -> None:
        network = self._stage.network
        if not self._before:
            self._before = measure_work(network)
        elif shown >= _KILL and self.killed is None:
            now = measure_work(network)
            self.killed = max(sorted(now), key=lambda name: now[name] - self._before[name])
            self.after = shown
            network.kill(self.killed)


def show_custody(stage: Stage, heard: Heard) -> None:
    """Show who held the request: every hand-over, and whether it was taken."""
    answer = heard.answer.answer
    rows = []
    for branch in check_pending(answer.bundle).branches:
        record = branch.record
        rows.append(
            (
                str(record.branch),
                stage.name_operator(record.giver.account),
                stage.name_operator(record.taker.account),
                "countersigned" if branch.acknowledged else "not taken",
                f"{shorten(record.prefix)}" if record.prefix else "the beginning",
                "signed the answer" if record.taker == answer.receipt.node else "-",
            )
        )
    stage.teller.table(("branch", "from", "to", "hand-over", "goes on from", "outcome"), rows)


def verify_alone(stage: Stage, heard: Heard) -> None:
    """Verify the settled receipt by another process, with the trust file alone."""
    teller, answer = stage.teller, heard.answer.answer
    stage.client.settle(answer, timeout_s=_TIMEOUT_S)
    path = stage.work / "receipt.json"
    path.write_bytes(stage.client.receipts.load_bundle(answer.request_id))
    verdict = verify(path, stage.network.trust_path, cut_off=False)
    teller.promise(verdict.exit_code == 0, "the receipt verifies")
    teller.line("Settled on the ledger; `probatum receipt verify` finds that the receipt holds.")
