"""A home's trust file is renewed while its node runs, by headers that it leads to (`LIGHT-1`)."""

import asyncio
import os
import time

import pytest

from probatum.client import whole_files
from probatum.client.trust_file import save_trust
from probatum.errors import Fault
from probatum.nodes.shell.trust_keeping import is_due, keep_trust
from probatum.protocol.messages import GetHeader, GotHeader
from probatum.protocol.trust import decode_trust, encode_trust
from tests.factories import make_trust as make_key_trust
from tests.light_chain import PERIOD_MS, LightChain, get_now_ms, make_voters

SETS = {0: make_voters(range(4)), 5: make_voters(range(2, 6)), 9: make_voters(range(4, 8))}
CHAIN = LightChain(SETS, length=14)
STRANGERS = LightChain({0: make_voters(range(20, 24))}, length=14)
OLD = CHAIN.make_trust(0)
LATE = OLD.time_ms + PERIOD_MS // 2


class Ledger:
    """A full node at the end of a wire."""

    def __init__(self, chain=CHAIN, at=13):
        self.chain, self.at, self.asked = chain, at, 0

    async def ask(self, endpoint, message, timeout_s):
        self.asked += 1
        assert isinstance(message, GetHeader)
        if self.chain is None:
            raise Fault("transport.unreachable", "nobody answers")
        return GotHeader(header=self.chain.sign(message.height or self.at))


@pytest.fixture
def look(tmp_path, monkeypatch):
    """Let a node look after its trust file once; what it reported."""

    def go(ledger, trust=OLD, now_ms=LATE):
        path = tmp_path / "trust.json"
        path.write_bytes(encode_trust(trust) + b"\n")
        monkeypatch.setattr(time, "time_ns", lambda: now_ms * 1_000_000)
        said = []

        async def story():
            chore = asyncio.create_task(
                keep_trust(tmp_path, "http://ledger", ledger, said.append, pause_s=3_600)
            )
            done, _ = await asyncio.wait({chore}, timeout=0.3)
            chore.cancel()
            return bool(done)

        ended = asyncio.run(story())
        return decode_trust(path.read_bytes()), [report.code for report in said], ended

    return go


def test_it_is_renewed_once_a_quarter_of_its_period_is_over(look):
    assert not is_due(OLD, OLD.time_ms + PERIOD_MS // 4)
    assert is_due(OLD, OLD.time_ms + PERIOD_MS // 4 + 1)
    assert look(Ledger()) == (CHAIN.make_trust(13), ["trust.renewed"], False)
    ledger = Ledger()
    assert look(ledger, now_ms=get_now_ms(20)) == (OLD, [], False)
    assert ledger.asked == 0


def test_a_lying_or_silent_full_node_changes_nothing(look):
    assert look(Ledger(STRANGERS)) == (OLD, ["light.too-little-trust"], False)
    assert look(Ledger(None)) == (OLD, ["transport.unreachable"], False)


def test_what_has_lapsed_is_said_to_have(look):
    assert look(Ledger(), now_ms=OLD.time_ms + PERIOD_MS) == (OLD, ["light.expired"], False)


def test_a_ledger_that_is_no_further_is_asked_again_later(look):
    trust = CHAIN.make_trust(13)
    assert look(Ledger(at=13), trust, trust.time_ms + PERIOD_MS // 2) == (
        trust,
        ["client.nothing-newer"],
        False,
    )


def test_a_key_is_left_alone(look):
    ledger = Ledger()
    assert look(ledger, make_key_trust()) == (make_key_trust(), [], True)
    assert ledger.asked == 0


def test_a_folder_that_cannot_be_written_is_reported(look, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(whole_files.os, "fsync", refuse)
    assert look(Ledger()) == (OLD, ["store.cannot-write"], False)


def test_a_file_that_several_share_by_links_is_renewed_for_all(look, tmp_path):
    shared = tmp_path / "shared" / "trust.json"
    shared.parent.mkdir()
    shared.write_bytes(b"")
    (tmp_path / "trust.json").symlink_to(shared)
    assert look(Ledger())[0] == CHAIN.make_trust(13)
    assert (tmp_path / "trust.json").is_symlink()
    assert decode_trust(shared.read_bytes()) == CHAIN.make_trust(13)


def test_nobody_makes_a_renewal_write_elsewhere(tmp_path):
    """In a folder of many, another could guess the draft's name and lay a link there."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / f".trust.json.{os.getpid()}").symlink_to(victim)
    save_trust(tmp_path / "trust.json", OLD)
    assert victim.read_bytes() == b"precious"
    assert decode_trust((tmp_path / "trust.json").read_bytes()) == OLD
