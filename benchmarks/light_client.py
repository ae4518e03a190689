"""What it costs to believe a header that validators sealed: four of them, and a hundred.

The peer is the bare check of as many Ed25519 signatures.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.measuring import Row, make_row
from benchmarks.receipt_verification import time_ms
from probatum.consensus.cometbft.light.hashing import make_sign_bytes
from probatum.consensus.trusting import believe, check_header, check_next
from probatum.protocol.ed25519 import check_signature
from probatum.protocol.encoding import encode
from probatum.protocol.headers import CommitSeal
from probatum.protocol.primitives import make_operating_key, make_operating_signature
from tests.light_chain import LightChain, get_now_ms, make_voters

SIZES = (4, 100)
TURNS = 5


def run(*, quick: bool = False) -> list[Row]:
    """Measure; one row a figure."""
    return [row for count in SIZES for row in _measure(count, 2_000 if quick else 20_000)]


def _measure(count: int, checks: int) -> list[Row]:
    chain = LightChain({0: make_voters(range(count))})
    trust, now_ms = chain.make_trust(0), get_now_ms(9)
    signed, after = chain.sign(6), chain.sign(7)
    believed = check_next(believe(trust), signed, now_ms)
    works: list[Callable[[], object]] = [
        partial(_check_bare, signed.seal),
        partial(check_header, trust, signed, now_ms),
        partial(check_next, believed, after, now_ms),
    ]
    # In turns, so that a busy machine is busy for all.
    rounds = [[time_ms(work, checks // count // TURNS)[0] for work in works] for _ in range(TURNS)]
    bare, first, following = (min(times) for times in zip(*rounds, strict=True))
    said = f"{count} bare signature checks {bare:.2f} ms"
    whose = f"of {count} validators"
    return [
        make_row(f"believe a header {whose} by a file", first, "ms", peer=said, against=bare),
        make_row(f"follow a chain {whose}, a header", following, "ms", peer=said, against=bare),
        make_row(f"size of a header {whose}", len(encode(signed)) / 1_000, "kB"),
    ]


def _check_bare(seal: CommitSeal) -> None:
    for validator, vote in zip(seal.validators, seal.commit.votes, strict=True):
        message = make_sign_bytes(seal.header.chain_id, seal.commit, vote)
        check_signature(
            make_operating_key(validator.key), message, make_operating_signature(vote.signature)
        )
