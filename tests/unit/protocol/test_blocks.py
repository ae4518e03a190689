"""A block's inputs: one encoding, bounded, and nothing of a validator where there is none."""

import msgspec
import pytest

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.blocks import Block, Misbehaviour, Vote
from probatum.protocol.encoding import decode, encode
from probatum.protocol.hashing import sha256
from probatum.protocol.primitives import make_consensus_address, make_consensus_key
from probatum.protocol.validators import compute_consensus_address

ADDRESS = compute_consensus_address(make_consensus_key(sha256(b"validator")))
MISBEHAVIOUR = Misbehaviour(
    kind="duplicate-vote", validator=ADDRESS, height=3, time_ms=4, power=5, total_power=20
)


def make(**changes):
    return Block(height=7, time_ms=8, transactions=(b"one",), **changes)


def take(data):
    return decode(Block, data, limit_bytes=limits.BLOCK_BYTES)


@pytest.mark.parametrize(
    "block",
    [
        make(),
        make(proposer=ADDRESS),
        make(
            proposer=ADDRESS,
            votes=(Vote(validator=ADDRESS, signed=True), Vote(validator=ADDRESS, signed=False)),
            misbehaviour=(MISBEHAVIOUR,),
        ),
    ],
)
def test_every_input_is_kept(block):
    assert take(encode(block)) == block


def test_an_engine_without_validators_gives_empty_inputs():
    assert msgspec.msgpack.decode(encode(make())) == [7, 8, [b"one"], None, [], []]


@pytest.mark.parametrize(
    "values",
    [
        [7, 8, [b"one"]],
        [7, 8, [b"one"], b"", [], []],
        [7, 8, [b"one"], bytes(21), [], []],
        [7, 8, [b"one"], None, [[bytes(19), True]], []],
        [7, 8, [b"one"], None, [[bytes(20), 1]], []],
        [7, 8, [b"one"], None, [[bytes(20), True]] * (limits.VALIDATORS + 1), []],
        [7, 8, [b"one"], None, [], [["other", bytes(20), 3, 4, 5, 20]]],
        [7, 8, [b"one"], None, [], [["duplicate-vote", bytes(20), 3, 4, -5, 20]]],
        [7, 8, [b"one"], None, [], [["duplicate-vote", bytes(20), 3, 4, 5]]],
        [7, 8, [b"one"], None, [], [], b"beacon"],
    ],
)
def test_other_inputs_are_refused(values):
    with pytest.raises(Refusal) as caught:
        take(msgspec.msgpack.encode(values))
    assert caught.value.code in {"encoding.malformed", "encoding.not-canonical"}


def test_a_validators_address_is_the_beginning_of_its_keys_hash():
    key = make_consensus_key(bytes(range(32)))
    assert compute_consensus_address(key).hex() == "630dcd2966c4336691125448bbb25b4ff412a49c"
    with pytest.raises(Refusal):
        make_consensus_key(bytes(31))
    with pytest.raises(Refusal):
        make_consensus_address(bytes(21))
