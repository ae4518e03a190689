"""One full node of a network of validators, kept up on its own machine until it is asked to stop.

What a service manager runs: application and engine, each started again, and told of when the last
block's time stands still. Must not know the command line. Read next: `validators`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from probatum.errors import Fault, Refusal
from probatum.nodes.shell.config import FullConfig, load_config
from probatum.nodes.shell.engine_files import get_rpc_port
from probatum.nodes.shell.genesis_file import load_genesis
from probatum.nodes.shell.journal import lock_home
from probatum.ops.children import Children
from probatum.ops.cometbft import find_cometbft
from probatum.ops.engine_homes import check_engine_home
from probatum.ops.founding import is_founder_home
from probatum.ops.up import catch_signals
from probatum.ops.validators import Validator, Validators

__all__ = ["NAME", "keep_up"]

_STILL_S: Final = 30.0
NAME: Final = "node"
"""The one that is kept up: its logs are `NAME.jsonl`, and beside it its engine's."""
_LEFT_S: Final = 5.0
_POLL_S: Final = 0.1


def keep_up(
    home: Path,
    say: Callable[[str], None],
    program: Path | None = None,
    left_s: float = _LEFT_S,
) -> int:
    """Keep a home's two processes up until Ctrl-C or SIGTERM, in the main thread.

    Args:
        home: A full node's folder with an engine in it.
        say: Is told what happens, a line at a time.
        program: CometBFT, if it is not to be looked for.
        left_s: How long what a killed keeper left may take to end.

    Returns:
        0 once it has stopped in order.

    Raises:
        Refusal: `network.no-genesis` for a founder's home without one; `cometbft.*`, `config.*`,
            `key.*`, `engine.*`, `genesis.*`.
        Fault: `home.locked` if somebody else keeps it up; `children.died` if the application was
            refused its start; as the refusals.
    """
    home = home.absolute()
    if is_founder_home(home):
        raise Refusal(
            "network.no-genesis",
            f"{home} is a founder's, and waits for the genesis document",
            hint="probatum network join HOME --genesis FILE --peer ID@HOST:PORT",
        )
    config = load_config(home, FullConfig)
    genesis = load_genesis(home / "genesis.json")
    check_engine_home(home, genesis)
    _await_home(home, left_s)
    member = Validator(
        name=NAME, home=home, host=config.host, port=config.port, rpc_port=get_rpc_port(home)
    )
    validators = Validators(
        (member,),
        Children(home / "logs"),
        program=find_cometbft(program),
        still_s=_STILL_S,
        say=say,
    )
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(catch_signals())
        stack.callback(validators.close)
        stack.callback(validators.stop)
        with contextlib.suppress(KeyboardInterrupt):
            validators.begin()
            say(f"keeping {home} up; logs are in {home / 'logs'}")
            while not stop.wait(1.0):
                validators.check()
        say("stopping …")
    return 0


def _await_home(home: Path, left_s: float) -> None:
    """Wait until nobody runs on a home; a second keeper would try for ever, and be in the way."""
    deadline = time.monotonic() + left_s
    while True:
        try:
            os.close(lock_home(home))
        except Fault as fault:
            if fault.code != "home.locked" or time.monotonic() > deadline:
                raise
            time.sleep(_POLL_S)
        else:
            return
