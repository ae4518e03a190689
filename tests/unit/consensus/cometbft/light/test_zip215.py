"""The engine's rule for signatures, held to the library that the engine uses (`LIGHT-1`)."""

import json
from pathlib import Path

import pytest

from probatum.consensus.cometbft.light.zip215 import is_signature
from probatum.protocol.ed25519 import OperatingSigner
from tests.light_chain import ORDER

ROWS = json.loads(
    (Path(__file__).parents[5] / "vectors" / "cometbft" / "zip215.json").read_text("utf-8")
)
SIGNER = OperatingSigner(bytes(range(32)))
SIGNED = bytes(SIGNER.sign(b"a vote"))


@pytest.mark.parametrize("row", ROWS)
def test_what_the_engine_takes_is_taken(row):
    read = (bytes.fromhex(row[name]) for name in ("key", "message", "signature"))
    assert is_signature(*read) is row["holds"]


def test_what_the_strict_rule_takes_is_taken():
    for number in range(20):
        signer, message = OperatingSigner(bytes([number]) * 32), b"message %d" % number
        assert is_signature(signer.key, message, signer.sign(message))
        assert not is_signature(signer.key, message + b"!", signer.sign(message))


@pytest.mark.parametrize(
    ("key", "signature"),
    [
        (SIGNER.key, SIGNED[:63]),
        (SIGNER.key, SIGNED + b"\0"),
        (SIGNER.key[:31], SIGNED),
        (b"", b""),
        (SIGNER.key, SIGNED[:32] + b"\xff" * 32),
        (
            SIGNER.key,
            SIGNED[:32] + (int.from_bytes(SIGNED[32:], "little") + ORDER).to_bytes(32, "little"),
        ),
    ],
)
def test_other_sizes_and_a_second_form_are_refused(key, signature):
    assert not is_signature(key, b"a vote", signature)
