"""Help: every command tells what it does and shows what to type, and what it shows is true."""

from __future__ import annotations

import shlex

import pytest

from probatum.cli import app as page
from probatum.cli import helping, main
from tests.unit.cli.test_app import COMMANDS

ALONE = """
    demo | demo chat | account list | receipt list | model list | validator list | ledger nodes
    ledger models | ledger offers
""".replace("\n", "|")
"""Commands that are typed as they stand."""


def read_help(words, capsys):
    assert main([*words, "--help"]) == 0
    return capsys.readouterr().out


def list_examples(shown):
    """The lines that stand after `Example:`, joined where the terminal was too narrow."""
    text = shown.split("Example:", 1)[1].split("╭", 1)[0].split("Everywhere:", 1)[0]
    return [part.strip() for part in text.split("Example:")]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_shows_an_example_that_it_understands(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    shown = read_help(words, capsys)
    if "Example" not in shown:
        assert " ".join(words) in ALONE
        return
    for example in list_examples(shown):
        typed = shlex.split(example)
        assert typed[: len(words) + 1] == ["probatum", *words]
        page.build_app().parse_args(typed[1:], exit_on_error=False, print_error=False)


def test_a_command_that_is_imported_on_demand_tells_all_of_its_docstring(capsys):
    shown = read_help(["ask"], capsys)
    assert "The answer is checked before it is shown" in shown
    assert "Example: probatum ask" in shown
    assert "[INPUTS...]" in shown.splitlines()[0]


def test_options_of_every_command_are_explained_once(capsys):
    explained = "Print JSON, for programs."
    assert explained in read_help([], capsys)
    shown = read_help(["account", "list"], capsys)
    assert explained not in shown
    assert "Everywhere: --json, --gateway" in shown


def test_defaults_that_say_nothing_are_left_out(capsys):
    shown = read_help(["ask"], capsys)
    assert "[default: False]" not in shown
    assert "[default: ()]" not in shown
    assert "[default: 256]" in shown


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("One\nline.", "One line."),
        ("One.\n\nTwo\nlines.\n\nRaises:\n    Refusal: no.", "One.\n\nTwo lines."),
        ("One.\n\nExample: probatum\nup", "One.\n\nExample: probatum up"),
    ],
)
def test_paragraphs_are_joined_and_sections_for_readers_of_the_code_left_out(text, told):
    assert helping.reflow(text).startswith(told)
    assert "Raises" not in helping.reflow(text)


def test_help_is_help_only_before_the_words_of_the_command_end():
    assert helping.is_asked_for(["ask", "--help"])
    assert not helping.is_asked_for(["ask", "net", "--", "--help"])
