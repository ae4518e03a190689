"""A node signs one beginning of a text, whatever its earlier lives signed (`TEXT-1`)."""

from array import array

import pytest

from probatum.errors import Fault
from probatum.nodes.inference.journal_records import PrefixRecord
from probatum.nodes.inference.writing import Promises, Writing
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.hexes import digest_from_hex
from probatum.protocol.parties import Party
from probatum.protocol.prefixes import compute_prefix_root, open_prefix
from tests.unit.runtime.text.llamas import TINY

SIGNER = OperatingSigner(bytes(range(32)))
PARTY = Party(role="inference", account="0x" + "2" * 40, key=SIGNER.key.hex())
REQUEST = "ab" * 32
SALT = bytes(32)


def write(ids):
    return Writing(
        model=TINY,
        prompt=3,
        limit=64,
        request_id="0" * 26,
        request_digest=REQUEST,
        custody="cd" * 32,
        salt=SALT,
        ids=array("I", ids),
        said=0,
        signed=0,
    )


def promise(ids, promises):
    writing = write(ids)
    record = writing.promise(PARTY, SIGNER, promises)
    return None if record is None else open_prefix(writing.unsaid[record.count])[0].count


def remember(ids):
    return Promises(
        (
            PrefixRecord(
                record_digest=bytes(32),
                request_digest=digest_from_hex(REQUEST),
                count=len(ids),
                root=digest_from_hex(compute_prefix_root(SALT, ids)),
            ),
        )
    )


def test_a_later_life_signs_no_shorter_beginning_that_may_be_another():
    promises = remember(tuple(range(32)))
    assert promise([7] * 20, promises) is None
    assert promise(range(31), promises) is None
    assert promise(range(40), promises) == 32
    with pytest.raises(Fault) as caught:
        promise([7] * 40, promises)
    assert caught.value.code == "node.other-text"
    assert promise([7] * 20, Promises()) == 16
