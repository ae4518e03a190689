"""What reading and writing ABCI costs, beside Google's protobuf in the same run."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.measuring import Row, make_row
from probatum.consensus.cometbft import messages as m
from probatum.consensus.cometbft import parts as p
from probatum.consensus.cometbft.frames import Frames, append_response, encode_request
from tests import abci

TXS, TX_BYTES, VOTES = 1_000, 300, 100
CHECKS = 200


def run(*, quick: bool = False) -> list[Row]:
    rounds = 20 if quick else 100
    classes = abci.make_classes()
    block = make_block()
    framed = encode_request(block)
    inner = framed[3:]  # behind a length of three bytes
    read_theirs = classes["Request"].FromString

    def open_theirs() -> object:
        said = read_theirs(inner).finalize_block
        votes = [
            (v.validator.address, v.validator.power, v.block_id_flag)
            for v in said.decided_last_commit.votes
        ]
        return list(said.txs), votes

    assert list(Frames().feed(framed)) == [block]
    assert len(open_theirs()[0]) == TXS
    result = m.ResponseFinalizeBlock(
        tx_results=tuple(p.ExecTxResult(data=b"r" * 32, gas_used=n) for n in range(1, TXS + 1)),
        app_hash=b"h" * 32,
    )
    checks = encode_request(m.RequestCheckTx(tx=b"t" * TX_BYTES)) * CHECKS
    check = encode_request(m.RequestCheckTx(tx=b"t" * TX_BYTES))[2:]
    answer = m.ResponseCheckTx(gas_wanted=1)
    times = measure(
        rounds,
        {
            "read": lambda: list(Frames().feed(framed)),
            "read by protobuf": open_theirs,
            "write": lambda: append_response(bytearray(), result),
            "write by protobuf": lambda: write_theirs(classes, result),
            "check": lambda: check_ours(checks, answer),
            "check by protobuf": lambda: check_theirs(classes, check),
        },
    )
    told = (
        ("read", f"ABCI: read a block of {TXS} × {TX_BYTES} B and {VOTES} votes", "ms", 1e3, 1.0),
        ("write", f"ABCI: write {TXS} results of 32 B", "ms", 1e3, None),
        ("check", "ABCI: read CheckTx and write its answer", "µs", 1e6 / CHECKS, None),
    )
    return [
        make_row(
            name,
            times[key] * scale,
            unit,
            peer=f"protobuf {times[f'{key} by protobuf'] * scale:.3f} {unit}",
            against=times[f"{key} by protobuf"] * scale,
            goal=goal,
        )
        for key, name, unit, scale, goal in told
    ]


def measure(rounds: int, works: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Take the best of interleaved rounds: other work on the machine only ever adds."""
    best = dict.fromkeys(works, float("inf"))
    for _ in range(rounds):
        for name, work in works.items():
            begun = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - begun)
    return best


def make_block() -> m.RequestFinalizeBlock:
    votes = tuple(
        p.VoteInfo(validator=p.Validator(address=bytes([n]) * 20, power=1_000), block_id_flag=2)
        for n in range(VOTES)
    )
    return m.RequestFinalizeBlock(
        txs=tuple(n.to_bytes(2, "big") * (TX_BYTES // 2) for n in range(TXS)),
        decided_last_commit=p.CommitInfo(round=1, votes=votes),
        hash=b"h" * 32,
        height=7,
        time=p.Timestamp(seconds=1_790_000_000, nanos=5),
        next_validators_hash=b"n" * 32,
        proposer_address=b"p" * 20,
    )


def write_theirs(classes: dict[str, type], result: m.ResponseFinalizeBlock) -> bytes:
    said = classes["Response"]()
    for one in result.tx_results:
        said.finalize_block.tx_results.add(data=one.data, gas_used=one.gas_used)
    said.finalize_block.app_hash = result.app_hash
    return said.SerializeToString()


def check_ours(stream: bytes, answer: m.ResponseCheckTx) -> None:
    out = bytearray()
    for _ in Frames().feed(stream):
        append_response(out, answer)


def check_theirs(classes: dict[str, type], check: bytes) -> None:
    for _ in range(CHECKS):
        said = classes["Request"].FromString(check)
        assert len(said.check_tx.tx) == TX_BYTES
        classes["Response"](check_tx={"gas_wanted": 1}).SerializeToString()
