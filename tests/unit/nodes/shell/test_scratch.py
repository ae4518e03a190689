import resource
import signal

import pytest

from probatum.errors import Fault, Misuse
from probatum.nodes.inference.logbook import SessionLog
from probatum.nodes.shell.scratch import ScratchFile
from probatum.protocol.hash_rows import HASH_BYTES, RUN_HASHES
from probatum.protocol.hashing import sha256
from tests.unit.nodes.network import operating

KEY = operating("a").key


def test_what_was_put_is_there_and_no_name_is_left(tmp_path):
    scratch = ScratchFile(tmp_path, run_bytes=4)
    assert [scratch.put(run) for run in (b"zero", b"one!", b"two!")] == [0, 1, 2]
    assert [scratch.get(number) for number in (2, 0, 1)] == [b"two!", b"zero", b"one!"]
    assert list(tmp_path.iterdir()) == []
    for misuse in (lambda: scratch.put(b"longer"), lambda: scratch.get(3)):
        with pytest.raises(Misuse):
            misuse()
    scratch.close()


def test_a_disk_that_takes_no_more_is_a_fault(tmp_path):
    scratch = ScratchFile(tmp_path, run_bytes=4)
    scratch.put(b"zero")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, before[1]))
    try:
        with pytest.raises(Fault) as caught:
            scratch.put(b"one!")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.code == "scratch.failed"
    assert scratch.get(0) == b"zero"
    with pytest.raises(Fault):
        ScratchFile(tmp_path / "nowhere", run_bytes=4)
    scratch.close()


def test_a_log_of_which_most_is_in_a_scratch_file_shows_the_same_tiles(tmp_path):
    scratch = ScratchFile(tmp_path, run_bytes=HASH_BYTES * RUN_HASHES)
    logs = (SessionLog(0, KEY), SessionLog(0, KEY, scratch))
    count = 1_500
    for log in logs:
        for number in range(count):
            log.append(sha256(b"%d" % number))
        log.mark_durable(count)
    assert logs[0].get_root(count) == logs[1].get_root(count)
    for path in ("tile/entries/000", "tile/entries/005.p/220", "tile/0/001", "tile/1/000.p/5"):
        assert logs[0].get_tile(path) == logs[1].get_tile(path)
    assert all(logs[1].get_entry(n) == sha256(b"%d" % n) for n in (0, 255, 256, count - 1))
    assert logs[0].get_inclusion(3, count) == logs[1].get_inclusion(3, count)
    scratch.close()
