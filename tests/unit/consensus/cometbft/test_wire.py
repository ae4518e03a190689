"""The codec by hand: bytes written out, and every no it says."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from probatum.consensus.cometbft import messages as m
from probatum.consensus.cometbft import parts as p
from probatum.consensus.cometbft import wire
from probatum.consensus.cometbft.frames import decode_response, encode_request, encode_response
from probatum.consensus.cometbft.schema import REQUEST_ENVELOPE, REQUESTS, RESPONSES
from probatum.consensus.cometbft.table import Field, Kind, Schema
from probatum.errors import Misuse, Refusal

SCHEMAS = {name: schema for _, name, schema in REQUESTS}
INFO, QUERY = SCHEMAS["info"], SCHEMAS["query"]


def test_defaults_are_left_out_and_messages_that_must_stand_stand_empty():
    assert wire.encode(INFO, m.RequestInfo()) == b""
    # time 6, last commit 2: written although there is nothing in them, as Go does.
    assert wire.encode(SCHEMAS["finalize_block"], m.RequestFinalizeBlock()) == b"\x12\x00\x32\x00"
    assert encode_response(m.ResponseCommit()) == b"\x02\x62\x00"


def test_negative_numbers_take_ten_bytes_and_a_time_never_set_is_year_one():
    request = m.RequestInitChain(time=p.GO_ZERO_TIME)
    written = wire.encode(SCHEMAS["init_chain"], request)
    assert written.hex() == "0a0b088092b8c398feffffff01"
    assert wire.decode(SCHEMAS["init_chain"], written) == request
    assert request.time.ms == -62_135_596_800_000


def test_a_commit_before_the_first_block_and_an_unknown_flag_are_values_too():
    vote = p.VoteInfo(validator=p.Validator(address=b"a" * 20, power=-1), block_id_flag=99)
    commit = p.CommitInfo(round=-1, votes=(vote, p.VoteInfo()))
    request = m.RequestProcessProposal(proposed_last_commit=commit, txs=(b"", b"x", b""))
    schema = SCHEMAS["process_proposal"]
    assert wire.decode(schema, wire.encode(schema, request)) == request


def test_milliseconds_are_rounded_down():
    assert p.Timestamp(seconds=1, nanos=999_999_999).ms == 1_999
    assert p.Timestamp(seconds=-1, nanos=1).ms == -1_000


@pytest.mark.parametrize(
    ("hexes", "what"),
    [
        ("10", "ends within"),
        ("0a05616263", "longer than it"),
        ("0a8080808080808080808001", "more than 64 bits"),
        ("10ffffffffffffffffff02", "more than 64 bits"),
        ("10ffffffffffffffffffff01", "more than 64 bits"),
        ("10ff", "ends within"),
        ("0801", "wrong wire type 0"),
        ("12026162", "wrong wire type 2"),
        ("0d61626364", "wrong wire type 5"),
        ("0b0c", "wrong wire type 3"),
        ("fb07fc07", "wire type 3"),
        ("fe0700", "wire type 6"),
        ("f9076162", "ends within"),
        ("fd0761", "ends within"),
        ("fa07ff", "ends within"),
        ("fa0703ab", "ends within"),
        ("0000", "number 0"),
        ("8080808010" + "00", "number 536870912"),
        ("0a01ff", "no UTF-8"),
        ("0a03eda080", "no UTF-8"),
    ],
)
def test_what_no_encoder_writes_is_refused(hexes, what):
    with pytest.raises(Refusal, match=what) as caught:
        wire.decode(INFO, bytes.fromhex(hexes))
    assert caught.value.code == "abci.malformed"


def test_a_field_does_not_reach_beyond_its_message():
    """The bytes are there, but they are the next message's."""
    schema = SCHEMAS["prepare_proposal"]
    for inner in ("08", "08ff", "12", "1205"):
        framed = bytes.fromhex(f"1a{len(inner) // 2:02x}{inner}") + b"\x01\x28\x01\x28\x01"
        with pytest.raises(Refusal, match=r"within a field|longer than it"):
            wire.decode(schema, framed)


def test_the_last_of_two_counts_even_if_it_is_zero():
    assert wire.decode(INFO, bytes.fromhex("10051000")) == m.RequestInfo(block_version=0)
    assert wire.decode(INFO, bytes.fromhex("0a01610a0162")) == m.RequestInfo(version="b")
    assert wire.decode(INFO, bytes.fromhex("90808000" + "05")).block_version == 5, "a long tag"


def test_what_does_not_fit_is_cut_off_as_proto3_says():
    chunk = SCHEMAS["load_snapshot_chunk"]
    assert wire.decode(chunk, bytes.fromhex("10818080801f")).format == 0xF0000001
    assert wire.decode(chunk, bytes.fromhex("1081808080f0ff01")).format == 1
    assert wire.decode(QUERY, bytes.fromhex("2080808000")).prove is False
    assert wire.decode(QUERY, bytes.fromhex("2080808001")).prove is True


def test_strangers_text_is_mended_since_a_refusal_would_stop_the_node():
    assert wire.decode(QUERY, b"\x12\x03a\xffb").path == "a�b"


def test_numbers_come_packed_or_one_by_one():
    table = {name: schema for _, name, schema in RESPONSES}["apply_snapshot_chunk"]
    value = m.ResponseApplySnapshotChunk(result=3, refetch_chunks=(0, 1, 300))
    assert wire.encode(table, value).hex() == "0803" + "12040001ac02"
    for written in ("080312040001ac02", "1200" + "1000" + "120301ac02" + "0803"):
        assert wire.decode(table, bytes.fromhex(written)).refetch_chunks == (0, 1, 300)
    with pytest.raises(Refusal, match="within a field"):
        wire.decode(table, bytes.fromhex("1202ac80" + "01"))


def test_items_are_counted_but_for_bytes(monkeypatch):
    monkeypatch.setattr(wire, "MAX_ITEMS", 3)
    schema = SCHEMAS["finalize_block"]
    assert len(wire.decode(schema, b"\x0a\x00" * 5).txs) == 5
    assert len(wire.decode(schema, b"\x1a\x00" * 3).misbehavior) == 3
    with pytest.raises(Refusal, match="more than 3 misbehavior") as caught:
        wire.decode(schema, b"\x1a\x00" * 4)
    assert caught.value.code == "abci.too-many"


def test_a_key_is_one_of_two():
    schema = SCHEMAS["init_chain"]
    (update,) = wire.decode(schema, bytes.fromhex("22060a040a001200")).validators
    assert update.pub_key == p.PublicKey(secp256k1=b"")
    key = p.PublicKey(ed25519=b"e", secp256k1=b"s")
    with pytest.raises(Misuse, match="more than one choice"):
        wire.encode(schema, m.RequestInitChain(validators=(p.ValidatorUpdate(pub_key=key),)))


@pytest.mark.parametrize(
    "value",
    [
        m.ResponseCommit(retain_height=1 << 63),
        m.ResponseCommit(retain_height=None),
        m.ResponseCheckTx(code=-1),
        m.ResponseCheckTx(code=1 << 32),
        m.ResponseCheckTx(data="text"),
        m.ResponseCheckTx(log=b"bytes"),
        m.ResponseCheckTx(log="\ud800"),
        m.ResponseInfo(app_version=-1),
        m.ResponseProcessProposal(status=1 << 31),
        m.ResponseApplySnapshotChunk(refetch_chunks=(1, -1)),
    ],
)
def test_what_no_field_can_hold_is_the_callers_bug(value):
    with pytest.raises(Misuse) as caught:
        encode_response(value)
    assert caught.value.code == "abci.unencodable"


def test_an_envelope_without_a_call_that_we_know_is_refused():
    assert wire.decode(REQUEST_ENVELOPE, b"\xaa\x01\x00") is None
    with pytest.raises(Refusal) as caught:
        decode_response(b"")
    assert caught.value.code == "abci.unknown-call"


def test_a_table_that_is_not_its_classes_is_refused():
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Value:
        one: int = 0

    with pytest.raises(Misuse, match="not that of its class"):
        Schema(Value, Field(1, "two", Kind.INT64))
    with pytest.raises(Misuse, match="not that of its class"):
        Schema(Value)


def test_every_message_has_its_table():
    assert {schema.make for _, _, schema in REQUESTS} == set(m.Request.__args__)
    assert {schema.make for _, _, schema in RESPONSES} == set(m.Response.__args__)
    for kind in m.Request.__args__:
        assert len(encode_request(kind())) >= 3
