"""Acts of a demo whose ledger several validators keep: one of four may fail, two halt the chain.

A halted chain is the safe outcome: nothing is decided that the others could contradict. Must not
know terminals. Read next: `story`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from probatum.client.proofs import check_now
from probatum.client.transport import HttpTransport
from probatum.errors import Fault
from probatum.ops.demo.stage import Stage
from probatum.protocol.headers import Header
from probatum.protocol.messages import GetHeader, GotHeader
from probatum.protocol.trust import decode_trust

__all__ = ["can_lose_one", "lose_validators"]

_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.1
_BLOCKS: Final = 5
_STILL_S: Final = 4.0
"""Blocks come several times a second: this long without one is no accident."""


def can_lose_one(stage: Stage) -> bool:
    """Whether more than two thirds of the validators are left without one of them."""
    count = len(stage.network.validator_names)
    return 3 * (count - 1) > 2 * count


def lose_validators(stage: Stage) -> None:
    """Kill one validator: blocks go on. Kill another: none comes. Bring both back: level again."""
    teller, network = stage.teller, stage.network
    validators = network.validators
    *_, second, first = network.validator_names
    count = len(network.validator_names)
    height = _get_height(stage)
    began = time.monotonic()
    validators.hold((first,))
    teller.line(f"{first} is killed (SIGKILL), application and engine, at height {height}.")
    reached = _wait(stage, lambda now: now >= height + _BLOCKS, "blocks go on")
    taken = time.monotonic() - began
    teller.line(f"{count - 1} of {count} decide on: height {reached} after {taken:.1f} s.")
    teller.figure("a validator killed", f"{reached - height} blocks later in {taken:.1f} s")
    if 3 * (count - 2) <= 2 * count:
        _halt(stage, (first, second))
    validators.release((first, second))
    began = time.monotonic()
    target = _get_height(stage) + _BLOCKS
    _wait(stage, lambda now: now >= target, "blocks come again")
    _wait_level(stage, target)
    taken = time.monotonic() - began
    headers = {_get_header(stage, name, target) for name in network.validator_names}
    teller.promise(len(headers) == 1, f"all {count} have the same header at height {target}")
    teller.line(f"All are started again: all {count} level at height {target}, {taken:.1f} s on.")
    teller.figure("validators back", f"level after {taken:.1f} s")


def _halt(stage: Stage, held: tuple[str, ...]) -> None:
    teller, validators = stage.teller, stage.network.validators
    validators.hold(held)
    time.sleep(1.0)  # what was decided already arrives
    height = _get_height(stage)
    time.sleep(_STILL_S)
    after = _get_height(stage)
    teller.line(
        f"{held[-1]} is killed too: more than two thirds are needed, so nothing is decided."
    )
    teller.promise(height == after, f"without a quorum the chain stands still at height {height}")


def _wait(stage: Stage, is_enough: Callable[[int], bool], what: str) -> int:
    deadline = time.monotonic() + _TIMEOUT_S
    while not is_enough(height := _get_height(stage)):
        if time.monotonic() > deadline:
            raise Fault("demo.ledger-stands-still", f"{what}: the ledger is at height {height}")
        time.sleep(_POLL_S)
    return height


def _wait_level(stage: Stage, height: int) -> None:
    """Wait until every validator's engine has gone past a height, so that each can prove it."""
    deadline = time.monotonic() + _TIMEOUT_S
    for name in stage.network.validator_names:
        while not _has(stage, name, height + 2):
            if time.monotonic() > deadline:
                raise Fault("demo.ledger-stands-still", f"{name} does not follow")
            time.sleep(_POLL_S)


def _has(stage: Stage, name: str, height: int) -> bool:
    block = stage.network.validators.get_block(name)
    return block is not None and block.height >= height


def _get_height(stage: Stage) -> int:
    return _get_header(stage, stage.network.validator_names[0], 0).height


def _get_header(stage: Stage, name: str, height: int) -> Header:
    """Get a header that a validator proves."""
    endpoint = stage.network.validators.get_endpoint(name)

    async def ask() -> Header:
        async with HttpTransport() as transport:
            reply = await transport.ask(endpoint, GetHeader(height=height), _TIMEOUT_S)
        if not isinstance(reply, GotHeader):
            raise Fault("network.odd-reply", f"{name} replied {type(reply).__name__}")
        return check_now(decode_trust(stage.network.trust_path.read_bytes()), reply.header)

    return asyncio.run(ask())
