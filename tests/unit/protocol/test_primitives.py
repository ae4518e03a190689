"""Sizes are checked where loose bytes become values."""

import pytest

from probatum.errors import Refusal
from probatum.protocol import primitives


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (primitives.make_digest, 32),
        (primitives.make_root, 32),
        (primitives.make_address, 20),
        (primitives.make_operating_key, 32),
        (primitives.make_operating_signature, 64),
        (primitives.make_recoverable_signature, 65),
        (primitives.make_salt, 32),
        (primitives.make_nonce, 32),
    ],
)
def test_only_the_right_size_is_taken(make, size):
    assert make(bytes(size)) == bytes(size)
    for wrong in (0, size - 1, size + 1):
        with pytest.raises(Refusal) as caught:
            make(bytes(wrong))
        assert caught.value.code == "primitive.bad-length"


def test_a_request_id_is_26_characters_and_one_to_one():
    low = primitives.make_request_id(bytes(16))
    high = primitives.make_request_id(b"\xff" * 16)
    assert (low, high) == ("0" * 26, "7" + "Z" * 25)
    assert primitives.check_request_id(high) == high


@pytest.mark.parametrize(
    "text", ["", "0" * 25, "0" * 27, "8" + "0" * 25, "I" * 26, "0" * 25 + "a", "0" * 25 + "\n"]
)
def test_other_texts_are_no_request_ids(text):
    with pytest.raises(Refusal) as caught:
        primitives.check_request_id(text)
    assert caught.value.code == "primitive.bad-request-id"


def test_addresses_read_back():
    address = primitives.make_address(bytes(range(20)))
    text = primitives.address_to_hex(address)
    assert primitives.address_from_hex(text.upper().replace("0X", "0x")) == address
    for wrong in (text[:-1], text[2:], "0x" + "g" * 40, "0x" + " " * 40, "0x" + "1 " * 20):
        with pytest.raises(Refusal):
            primitives.address_from_hex(wrong)
