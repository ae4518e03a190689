"""`PROTO-1`: one value, one encoding, and nothing else is taken."""

import subprocess
import sys

import msgspec
import pytest

from probatum.errors import Refusal
from probatum.protocol.encoding import (
    Document,
    LedgerValue,
    decode,
    decode_document,
    encode,
    encode_document,
)


class Pair(LedgerValue, frozen=True, kw_only=True):
    left: int
    right: str


class Page(Document, frozen=True, kw_only=True):
    title: str
    count: int = 0


def refused_code(call):
    with pytest.raises(Refusal) as caught:
        call()
    return caught.value.code


def test_a_ledger_value_is_an_array_in_field_order():
    assert encode(Pair(left=1, right="a")) == msgspec.msgpack.encode([1, "a"])


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (msgspec.msgpack.encode([1, "a", 2]), "encoding.malformed"),
        (msgspec.msgpack.encode([1]), "encoding.malformed"),
        (msgspec.msgpack.encode(["1", "a"]), "encoding.malformed"),
        (msgspec.msgpack.encode([1, "a"]) + b"\0", "encoding.malformed"),
        (b"\x92\xcd\x00\x01\xa1a", "encoding.not-canonical"),
        (b"\x92\x01\xd9\x01a", "encoding.not-canonical"),
        (b"\x92\x01\xa1\xff", "encoding.malformed"),
        (b"", "encoding.malformed"),
        (b"\x91" * 5000, "encoding.malformed"),
        (bytes(100_000), "encoding.too-large"),
    ],
)
def test_other_encodings_are_refused(data, code):
    assert refused_code(lambda: decode(Pair, data, limit_bytes=10_000)) == code


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b'{"title":"a","count":0}', "encoding.not-canonical"),
        (b'{"title": "a"}', "encoding.not-canonical"),
        (b'{"count":1,"title":"a"}', "encoding.not-canonical"),
        (b'{"title":"\\u0061"}', "encoding.not-canonical"),
        (b'{"title":"a","title":"a"}', "encoding.not-canonical"),
        (b'{"title":"a","more":1}', "encoding.malformed"),
        (b'{"title":"a"}\n', "encoding.not-canonical"),
        (b'{"title":"a","count":"1"}', "encoding.malformed"),
        (b"[" * 5000, "encoding.malformed"),
    ],
)
def test_other_documents_are_refused(data, code):
    assert refused_code(lambda: decode_document(Page, data, limit_bytes=10_000)) == code


def test_documents_leave_defaults_out():
    assert encode_document(Page(title="a")) == b'{"title":"a"}'
    assert decode_document(Page, b'{"title":"a","count":2}', limit_bytes=99).count == 2


RACE = """
import sys, threading, msgspec
from probatum.protocol.encoding import LedgerValue, decode, encode

sys.setswitchinterval(1e-6)
for turn in range(20):
    kind, value = int, 0
    for number in range(25):
        fields = [("first", kind), *((f"f{place}", int) for place in range(5))]
        kind = msgspec.defstruct(
            f"Nested{number}", fields, bases=(LedgerValue,), frozen=True, kw_only=True
        )
        value = [value, 0, 0, 0, 0, 0]
    data, together, right = msgspec.msgpack.encode(value), threading.Barrier(6), []

    def go():
        together.wait()
        right.append(encode(decode(kind, data, limit_bytes=10_000)) == data)

    threads = [threading.Thread(target=go) for _ in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert right == [True] * 6
print("whole")
"""


def test_threads_may_decode_a_kind_for_the_first_time_together():
    """What a library learns of a struct is half there meanwhile: without the lock it crashes."""
    done = subprocess.run([sys.executable, "-c", RACE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "whole\n"), done.stderr
