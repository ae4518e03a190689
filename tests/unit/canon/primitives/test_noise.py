"""The primitive Gumbel: which word, of which bits (`GUMBEL-1`)."""

import hashlib
import struct

import pytest

from probatum.canon.arith.gumbel import compute_gumbel
from probatum.canon.graph.types import TensorType
from probatum.canon.primitives.interface import DIRECT_READS
from probatum.canon.primitives.registry import get_primitive
from probatum.errors import Refusal
from tests.unit.canon.primitives.cases import make_node, run

NONCE = bytes(range(32))
I64 = "int64"


def derive_word(nonce, choice, position, token):
    """The clause in other words: `struct` packs two's complement."""
    key = hashlib.sha256(b"probatum/gumbel/1" + nonce + struct.pack(">Q", choice % 2**64)).digest()
    unsigned = token % 2**64
    text = key + struct.pack(">QQ", position % 2**64, unsigned // 8)
    return struct.unpack(">8I", hashlib.sha256(text).digest())[unsigned % 8]


def read_float(bits):
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def noise(choice, position, tokens, nonce=NONCE):
    words = struct.unpack("<4Q", nonce)
    signless = [token % 2**64 for token in tokens]
    return run(
        "Gumbel",
        (I64, (4,), words),
        (I64, (1,), [choice % 2**64]),
        (I64, (), [position % 2**64]),
        (I64, (len(tokens),), signless),
    )


@pytest.mark.parametrize(("choice", "position"), [(0, 0), (1, 7), (-1, -(2**63)), (2**63 - 1, 3)])
def test_each_word_is_the_clause_s(choice, position):
    tokens = [0, 1, 7, 8, 9, 49151, -1, -(2**63), 2**63 - 1]
    want = [compute_gumbel(derive_word(NONCE, choice, position, one)) for one in tokens]
    assert [read_float(bits) * 2**18 for bits in noise(choice, position, tokens)] == want


def test_everything_that_it_reads_matters():
    base = noise(0, 0, [5])
    assert base == noise(0, 0, [5])
    others = [noise(1, 0, [5]), noise(0, 1, [5]), noise(0, 0, [13]), noise(0, 0, [4])]
    others += [noise(0, 0, [5], bytes(place) + b"\1" + bytes(31 - place)) for place in range(32)]
    assert all(one != base for one in others)


def test_positions_and_tokens_are_broadcast():
    words = struct.unpack("<4Q", NONCE)
    rows = run(
        "Gumbel",
        (I64, (4,), words),
        (I64, (1,), [2]),
        (I64, (3, 1), [0, 1, 2]),
        (I64, (2,), [40, 41]),
    )
    assert rows == [bits for row in range(3) for bits in noise(2, row, [40, 41])]


def test_it_is_direct():
    node = make_node("Gumbel", [(I64, (4,)), (I64, (1,)), (I64, (3, 1)), (I64, (2,))])
    bounds = get_primitive("Gumbel", 1).bound_reads(node)
    assert sum(one.runs * one.length for one in bounds) == 7 <= DIRECT_READS


@pytest.mark.parametrize(
    "shapes", [((3,), (1,), (), ()), ((4,), (), (), ()), ((4,), (1,), (2,), (3,)), ((4,), (1,), ())]
)
def test_other_shapes_are_refused(shapes):
    inputs = tuple(TensorType(I64, shape) for shape in shapes)
    with pytest.raises(Refusal, match=r"canon\.wrong-operands"):
        get_primitive("Gumbel", 1).infer(inputs, {}, None)
