"""Headers with either seal: bounded, canonical, and none taken for another (`HEADER-1`)."""

import pytest
from msgspec.structs import replace as change

from probatum.consensus.trusting import check_header
from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.commits import (
    COMMITTED,
    BlockId,
    Commit,
    CommitVote,
    EngineHeader,
    EngineTime,
    Validator,
)
from probatum.protocol.encoding import decode, encode
from probatum.protocol.headers import CommitSeal, SignedHeader
from tests.factories import make_header, make_trust

HASH = bytes([255]) * 32
TIME = EngineTime(seconds=253_402_300_799, nanos=999_999_999)
BLOCK = BlockId(hash=HASH, parts=(1 << 32) - 1, parts_hash=HASH)


def make_seal(validators=4):
    """The largest values that fit."""
    header = EngineHeader(
        block_version=(1 << 63) - 1,
        app_version=(1 << 63) - 1,
        chain_id="c" * limits.ENGINE_CHAIN_ID_CHARS,
        height=(1 << 63) - 1,
        time=TIME,
        last_block=BLOCK,
        last_commit_hash=HASH,
        data_hash=HASH,
        validators_hash=HASH,
        next_validators_hash=HASH,
        consensus_hash=HASH,
        app_hash=HASH,
        last_results_hash=HASH,
        evidence_hash=HASH,
        proposer=HASH[:20],
    )
    vote = CommitVote(flag=COMMITTED, validator=HASH[:20], time=TIME, signature=bytes(64))
    votes = (vote,) * validators
    return CommitSeal(
        header=header,
        commit=Commit(height=header.height, round=(1 << 31) - 1, block=BLOCK, votes=votes),
        validators=(Validator(key=HASH, power=limits.TOTAL_POWER),) * validators,
    )


def read(signed):
    return decode(SignedHeader, encode(signed), limit_bytes=limits.SIGNED_HEADER_BYTES)


def test_either_seal_is_read_as_it_was_written():
    signed = make_header(3)
    assert read(signed) == signed
    sealed = change(signed, seal=make_seal())
    assert read(sealed) == sealed


def test_the_largest_seal_fits_and_one_validator_more_is_refused():
    sealed = change(make_header(3), seal=make_seal(limits.VALIDATORS))
    assert read(sealed) == sealed
    with pytest.raises(Refusal) as refused:
        read(change(sealed, seal=make_seal(limits.VALIDATORS + 1)))
    assert refused.value.code in {"encoding.too-large", "encoding.malformed"}


def test_a_commit_is_no_signature_by_the_trusted_key():
    with pytest.raises(Refusal) as refused:
        check_header(make_trust(), change(make_header(3), seal=make_seal()), 0)
    assert refused.value.code == "trust.other-seal"
