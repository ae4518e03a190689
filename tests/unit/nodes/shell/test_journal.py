"""The journal: what was flushed is there, torn tails are cut, damage is refused, one process."""

import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
import zlib
from itertools import pairwise

import pytest

from probatum.errors import Fault, Misuse
from probatum.nodes.shell import journal as journal_page
from probatum.nodes.shell.journal import lock_home, open_journal

GROUPS = [(b"one",), (b"", b"two" * 40), (b"three", b"\0" * 9, b"four"), (b"five",)]
FLAT = tuple(record for group in GROUPS for record in group)


def write(path, groups=GROUPS):
    journal, _ = open_journal(path)
    ends = []
    for group in groups:
        journal.append(group)
        ends.append(path.stat().st_size)
    journal.close()
    return ends


def read(path):
    journal, recovered = open_journal(path)
    journal.close()
    return dataclasses.replace(recovered, records=tuple(recovered.records))


def test_what_was_appended_is_read_in_order(tmp_path):
    write(tmp_path / "j")
    assert read(tmp_path / "j").records == FLAT
    assert read(tmp_path / "j").cut_bytes == 0


def test_a_new_journal_is_empty_and_private(tmp_path):
    assert read(tmp_path / "j").records == ()
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600


def test_a_reopened_journal_goes_on(tmp_path):
    write(tmp_path / "j")
    write(tmp_path / "j", [(b"six",)])
    assert read(tmp_path / "j").records == (*FLAT, b"six")


def test_a_tail_torn_at_any_byte_is_cut_off(tmp_path):
    """LOG-1: a prefix of the records is found, with every one that had been flushed."""
    ends = write(tmp_path / "whole")
    data = (tmp_path / "whole").read_bytes()
    path = tmp_path / "torn"
    for size in range(len(data)):
        path.write_bytes(data[:size])
        recovered = read(path)
        flushed = sum(len(group) for group, end in zip(GROUPS, ends, strict=True) if end <= size)
        assert recovered.records == FLAT[: len(recovered.records)]
        assert len(recovered.records) >= flushed
        assert read(path) == journal_page.Recovered(records=recovered.records, cut_bytes=0)
        if size not in ends and size > 0 and len(recovered.records) == 0:
            assert recovered.cut_bytes > 0 or size == journal_page._START_BYTES


def test_a_torn_journal_takes_new_records(tmp_path):
    ends = write(tmp_path / "j")
    os.truncate(tmp_path / "j", ends[-1] - 1)
    write(tmp_path / "j", [(b"again",)])
    assert read(tmp_path / "j").records == (*FLAT[:-1], b"again")


def test_any_flipped_bit_is_found(tmp_path):
    """Never a wrong record: at the tail what was flipped is cut, before it the file is refused."""
    ends = write(tmp_path / "whole")
    data = (tmp_path / "whole").read_bytes()
    path = tmp_path / "flipped"
    outcomes = set()
    for place in range(journal_page._START_BYTES, len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 1 << (place % 8)
        path.write_bytes(flipped)
        try:
            recovered = read(path)
        except Fault as fault:
            outcomes.add(fault.code)
            # The last flush has no witness after it, so it cannot be told from a torn one.
            assert place < ends[-2]
        else:
            outcomes.add("cut")
            assert recovered.records == FLAT[: len(recovered.records)]
            assert len(recovered.records) < len(FLAT)
            # What two later flushes show to have been on disk is never given up silently.
            assert place >= ends[-3]
    assert outcomes == {"journal.corrupt", "cut"}


def test_another_file_is_no_journal(tmp_path):
    (tmp_path / "j").write_bytes(b"something else entirely, and long")
    with pytest.raises(Fault) as refused:
        open_journal(tmp_path / "j")
    assert refused.value.code == "journal.foreign"
    assert (tmp_path / "j").read_bytes() == b"something else entirely, and long"


def test_two_holders_are_refused(tmp_path):
    journal, _ = open_journal(tmp_path / "j")
    with pytest.raises(Fault) as refused:
        open_journal(tmp_path / "j")
    assert refused.value.code == "journal.locked"
    journal.close()
    assert read(tmp_path / "j").records == ()


def test_a_home_has_one_process(tmp_path):
    lock = lock_home(tmp_path)
    with pytest.raises(Fault) as refused:
        lock_home(tmp_path)
    assert refused.value.code == "home.locked"
    os.close(lock)
    os.close(lock_home(tmp_path))
    with pytest.raises(Fault) as refused:
        lock_home(tmp_path / "nowhere")
    assert refused.value.code == "home.unreadable"


def test_a_record_too_long_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(journal_page, "RECORD_BYTES", 10)
    journal, _ = open_journal(tmp_path / "j")
    with pytest.raises(Misuse) as refused:
        journal.append([b"fine", b"x" * 11])
    assert refused.value.code == "journal.record-too-large"
    journal.append([b"fine"])
    journal.close()
    assert read(tmp_path / "j").records == (b"fine",)


def test_nothing_is_taken_after_a_failed_write(tmp_path):
    """A failed flush leaves unknown what is on disk; retrying it would lie."""
    journal, _ = open_journal(tmp_path / "j")
    journal.append([b"kept"])
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, journal._descriptor)
    os.close(full)
    with pytest.raises(Fault) as refused:
        journal.append([b"lost"])
    assert (refused.value.code, refused.value.retryable) == ("journal.write-failed", False)
    with pytest.raises(Misuse):
        journal.append([b"more"])
    journal.close()
    assert read(tmp_path / "j").records == (b"kept",)


def test_a_forged_record_inside_a_torn_one_does_not_stop_the_start(tmp_path):
    """Who writes a record's bytes cannot know the file's chance, so cannot fake a later flush."""
    path = tmp_path / "j"
    inner = b"evil"
    head = len(inner).to_bytes(4, "big") + (2).to_bytes(4, "big")
    forged = head + zlib.crc32(inner, zlib.crc32(head)).to_bytes(4, "big") + inner
    ends = write(path, [(forged * 3,)])
    os.truncate(path, ends[-1] - 1)
    assert read(path).records == ()


def test_recovered_records_are_those_of_before_however_often_they_are_read(tmp_path):
    write(tmp_path / "j")
    journal, recovered = open_journal(tmp_path / "j")
    journal.append((b"later",))
    journal.close()
    assert [tuple(recovered.records) for _ in range(2)] == [FLAT, FLAT]
    (tmp_path / "j").unlink()
    with pytest.raises(Fault) as caught:
        tuple(recovered.records)
    assert caught.value.code == "journal.unreadable"


WRITER = """
import sys
from pathlib import Path
from probatum.nodes.shell.journal import open_journal
journal, recovered = open_journal(Path(sys.argv[1]))
number = len(tuple(recovered.records))
while True:
    group = [b"%d" % (number + n) + b"." * 700 for n in range(1 + number % 5)]
    journal.append(group)
    number += len(group)
    print(number, flush=True)
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path, seed_round):
    chance = random.Random(seed_round)
    for _ in range(4):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "j")], stdout=subprocess.PIPE, text=True
        )
        child.stdout.readline()
        time.sleep(chance.uniform(0.01, 0.1))
        child.send_signal(signal.SIGKILL)
        lines = child.communicate()[0].splitlines()
        acknowledged = int(lines[-1]) if lines else 0
        records = read(tmp_path / "j").records
        assert len(records) >= acknowledged
        assert [int(r.split(b".")[0]) for r in records] == list(range(len(records)))


def keep_the_last(count):
    def compact(read):
        gone = len(list(read())) - count
        return (record for place, record in enumerate(read()) if place >= gone)

    return compact


def test_an_append_that_compacting_follows_is_not_brief(tmp_path):
    journal, _ = open_journal(tmp_path / "j")
    assert journal.is_brief(1 << 40)
    journal.keep_compact(keep_the_last(0), from_bytes=200_000)
    assert journal.is_brief(100_000)
    assert not journal.is_brief(200_000)
    journal.append([bytes(100_000)])
    assert journal.is_brief(10_000)
    assert not journal.is_brief(100_000)
    journal.close()
    assert not journal.is_brief(1)


def test_a_journal_is_compacted_whenever_it_has_doubled(tmp_path):
    path = tmp_path / "j"
    journal, _ = open_journal(path)
    for number in range(3):
        journal.append([b"early %d" % number])
    journal.keep_compact(keep_the_last(10), from_bytes=1_000)
    sizes = []
    for number in range(400):
        journal.append([b"%03d" % number + bytes(50)])
        sizes.append(path.stat().st_size)
    journal.close()
    assert max(sizes) < 2_000
    assert sum(after < before for before, after in pairwise(sizes)) > 10
    found = [int(record[:3]) for record in read(path).records]
    assert found == list(range(400 - len(found), 400))
    assert len(found) >= 10
    assert not (tmp_path / "j.new").exists()


def test_a_large_journal_is_compacted_at_once_and_goes_on(tmp_path):
    path = tmp_path / "j"
    write(path)
    journal, _ = open_journal(path)
    journal.keep_compact(keep_the_last(2), from_bytes=1)
    assert read_beside(path) == FLAT[-2:]
    with pytest.raises(Fault, match=r"journal\.locked"):
        open_journal(path)
    journal.append([b"six"])
    journal.close()
    assert read(path).records[-1] == b"six"


def read_beside(path):
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    return read(copy).records


def test_a_journal_that_cannot_be_compacted_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "j"
    write(path)
    (tmp_path / "j.new").mkdir()
    journal, _ = open_journal(path)
    journal.keep_compact(keep_the_last(0), from_bytes=1)
    journal.append([b"six"])
    journal.close()
    assert read(path).records == (*FLAT, b"six")


@pytest.mark.parametrize("moment", ["while it is copied", "before it takes the place"])
def test_a_crash_during_compaction_loses_nothing(tmp_path, monkeypatch, moment):
    path = tmp_path / "j"
    write(path)
    journal, _ = open_journal(path)

    class Crash(Exception):
        pass

    def crash(*_):
        raise Crash

    compact = keep_the_last(1)
    if moment == "while it is copied":
        compact = crash
    else:
        monkeypatch.setattr(type(path), "replace", crash)
    with pytest.raises(Crash):
        journal.keep_compact(compact, from_bytes=1)
    os.close(journal._descriptor)
    assert read(path).records == FLAT
    monkeypatch.undo()
    journal, _ = open_journal(path)
    journal.keep_compact(keep_the_last(1), from_bytes=1)
    journal.close()
    assert read(path).records == FLAT[-1:]


@pytest.mark.parametrize("at", [40, 900, 1_900])
def test_a_damaged_journal_is_not_compacted_to_what_stands_before_the_damage(tmp_path, at):
    """LOG-1, PAY-1: answers and charges after it would be forgotten, and nobody would be told."""
    path = tmp_path / "j"
    journal, _ = open_journal(path)
    for number in range(20):
        journal.append([b"%100d" % number])
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))
    damaged = path.read_bytes()
    journal.keep_compact(lambda read: read(), from_bytes=1)
    assert path.read_bytes() == damaged
    journal.append([b"goes on"])
    journal.append([b"goes on"])
    journal.close()
    with pytest.raises(Fault) as caught:
        open_journal(path)
    assert caught.value.code == "journal.corrupt"
