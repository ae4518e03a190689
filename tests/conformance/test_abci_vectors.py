"""Requests as a real CometBFT wrote them: read as what they say, written back alike (`ABCI-4`).

Google's protobuf and ours agree on much that Go might still do otherwise; here Go itself speaks.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from probatum.consensus.cometbft.frames import Frames, encode_request
from probatum.consensus.cometbft.varints import append_varint
from tests import abci

FILE = Path(__file__).parents[2] / "vectors" / "cometbft" / "abci.json"
ROWS = json.loads(FILE.read_text())["requests"]


def frame(data):
    head = bytearray()
    append_varint(head, len(data))
    return bytes(head) + data


def show(value):
    """Plain values, bytes as hex."""
    match value:
        case bytes():
            return value.hex()
        case dict():
            return {name: show(one) for name, one in value.items()}
        case list():
            return [show(one) for one in value]
        case _:
            return value


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['call']}: {row['what']}")
def test_what_the_engine_wrote_is_read_and_written_alike(row):
    written = bytes.fromhex(row["bytes"])
    (request,) = Frames().feed(frame(written))
    assert type(request).__name__ == f"Request{row['call']}"
    assert show(abci.show_ours(request)) == row["value"]
    theirs = abci.make_classes()["Request"].FromString(written)
    assert show(abci.show_theirs(getattr(theirs, theirs.WhichOneof("choice")))) == row["value"]
    if "\ufffd" not in row["value"].get("path", ""):
        assert encode_request(request) == frame(written)


def test_a_recorded_stream_is_read_wherever_it_is_torn():
    stream = b"".join(frame(bytes.fromhex(row["bytes"])) for row in ROWS)
    whole = list(Frames().feed(stream))
    assert len(whole) == len(ROWS)
    for size in (1, 2, 3, 7, 100, 1_000):
        reader = Frames()
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert [one for piece in pieces for one in reader.feed(piece)] == whole


def test_the_recording_has_what_matters():
    votes = [
        vote["block_id_flag"]
        for row in ROWS
        if row["call"] == "FinalizeBlock"
        for vote in row["value"]["decided_last_commit"]["votes"]
    ]
    assert {1, 2, 3} <= set(votes), "absent, signed, signed that there is none"
    assert any(row["value"].get("misbehavior") for row in ROWS)
    assert any(not row["value"].get("txs", True) for row in ROWS)
