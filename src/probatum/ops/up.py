"""`probatum up`: a network on this machine until Ctrl-C.

Prints who is where and what to type next, then watches: a node that dies is reported, and the
network goes on without it; without ledger or gateway it ends. Must not know the command line.
"""

from __future__ import annotations

import contextlib
import json as jsonlib
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from probatum.ops.folder import NETWORK_NAME
from probatum.ops.network import GATEWAY, LEDGER, Network, NetworkPlan
from probatum.ops.tables import format_table, shorten

__all__ = ["UpReady", "catch_signals", "describe", "list_commands", "run_up", "say_what_goes_on"]

_WATCH_S: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class UpReady:
    """What a running network tells whoever wants to use it: the line of ``up --json``.

    Attributes:
        gateway, ledger, nodes: Endpoints.
        trust: Path of the trust file.
        account: Path of the key file of a funded account.
        folder: The network's folder.
    """

    gateway: str
    ledger: str
    nodes: tuple[str, ...]
    trust: str
    account: str
    folder: str


def run_up(
    folder: Path | None = None,
    *,
    nodes: int = 3,
    models: tuple[Path, ...] = (),
    price_units: int = 0,
    json: bool = False,
    ready: Callable[[UpReady], None] | None = None,
) -> int:
    """Run a network until Ctrl-C or SIGTERM, in the main thread.

    Args:
        folder: Where it lies; a network that lies there goes on. None takes a temporary folder,
            which is removed at the end.
        nodes: Inference nodes of a new network.
        models: Folders of packages to host.
        price_units: What each node of a new network asks for an answer.
        json: Print one JSON line on standard output once it serves, everything else on standard
            error.
        ready: Is told the same as that line.

    Returns:
        0 after Ctrl-C or SIGTERM; 1 if ledger or gateway died.

    Raises:
        Refusal, Fault: As `Network.open` and `Network.start`.
    """
    console = Console(stderr=json, highlight=False)
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(catch_signals())
        if folder is None:
            made = tempfile.TemporaryDirectory(prefix="probatum-", ignore_cleanup_errors=True)
            folder = Path(stack.enter_context(made)) / "network"
        plan = NetworkPlan(nodes=nodes, models=models, price_units=price_units)
        is_new = not (folder / NETWORK_NAME).exists()
        network = stack.enter_context(Network.open(folder, plan, console.print))
        if not is_new:
            console.print(say_what_goes_on(network, plan), soft_wrap=True)
        try:
            network.start()
            facts = describe(network)
            if ready is not None:
                ready(facts)
            if json:
                print(jsonlib.dumps(asdict(facts)), flush=True)  # noqa: T201 - the ready line
            else:
                _show(console, network, facts)
            code = _watch(console, network, stop)
        except KeyboardInterrupt:
            code = 0
        console.print("stopping …")
    return code


def say_what_goes_on(network: Network, plan: NetworkPlan) -> str:
    """Say that a network goes on as it was made, and what was asked for in vain."""
    made = len(network.node_names)
    said = f"going on with the network in {network.path}: {made} inference nodes"
    if plan.nodes not in {made, NetworkPlan().nodes}:
        said += f"\n  --nodes {plan.nodes} counts for a new network only"
    if plan.price_units:
        said += (
            "\n  --price counts for a new network only: here it is price_units in each node.toml"
        )
    return said


def describe(network: Network) -> UpReady:
    """Say where everything of a running network is."""
    endpoints = network.endpoints
    return UpReady(
        gateway=endpoints.gateway,
        ledger=endpoints.ledger,
        nodes=endpoints.nodes,
        trust=str(network.trust_path),
        account=str(network.account_path),
        folder=str(network.path),
    )


@contextlib.contextmanager
def catch_signals() -> Iterator[threading.Event]:
    """Turn the first SIGTERM, SIGINT or SIGHUP into an event; a start-up is interrupted at once.

    Until somebody waits for the event a signal also raises KeyboardInterrupt, so that what is
    being started is given up; a second signal changes nothing, since the end is under way.
    """
    stop = threading.Event()

    def heed(_number: int, _frame: object) -> None:
        first = not stop.is_set()
        stop.set()
        if first:
            raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, heed) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(console: Console, network: Network, stop: threading.Event) -> int:
    while not stop.wait(_WATCH_S):
        for death in network.find_dead():
            console.print(f"{death}", markup=False, soft_wrap=True)
            if death.name in {LEDGER, GATEWAY}:
                return 1
    return 0


def _show(console: Console, network: Network, facts: UpReady) -> None:
    rows = list(network.list_ledger())
    parties = (*network.node_names, GATEWAY)
    for name, endpoint in zip(parties, (*facts.nodes, facts.gateway), strict=True):
        operator = shorten(network.get_operator(name))
        rows.append((name, operator, endpoint, str(network.get_pid(name))))
    lines = [f"Probatum network in {facts.folder}", ""]
    lines += format_table(("party", "operator", "endpoint", "process"), rows)
    models = [package.manifest for package in network.packages]
    if models:
        found = [(model.name, model.version, model.task, model.licence) for model in models]
        lines += ["", *format_table(("model", "version", "task", "licence"), found)]
    else:
        lines += ["", "No models yet: start it with --model FOLDER."]
    lines += ["", "Now, in another terminal:"]
    lines += [f"  {command}" for command in list_commands(models[0].name if models else "")]
    lines += ["", f"Ctrl-C stops it. Logs: {network.get_log(GATEWAY).parent}"]
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def list_commands(model: str, flags: str = "") -> tuple[str, ...]:
    """List what to type next.

    Args:
        model: A model that is hosted; empty if there is none.
        flags: What every command needs to find the network; nothing after `up`, which leaves a
            note in the home folder.
    """
    found: tuple[str, ...] = (f"probatum ledger nodes{flags}", f"probatum doctor{flags}")
    if model == "magika":
        question = "probatum demo question README.md -o question.json"
        return (question, f"probatum ask magika --oip question.json{flags}", *found)
    return (f"probatum model show {model}{flags}", *found) if model else found
