"""The demo's parts: its files, its words, its forgeries, and who is killed."""

from __future__ import annotations

import gzip
import io
import zlib

import pytest
from rich.console import Console

from probatum.errors import Fault
from probatum.ops.demo.files import find_files
from probatum.ops.demo.killing import kill_the_holder, measure_journals
from probatum.ops.demo.offline import flip_bit, verify
from probatum.ops.demo.telling import Teller
from probatum.ops.tables import format_table, shorten


def test_files_are_what_they_are_said_to_be(tmp_path, repository):
    made = {file.expected: file.path for file in find_files(tmp_path, repository)}
    assert sorted(made) == ["elf", "gzip", "markdown", "png", "python", "txt"]
    assert made["elf"].read_bytes()[:4] == b"\x7fELF"
    assert gzip.decompress(made["gzip"].read_bytes()) == made["python"].read_bytes()
    picture = made["png"].read_bytes()
    start = picture.index(b"IDAT")
    size = int.from_bytes(picture[start - 4 : start], "big")
    assert len(zlib.decompress(picture[start + 4 : start + 4 + size])) == 64 * 65


def test_files_that_are_not_there_are_left_out(tmp_path):
    expected = [file.expected for file in find_files(tmp_path, tmp_path)]
    assert expected == ["elf", "python", "png", "gzip"]


@pytest.mark.parametrize("bit", [0, 7, 8, 23])
def test_one_bit_is_flipped_and_no_other(bit):
    changed = flip_bit(b"abc", bit)
    both = zip(b"abc", changed, strict=True)
    assert sum((before ^ after).bit_count() for before, after in both) == 1
    assert flip_bit(changed, bit) == b"abc"


def test_nonsense_does_not_verify(tmp_path):
    (tmp_path / "bundle").write_text("{}")
    (tmp_path / "trust").write_text("{}")
    verdict = verify(tmp_path / "bundle", tmp_path / "trust", cut_off=False)
    assert verdict.exit_code == 1
    assert "encoding." in "".join(verdict.lines)


def test_acts_are_counted_tables_are_whole_and_a_broken_promise_ends_the_story():
    screen = io.StringIO()
    teller = Teller(Console(file=screen, width=40))
    teller.act("Begin")
    teller.act("Go on")
    teller.table(("a", "b"), [("x" * 60, "[bold]"), ("y", "z")])
    said = screen.getvalue()
    assert "1. Begin" in said
    assert "2. Go on" in said
    assert "x" * 60 + "   [bold]\n" in said, "nothing is cut off or taken for markup"
    teller.promise(held=True, words="all is well")
    with pytest.raises(Fault, match="all is well") as caught:
        teller.promise(held=False, words="all is well")
    assert caught.value.code == "demo.promise-broken"


def test_tables_line_up():
    assert format_table(("a", "bb"), [("ccc", "d")]) == ("a     bb", "ccc   d")
    assert format_table((), [("ccc", "d"), ("e", "f")]) == ("ccc   d", "e     f")
    assert format_table((), []) == ()
    assert shorten("0x" + "12" * 20) == "0x121212…1212"
    assert shorten("-") == "-"


class Journals:
    """As much of a network as killing needs: homes with journals, and a hand that kills."""

    node_names = ("node-1", "node-2", "node-3")

    def __init__(self, folder):
        self.folder, self.dead = folder, ["node-3"]
        for name in self.node_names:
            (folder / name).mkdir()
            (folder / name / "journal").write_bytes(b"start")

    def is_running(self, name):
        return name not in self.dead

    def get_home(self, name):
        return self.folder / name

    def kill(self, name):
        self.dead.append(name)


def test_the_node_whose_journal_grows_is_killed(tmp_path):
    network = Journals(tmp_path)
    before = measure_journals(network)
    assert before == {"node-1": 5, "node-2": 5}
    (tmp_path / "node-2" / "journal").write_bytes(b"start, accepted")
    assert kill_the_holder(network, before, lambda: False, 5) == "node-2"
    assert network.dead == ["node-3", "node-2"]


def test_nobody_is_killed_when_the_answer_was_faster_or_nobody_took_it(tmp_path):
    network = Journals(tmp_path)
    before = measure_journals(network)
    assert kill_the_holder(network, before, lambda: False, 0.05) is None
    (tmp_path / "node-2" / "journal").write_bytes(b"start, accepted")
    turns = iter([False, True])
    assert kill_the_holder(network, before, lambda: next(turns), 5) is None
    assert network.dead == ["node-3"]
