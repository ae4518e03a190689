"""What strangers wrote is printed as it is, and moves nothing on a terminal."""

import sys

import pytest

from probatum.cli import output

SLY = "a\x1b[2Jb\x07c\x9b1;1Hd\re"
PLAIN = r"a\x1b[2Jb\x07c\x9b1;1Hd\re"


def test_lines_and_notes_hold_no_controls(capsys):
    output.print_lines((SLY, "tab\there"))
    output.print_facts({"name": SLY})
    output.note(SLY)
    said = capsys.readouterr()
    assert said.out == f"{PLAIN}\ntab\there\nname  {PLAIN}\n"
    assert said.err == f"{PLAIN}\n"


@pytest.mark.parametrize("is_terminal", [False, True])
def test_cells_hold_no_controls_and_no_markup(capsys, monkeypatch, is_terminal):
    """A node may register any address: one in brackets must not end the listing of all."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    cells = (SLY, "http://[/x]", "http://[fe80::1]:80", "[bold]b[/bold]")
    output.print_table(("a", "b", "c", "d"), (cells,), empty="")
    said = capsys.readouterr().out
    for cell in (PLAIN, *cells[1:]):
        assert cell in said
