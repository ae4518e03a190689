"""One full node of a network of validators, kept up on its own machine until it is asked to stop.

What a service manager runs: application and engine, each started again, and told of when the last
block's time stands still. Must not know the command line. Read next: `validators`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from probatum.ledger.genesis import GENESIS_BYTES, decode_genesis
from probatum.nodes.shell.config import FullConfig, load_config, read_small_file
from probatum.nodes.shell.engine_files import get_rpc_port
from probatum.ops.children import Children
from probatum.ops.cometbft import find_cometbft
from probatum.ops.engine_homes import check_engine_home
from probatum.ops.up import catch_signals
from probatum.ops.validators import Validator, Validators

__all__ = ["keep_up"]

_STILL_S: Final = 30.0
_NAME: Final = "node"


def keep_up(home: Path, say: Callable[[str], None], program: Path | None = None) -> int:
    """Keep a home's two processes up until Ctrl-C or SIGTERM, in the main thread.

    Args:
        home: A full node's folder with an engine in it.
        say: Is told what happens, a line at a time.
        program: CometBFT, if it is not to be looked for.

    Returns:
        0 once it has stopped in order.

    Raises:
        Refusal: `cometbft.*`, `config.*`, `key.*`, `engine.*`, `genesis.*`.
        Fault: `children.died` if the application was refused its start; as the refusals.
    """
    home = home.absolute()
    config = load_config(home, FullConfig)
    genesis = decode_genesis(read_small_file(home / "genesis.json", limit_bytes=GENESIS_BYTES))
    check_engine_home(home, genesis)
    member = Validator(
        name=_NAME, home=home, host=config.host, port=config.port, rpc_port=get_rpc_port(home)
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
