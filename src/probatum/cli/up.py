"""`probatum up`: a network on this machine, and the pointer by which other commands find it.

The network itself is `probatum.ops.up`.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cyclopts import App, Parameter

from probatum.cli.amounts import parse_tokens
from probatum.cli.places import expand_home
from probatum.cli.settings import DEFAULTS, POINTER_FORMAT, Common, Pointer, read_pointer
from probatum.client.whole_files import write_whole
from probatum.errors import ProbatumError, Refusal
from probatum.ops.up import UpReady, run_up

_OWN: Final = "running-{}.json"
"""Each network's own, beside `running.json`, which is that of the newest: the older goes on."""

app = App(name="up", help="Run a whole network on this machine until Ctrl-C.")


@app.default
def up(
    folder: Annotated[
        Path | None,
        Parameter(help="Where the network lies and goes on next time; else it is temporary."),
    ] = None,
    /,
    *,
    nodes: Annotated[int, Parameter(help="Inference nodes of a new network.")] = 3,
    model: Annotated[
        tuple[Path, ...], Parameter(help="Folder of a package to host; may be given again.")
    ] = (),
    price: Annotated[
        str, Parameter(help="What each node of a new network asks for an answer, in tokens.")
    ] = "0",
    common: Common = DEFAULTS,
) -> int:
    """Run a whole network on this machine until Ctrl-C: ledger, inference nodes, gateway.

    While it runs, other commands on this machine need no addresses: they find it through
    running.json in the home folder. With --json it prints one line once it serves.

    Example: probatum up --model ./my-model
    """
    try:
        return run_up(
            folder,
            nodes=nodes,
            models=tuple(expand_home(path) for path in model),
            price_units=parse_tokens(price),
            json=common.json,
            ready=lambda facts: _write_pointer(common, facts),
        )
    finally:
        _remove_pointer(common)


def _write_pointer(common: Common, facts: UpReady) -> None:
    """Let other commands find the network; the newest one wins."""
    pointer = Pointer(
        format=POINTER_FORMAT,
        gateway=facts.gateway,
        ledger=facts.ledger,
        nodes=facts.nodes,
        trust=facts.trust,
        account=facts.account,
        pid=os.getpid(),
    )
    for path in (_get_own_path(common), common.pointer_path):
        _save(path, pointer)


def _remove_pointer(common: Common) -> None:
    """Point to the newest network that still runs, if the one that ends was pointed to."""
    with contextlib.suppress(OSError, ProbatumError):
        _get_own_path(common).unlink(missing_ok=True)
        pointer = read_pointer(common.pointer_path)
        if pointer is None or pointer.pid != os.getpid():
            return
        if (other := _find_other(common)) is not None:
            _save(common.pointer_path, other)
        else:
            common.pointer_path.unlink()


def _find_other(common: Common) -> Pointer | None:
    others = list(common.folder.glob(_OWN.format("*")))
    for other in sorted(others, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        with contextlib.suppress(Refusal):
            if (pointer := read_pointer(other)) is not None:
                return pointer
        other.unlink()  # whoever wrote it was killed
    return None


def _get_own_path(common: Common) -> Path:
    return common.folder / _OWN.format(os.getpid())


def _save(path: Path, pointer: Pointer) -> None:
    write_whole(path, msgspec.json.format(msgspec.json.encode(pointer), indent=1) + b"\n", 0o644)
