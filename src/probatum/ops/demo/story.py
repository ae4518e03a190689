"""`probatum demo`: a network starts, answers, loses a node, and proves what it said.

Every sentence that is told is checked; the exit code is 0 only if all of it held. Whatever
happens, Ctrl-C included, nothing is left running and nothing on the disk. Read next: `acts`.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
from pathlib import Path
from typing import Final

from rich.console import Console

from probatum.client.client import Client
from probatum.errors import ProbatumError, Refusal
from probatum.ledger.params import Params
from probatum.nodes.shell.keys import create_publisher_key
from probatum.ops.children import read_log_tail
from probatum.ops.demo import minilm, volatility
from probatum.ops.demo.acts import (
    ask_about_files,
    find_blame,
    lose_a_node,
    show_network,
    verify_offline,
)
from probatum.ops.demo.exact_acts import decide_exactly
from probatum.ops.demo.model_acts import decide_by_forecast, search_by_meaning
from probatum.ops.demo.packages import FETCHED, build_real
from probatum.ops.demo.provenance import register_publisher, show_origin, sign_packages
from probatum.ops.demo.stage import Stage
from probatum.ops.demo.telling import Teller
from probatum.ops.demo.validator_acts import can_lose_one, lose_validators
from probatum.ops.network import Network, NetworkPlan
from probatum.ops.up import catch_signals, describe, list_commands

__all__ = ["run_demo"]

MAGIKA: Final = "magika"
OTHERS: Final = (minilm.NAME, volatility.NAME)
"""Models of acts that are left out where they were not fetched."""
NODES: Final = 3
BLOCK_MS: Final = 250
PARAMS: Final = Params(
    # Deadlines are heights: four blocks a second, four seconds to answer.
    answer_window_blocks=16,
    include_window_blocks=160,
    heartbeat_window_blocks=120,
)


def run_demo(*, keep: bool = False, models: Path | None = None, validators: int = 0) -> int:
    """Tell the story, in the main thread.

    Args:
        keep: Leave the network running until Ctrl-C.
        models: Folder with the fetched models, by `models/fetch.py`, one folder each.
        validators: How many keep the ledger together, under CometBFT; 0 for one process alone.

    Returns:
        0 if everything held, 1 if something did not, 130 after Ctrl-C.
    """
    console = Console(highlight=False)
    try:
        with catch_signals() as stop:
            return _run(console, stop, models or FETCHED, validators, keep=keep)
    except KeyboardInterrupt:
        console.print("\nInterrupted; everything has been stopped and removed.")
        return 130
    except ProbatumError as error:
        console.print(f"\nThe demo failed: {error}", style="bold red", markup=False, soft_wrap=True)
        return 1


def _run(
    console: Console, stop: threading.Event, fetched: Path, validators: int, *, keep: bool
) -> int:
    if not (fetched / MAGIKA / "model.onnx").is_file():
        raise Refusal(
            "demo.no-model",
            f"there is no model in {fetched / MAGIKA}",
            hint="`make demo` fetches it; so does `python models/fetch.py magika`",
        )
    teller = Teller(console)
    with contextlib.ExitStack() as stack:
        made = tempfile.TemporaryDirectory(prefix="probatum-demo-", ignore_cleanup_errors=True)
        work = Path(stack.enter_context(made))
        keepers = f"{validators} validators" if validators else "a ledger"
        teller.act(f"Start a network: {keepers}, {NODES} inference nodes, a gateway")
        there = (MAGIKA, *(name for name in OTHERS if (fetched / name / "model.onnx").is_file()))
        packages = tuple(build_real(name, fetched / name, work / name) for name in there)
        signer = create_publisher_key(work / "publisher.json")
        sign_packages(packages, signer)
        folders = tuple(package.folder for package in packages)
        plan = NetworkPlan(
            nodes=NODES,
            models=folders,
            block_interval_ms=BLOCK_MS,
            params=PARAMS,
            validators=validators,
        )
        network = stack.enter_context(Network.open(work / "network", plan))
        try:
            network.start()
            register_publisher(network, signer)
            started = f"in {teller.elapsed_s:.1f} s, {len(packages)} models published"
            teller.figure("network started", started)
            stage = Stage(
                teller=teller,
                network=network,
                client=stack.enter_context(_make_client(network, work)),
                work=work,
                here=Path.cwd(),
                fetched=fetched,
            )
            killed = _tell(stage)
        except ProbatumError:
            _show_logs(teller, network)
            raise
        if keep:
            network.restart(killed)
        _sum_up(console, stage, keep=keep)
        if keep:
            _wait(console, network, stop)
    console.print(f"Everything has been stopped and removed. {teller.elapsed_s:.1f} s in all.")
    return 0


def _make_client(network: Network, work: Path) -> Client:
    endpoints = network.endpoints
    return Client(
        endpoints.gateway,
        ledger=endpoints.ledger,
        trust=network.trust_path,
        receipts=work / "receipts",
    )


def _tell(stage: Stage) -> str:
    """Tell all of it; return who was killed."""
    teller = stage.teller
    show_network(stage)
    package = stage.get_package(MAGIKA)
    manifest = package.manifest
    teller.act(f"Publish a real model: {manifest.name} {manifest.version} ({manifest.licence})")
    teller.line(manifest.description)
    teller.line(f"package {package.digest.hex()}")
    teller.line("The ledger binds the name to that digest for ever; each node verified every byte.")
    teller.act("Ask it about real files")
    asked, shown = MAGIKA, ask_about_files(stage)[-1]
    if _has(stage, volatility.NAME, "no forecast"):
        teller.act("Decide by a forecast: the S&P 500's volatility of tomorrow")
        asked, shown = volatility.NAME, decide_by_forecast(stage)
        teller.act("Decide by a contract: the same bits on every machine")
        decide_exactly(stage)
    if _has(stage, minilm.NAME, "no search by meaning"):
        teller.act("Search by meaning: MiniLM's embeddings")
        asked, shown = minilm.NAME, search_by_meaning(stage)
    teller.act("Follow that answer back to the model's publisher and files")
    show_origin(stage, asked, shown)
    teller.act("Kill a node in the middle of a request")
    killed, answer = lose_a_node(stage)
    if can_lose_one(stage):
        teller.act("Kill a validator, and another")
        lose_validators(stage)
    teller.act("Ask the records who failed")
    find_blame(stage, killed, answer)
    teller.act("Verify the receipt of that answer, offline, as a stranger would")
    verify_offline(stage, answer)
    return killed


def _has(stage: Stage, name: str, without: str) -> bool:
    """Whether a model is hosted; if not, say what is left out and how to have it."""
    if stage.has_model(name):
        return True
    stage.teller.line("")
    stage.teller.line(f"({without}: {name} was not fetched; python models/fetch.py {name})")
    return False


def _sum_up(console: Console, stage: Stage, *, keep: bool) -> None:
    teller = stage.teller
    teller.figure("the whole story", f"{teller.elapsed_s:.1f} s")
    teller.act("Summary: everything that was promised held")
    teller.table((), teller.figures)
    console.print("\nNext:")
    facts = describe(stage.network)
    commands: tuple[str, ...]
    if keep:
        flags = f" --gateway {facts.gateway} --ledger {facts.ledger} --trust {facts.trust}"
        commands = list_commands("magika", flags)
    else:
        target = "make network" if stage.network.validator_names else "make demo"
        commands = (
            f"{target} ARGS=--keep".ljust(39) + "the same, and leave the network running",
            "probatum demo package -o magika        a model as a package",
            "probatum up --model magika             a network of your own, until Ctrl-C",
            "probatum --help                        everything else",
        )
    for command in commands:
        console.print(f"  {command}", markup=False, soft_wrap=True)


def _wait(console: Console, network: Network, stop: threading.Event) -> None:
    console.print(f"\nThe network runs on, in {network.path}. Ctrl-C stops it.", soft_wrap=True)
    with contextlib.suppress(KeyboardInterrupt):
        while not stop.wait(0.2):
            for death in network.find_dead():
                console.print(f"{death}", markup=False, soft_wrap=True)


def _show_logs(teller: Teller, network: Network) -> None:
    """Show the end of every log: the folder will be gone."""
    for name in network.names:
        teller.line(f"the end of {name}'s log:")
        for text in read_log_tail(network.get_log(name)):
            teller.line(f"  {text}")
