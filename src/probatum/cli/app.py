"""The table of commands, and the one place where a command line is run.

Commands are registered by the path of their page, so a command imports its own page and no
other. Must not know what commands do.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any, Final

from cyclopts import App, Group, Parameter
from cyclopts.exceptions import CycloptsError, UnusedCliTokensError

from probatum import __version__
from probatum.cli import failures, helping
from probatum.cli.output import drop_output, print_lines, say_what_can_be_said
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
        default_parameter=Parameter(negative=(), show_default=helping.show_default),
        help_format="plaintext",
        suppress_keyboard_interrupt=False,
    )
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
    say_what_can_be_said(as_json=as_json)
    try:
        return _run(words, as_json=as_json, debug=debug)
    except BrokenPipeError:
        # Whoever read the output has gone (`| head`).
        drop_output()
        return failures.OK
    except OSError as error:
        # A full disk, a folder that may not be written: the world, wherever it was met.
        is_output = error.filename is None
        if is_output:
            drop_output()
        fault = failures.explain_system(error)
        return failures.report_error(fault, as_json=as_json and not is_output, debug=debug)


def _run(words: list[str], *, as_json: bool, debug: bool) -> int:
    """Run one command line; what the system says no to is left to `run`, as printing may fail."""
    try:
        if not words:
            print_lines(OVERVIEW)
            sys.stdout.flush()
            return failures.OK
        app, words = build_app(), _move_options(words)
        if helping.is_asked_for(words):
            helping.complete_help(app, words, _take_everywhere())
        result = app(
            words,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        sys.stdout.flush()
    except UnusedCliTokensError as error:
        extra = " ".join(error.unused_tokens or ())
        return failures.report_usage(f"nothing here takes {extra!r}", as_json=as_json)
    except CycloptsError as error:
        return failures.report_usage(str(error), as_json=as_json)
    except ProbatumError as error:
        return failures.report_error(error, as_json=as_json, debug=debug)
    except KeyboardInterrupt:
        return failures.INTERRUPTED
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - the outermost loop: what nobody foresaw is a bug
        return failures.report_bug(error, as_json=as_json, debug=debug)
    return result if isinstance(result, int) else failures.OK


def _take_everywhere() -> Any:
    """Make a command that takes these options and does nothing, so that help explains them."""
    from probatum.cli.settings import DEFAULTS, Common  # noqa: PLC0415 - for help alone

    group = Group("Options of nearly every command", sort_key=100)

    def take(*, common: Any = DEFAULTS) -> None:
        """An AI network where nobody has to be believed."""

    # By a string cyclopts would look the types up among this page's own.
    take.__annotations__["common"] = Annotated[Common, Parameter(name="*", group=group)]
    return take


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
