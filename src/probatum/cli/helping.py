"""How help is shown: a command's own page tells all that its docstring says.

The command tree knows each command that is imported on demand by one line, which stands in its
list. Whoever asks for that command's own help wants the rest: what it does, and the examples.
Must not know any command. Imports what draws help only when help is drawn.
"""

from __future__ import annotations

import inspect
from typing import Any, Final

from cyclopts import App

__all__ = ["Brief", "complete_help", "is_asked_for", "show_default"]

_FLAGS: Final = frozenset({"--help", "-h"})
_SECTIONS: Final = ("Args:", "Raises:", "Returns:")


def is_asked_for(words: list[str]) -> bool:
    """Whether a command line asks for help, before `--` ends the options."""
    end = words.index("--") if "--" in words else len(words)
    return not _FLAGS.isdisjoint(words[:end])


def complete_help(app: App, words: list[str], everywhere: Any) -> None:
    """Have the page that is about to be shown say all that there is to say.

    Args:
        app: The command tree.
        words: The command line.
        everywhere: A command that takes what nearly every command takes, for the tree's own page.
    """
    from cyclopts.help.help import format_usage  # noqa: PLC0415 - brings rich along

    chain, path, _ = app.parse_commands([word for word in words if word not in _FLAGS])
    page = path[-1]
    if page is app:
        app.default(everywhere)
    elif (command := page.default_command) is not None:
        page.help = reflow(inspect.getdoc(command) or page.help)
        usage = str(format_usage(app, chain, execution_path=path)).strip()
        page.usage = usage.replace("[ARGS]", " ".join(_list_optional(command)))


def reflow(text: str) -> str:
    """Join the lines of each paragraph, and leave out what is for readers of the code."""
    kept: list[str] = []
    for paragraph in text.split("\n\n"):
        if paragraph.startswith(_SECTIONS):
            break
        kept.append(" ".join(paragraph.split()))
    return "\n\n".join(kept)


def show_default(value: object) -> str | None:
    """Show a default that tells something: neither an empty one nor a switch that is off."""
    if value is None or value is False or value in ("", ()):
        return None
    return str(value)


class Brief:
    """Lists options by name alone; `probatum --help` explains them. A formatter of cyclopts."""

    def __call__(self, console: Any, options: Any, panel: Any) -> None:
        """Draw a panel."""
        del options
        if panel.entries:
            names = ", ".join(entry.names[0] for entry in panel.entries)
            console.print(f"{panel.title}: {names}; see probatum --help", highlight=False)


def _list_optional(command: Any) -> list[str]:
    """List the positional words that may be left out, as they stand in a usage line."""
    return [
        f"[{name.upper()}{'...' if parameter.default == () else ''}]"
        for name, parameter in inspect.signature(command).parameters.items()
        if parameter.kind is parameter.POSITIONAL_ONLY and parameter.default is not parameter.empty
    ]
