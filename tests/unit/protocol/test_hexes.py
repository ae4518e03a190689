import pytest

from probatum.errors import Refusal
from probatum.protocol import hexes


def test_reads_what_documents_hold():
    assert hexes.digest_from_hex("ab" * 32) == b"\xab" * 32
    assert hexes.root_from_hex("ab" * 32) == b"\xab" * 32
    assert hexes.key_from_hex("01" * 32) == b"\x01" * 32
    assert hexes.address_from_document("0x" + "0a" * 20) == b"\x0a" * 20
    assert hexes.bytes_from_hex("") == b""


@pytest.mark.parametrize("text", ["AB" * 32, "a", "zz", "ab " * 32, "ab" * 31, "0x" + "ab" * 32])
def test_refuses_other_forms(text):
    with pytest.raises(Refusal) as caught:
        hexes.digest_from_hex(text)
    assert caught.value.code in {"hex.malformed", "primitive.bad-length"}


@pytest.mark.parametrize("text", ["0x" + "0A" * 20, "0X" + "0a" * 20, "0a" * 20, "0x0a"])
def test_refuses_other_addresses(text):
    with pytest.raises(Refusal) as caught:
        hexes.address_from_document(text)
    assert caught.value.code == "primitive.bad-address"
