"""`probatum demo chat`: a language model writes, is rechecked, and dies unnoticed (`TEXT-1`).

Every sentence that is told is checked; the exit code is 0 only if all of it held. Nothing is left
running, and on the disk the imported model alone. Read next: `chat_acts`.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Final

from rich.console import Console

from probatum.client.client import Client
from probatum.errors import ProbatumError
from probatum.hub.package import Package
from probatum.ops.demo.chat_acts import (
    Writer,
    ask_another,
    lose_the_writer,
    recheck,
    talk,
    verify_alone,
)
from probatum.ops.demo.packages import FETCHED
from probatum.ops.demo.smollm2 import IMPORTED, open_smollm2
from probatum.ops.demo.stage import Stage
from probatum.ops.demo.telling import Teller
from probatum.ops.network import Network, NetworkPlan
from probatum.ops.up import catch_signals

__all__ = ["run_chat_demo"]

NODES: Final = 2
QUESTION: Final = "In which city is the Eiffel Tower?"
"""The answer is drawn, and nobody promises that it is right. This one the model knew 300 times of
300; what the capital of France is, 23 times of 40."""
STORY: Final = "Write a long story about a lighthouse keeper and the sea."


def run_chat_demo(*, models: Path | None = None, imported: Path | None = None) -> int:
    """Tell the story, in the main thread.

    Args:
        models: Folder with the fetched models, by `models/fetch.py`, one folder each.
        imported: Folder where the imported package is kept.

    Returns:
        0 if everything held, 1 if something did not, 130 after Ctrl-C.
    """
    console = Console(highlight=False)
    try:
        with catch_signals():
            _run(console, models or FETCHED, imported or IMPORTED)
    except KeyboardInterrupt:
        console.print("\nInterrupted; everything has been stopped and removed.")
        return 130
    except ProbatumError as error:
        console.print(f"\nThe demo failed: {error}", style="bold red", markup=False, soft_wrap=True)
        return 1
    return 0


def _run(console: Console, fetched: Path, imported: Path) -> None:
    teller = Teller(console)
    with contextlib.ExitStack() as stack:
        made = tempfile.TemporaryDirectory(prefix="probatum-demo-", ignore_cleanup_errors=True)
        work = Path(stack.enter_context(made))
        teller.act("Take a language model: SmolLM2-135M-Instruct (Apache-2.0)")
        package = open_smollm2(fetched, imported, _Progress(teller))
        manifest = package.manifest
        size = sum(entry.size for entry in manifest.files)
        teller.line(f"package {package.digest.hex()}")
        teller.line(f"canonical graph {manifest.canonical.digest if manifest.canonical else '-'}")
        teller.line(f"{size / 1e6:.0f} MB; its weights, once 4 bits each, as float32.")
        teller.act(f"Start a network: a ledger, {NODES} nodes that run it, a gateway")
        teller.line("Each party holds the model's graph to its weights before it is used …")
        plan = NetworkPlan(nodes=NODES, models=(package.folder,), block_interval_ms=250)
        network = stack.enter_context(Network.open(work / "network", plan))
        network.start()
        teller.figure("network started", f"in {teller.elapsed_s:.0f} s, copies of the model made")
        endpoints = network.endpoints
        client = Client(
            endpoints.gateway,
            ledger=endpoints.ledger,
            trust=network.trust_path,
            receipts=work / "receipts",
        )
        stage = Stage(
            teller=teller,
            network=network,
            client=stack.enter_context(client),
            work=work,
            here=Path.cwd(),
            fetched=fetched,
        )
        _tell(stage, package)
        teller.figure("the whole story", f"{teller.elapsed_s:.0f} s")
        teller.act("Summary: everything that was promised held")
        teller.table((), teller.figures)
        console.print("\nNext:")
        for command in (
            f"probatum up --model {package.folder}",
            f"probatum chat {manifest.name}        in another terminal",
        ):
            console.print(f"  {command}", markup=False, soft_wrap=True)
    console.print(f"Everything has been stopped and removed. {teller.elapsed_s:.0f} s in all.")


def _tell(stage: Stage, package: Package) -> None:
    """Tell all that the model takes part in."""
    teller, writer = stage.teller, Writer(stage, package)
    teller.act("Ask it, and get an answer with a receipt")
    heard = talk(stage, writer, QUESTION)
    teller.act("Have another node choose, and another process recheck: bit for bit")
    ask_another(stage, writer, heard)
    recheck(stage, package, heard)
    teller.act("Kill the node that writes, in the middle of a text")
    story = lose_the_writer(stage, writer, STORY)
    teller.act("Recheck that text, too: by one prefill, which chooses nothing anew")
    wall_s = recheck(stage, package, story)
    tokens = len(story.answer.ids)
    teller.figure(f"{tokens} tokens rechecked", f"in {wall_s:.1f} s, by a new process")
    verify_alone(stage, story)


class _Progress:
    """Tells how far the import is, a line for each quarter."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller
        self._told = -1

    def __call__(self, done: int, total: int) -> None:
        quarter = 4 * done // max(total, 1)
        if quarter > self._told:
            self._told = quarter
            self._teller.line(f"importing, once: {25 * quarter} % of {total / 1e6:.0f} MB")
