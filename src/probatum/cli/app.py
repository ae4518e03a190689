"""The table of commands, and the one place where a command line is run.

Commands are registered by the path of their page, so a command imports its own page and no
other. Must not know what commands do.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from cyclopts import App, Group, Parameter
from cyclopts.exceptions import CycloptsError

from probatum import __version__
from probatum.cli import failures
from probatum.cli.output import print_lines
from probatum.errors import ProbatumError

__all__ = ["build_app", "run"]

_FLAGS: Final = frozenset({"--json", "--debug"})
_VALUES: Final = frozenset({"--gateway", "--ledger", "--trust", "--home"})

_GROUPS: Final = (
    ("Begin here", ("up", "demo", "doctor")),
    ("Ask and check", ("ask", "chat", "receipt", "blame")),
    ("Take part", ("account", "pay", "model", "node", "validator", "network", "ledger")),
)
_HELP: Final = {
    "up": "Run a whole network on this machine until Ctrl-C.",
    "demo": "Watch a network answer, lose a node, and prove what it said.",
    "doctor": "Examine this machine, a node's folder or a network.",
    "ask": "Ask a model and keep the receipt.",
    "chat": "Talk with a language model; every answer has a receipt.",
    "receipt": "List, show, fetch and verify receipts.",
    "blame": "Say who held a request when it failed.",
    "account": "Make accounts, see balances, send tokens.",
    "pay": "Put tokens aside for a gateway, see what was spent, take the rest back.",
    "model": "Pack, check, publish, list and fetch models.",
    "node": "Set up, register and run a node.",
    "validator": "Take part in deciding blocks.",
    "network": "Found or join a network of several validators.",
    "ledger": "Read the ledger, with proofs.",
}
OVERVIEW: Final = (
    f"Probatum {__version__}: an AI network where nobody has to be believed.",
    "",
    "  probatum demo                 watch it all happen, in under a minute",
    "  probatum up                   run a network here, until Ctrl-C; then, in another terminal:",
    "  probatum model list           what it can run",
    "  probatum ask MODEL INPUT …    ask, and keep the receipt",
    "  probatum receipt settle last  wait until its receipt is final",
    "  probatum receipt verify FILE  check a receipt, offline",
    "",
    "probatum --help lists all commands; --help after a command shows examples.",
)


def build_app() -> App:
    """Build the command tree; pages are imported when their command is run."""
    app = App(
        name="probatum",
        help="An AI network where nobody has to be believed.",
        version=f"probatum {__version__}",
        default_parameter=Parameter(negative=()),
        help_format="plaintext",
        suppress_keyboard_interrupt=False,
    )
    app.default(_overview)
    for order, (title, names) in enumerate(_GROUPS):
        group = Group(title, sort_key=order)
        for position, name in enumerate(names):
            app.command(
                f"probatum.cli.{name}:app",
                name=name,
                help=_HELP[name],
                group=group,
                sort_key=position,
            )
    return app


def run(words: list[str]) -> int:
    """Run one command line; the outermost loop, from which no exception escapes."""
    as_json = "--json" in words
    debug = "--debug" in words or os.environ.get("PROBATUM_DEBUG", "") not in {"", "0", "false"}
    try:
        result = build_app()(
            _move_options(words),
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        sys.stdout.flush()
    except CycloptsError as error:
        return failures.report_usage(str(error), as_json=as_json)
    except ProbatumError as error:
        return failures.report_error(error, as_json=as_json, debug=debug)
    except KeyboardInterrupt:
        return failures.INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has gone (`| head`); nothing more may be written, not even by
        # the interpreter when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return failures.OK
    except Exception as error:  # noqa: BLE001 - the outermost loop: what nobody foresaw is a bug
        return failures.report_bug(error, as_json=as_json, debug=debug)
    return result if isinstance(result, int) else failures.OK


def _overview() -> None:
    """Say what there is."""
    print_lines(OVERVIEW)


def _move_options(words: list[str]) -> list[str]:
    """Let the options that every command takes stand before the command's name too."""
    at = 0
    while at < len(words) and words[at].split("=", 1)[0] in _FLAGS | _VALUES:
        at += 2 if words[at] in _VALUES else 1
    moved, rest = words[:at], words[at:]
    if not rest:
        return words
    end = rest.index("--") if "--" in rest else len(rest)
    return rest[:end] + moved + rest[end:]
