"""The ledger's promises: one unbroken chain, no unit made or lost, no acknowledgement taken back.

Replays every block on the full node's disk from genesis and compares. Must not know nodes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from probatum.consensus import tables
from probatum.consensus.tables import height_key
from probatum.consensus.trusting import check_header
from probatum.errors import ProbatumError
from probatum.ledger.apply import AppliedBlock, apply_block
from probatum.ledger.genesis import compute_genesis_changes, compute_genesis_hash, get_domain
from probatum.ledger.invariants import check_records, sum_units
from probatum.ledger.statemap import MemoryNodeStore, MerkleMap
from probatum.protocol import limits, records
from probatum.protocol.blocks import (
    Block,
    Change,
    compute_results_root,
    compute_transactions_root,
)
from probatum.protocol.encoding import LedgerValue, decode, encode
from probatum.protocol.headers import Header, SignedHeader, compute_header_hash
from probatum.protocol.primitives import Address, Digest
from probatum.protocol.transactions.signed import compute_transaction_hash, decode_transaction
from probatum.storm.world import World

__all__ = ["Replay", "check_chain", "check_statements", "replay"]

_COUNTED: Final[tuple[tuple[bytes, type[LedgerValue]], ...]] = (
    (records.ACCOUNT, records.Account),
    (records.STAKE, records.StakeRecord),
    (records.CHALLENGE, records.ChallengeRecord),
    (records.ESCROW, records.EscrowRecord),
    (records.SUPPLY_KEY, records.Supply),
)


@dataclass(slots=True)
class Replay:
    """What came of applying every block anew.

    Attributes:
        codes: Code and height of every transaction that paid its fee, by hash.
        senders: How many transactions each account paid for.
        headers: As the disk has them, by height.
        state: The records after the last block.
    """

    codes: dict[Digest, tuple[str, int]] = field(default_factory=dict)
    senders: Counter[Address] = field(default_factory=Counter)
    headers: dict[int, SignedHeader] = field(default_factory=dict)
    state: dict[bytes, bytes] = field(default_factory=dict)


class _Tree:
    """The state map beside the records, to compare roots."""

    def __init__(self) -> None:
        self._store = MemoryNodeStore()
        self._map = MerkleMap(self._store)

    def apply(self, changes: tuple[Change, ...]) -> Digest:
        update = self._map.update({change.key: change.value for change in changes})
        self._store.commit(update)
        self._map = MerkleMap(self._store, update.root)
        return update.root.digest


def replay(world: World) -> Replay:
    """Apply every block on the full node's disk anew; differences become findings."""
    done, tree = Replay(), _Tree()
    trace = world.kernel.trace
    stored = world.kernel.parties["full"].disk.tables
    start = compute_genesis_changes(world.genesis)
    tree.apply(start)
    _write(done.state, start)
    previous = compute_genesis_hash(world.genesis)
    time_ms = world.genesis.time_ms
    for height in range(1, len(stored.get(tables.HEADER, {})) + 1):
        data = stored[tables.HEADER].get(height_key(height))
        raw = stored[tables.BLOCK].get(height_key(height))
        if data is None or raw is None:
            trace.find("chain.gap", "full", f"nothing at height {height}")
            return done
        signed = decode(SignedHeader, data, limit_bytes=limits.SIGNED_HEADER_BYTES)
        block = decode(Block, raw, limit_bytes=limits.BLOCK_BYTES)
        try:
            check_header(world.trust, signed, signed.header.time_ms)
            applied = apply_block(done.state, block, get_domain(world.genesis))
        except ProbatumError as error:
            trace.find("chain.bad-block", "full", f"height {height}: {error}")
            return done
        root = tree.apply(applied.changes)
        _write(done.state, applied.changes)
        header = signed.header
        _compare(world, header, block, applied, root)
        if header.height != height or header.previous != previous or header.time_ms <= time_ms:
            trace.find("chain.broken", "full", f"height {height} does not follow the one before")
        previous, time_ms = compute_header_hash(header), header.time_ms
        done.headers[height] = signed
        _take_codes(done, block, applied)
    return done


def _write(state: dict[bytes, bytes], changes: tuple[Change, ...]) -> None:
    for change in changes:
        if change.value is None:
            state.pop(change.key, None)
        else:
            state[change.key] = change.value


def _compare(
    world: World, header: Header, block: Block, applied: AppliedBlock, root: Digest
) -> None:
    said = (header.time_ms, header.state_root, header.transactions_root, header.results_root)
    found = (
        block.time_ms,
        root,
        compute_transactions_root(block.transactions),
        compute_results_root(applied.results),
    )
    if said != found:
        world.kernel.trace.find(
            "chain.other-result", "full", f"height {header.height} replays to another result"
        )


def _take_codes(done: Replay, block: Block, applied: AppliedBlock) -> None:
    for data, result, charged in zip(
        block.transactions, applied.results, applied.charged, strict=True
    ):
        if charged:
            done.codes[compute_transaction_hash(data)] = (result.code, block.height)
            done.senders[decode_transaction(data).sender] += 1


def _list_counted(state: dict[bytes, bytes]) -> list[LedgerValue]:
    return [
        decode(kind, value, limit_bytes=limits.STATE_VALUE_BYTES)
        for key, value in sorted(state.items())
        for prefix, kind in _COUNTED
        if key.startswith(prefix)
    ]


def check_chain(world: World, done: Replay) -> None:
    """Check supply, and that every header that was ever shown is the chain's.

    Conservation at every block is checked by the replay (`ledger.invariants`); here the whole
    last state is summed, and compared with what genesis issued.
    """
    trace = world.kernel.trace
    counted = _list_counted(done.state)
    try:
        check_records(counted)
    except ProbatumError as error:
        trace.find("chain.supply", "full", str(error))
    issued = sum(entry.balance_units for entry in world.genesis.balances)
    held = sum(sum_units(record) for record in counted if not isinstance(record, records.Supply))
    burned = sum(record.burned for record in counted if isinstance(record, records.Supply))
    if held + burned != issued:
        trace.find("chain.supply", "full", f"{held} held and {burned} burned of {issued} issued")
    for height, shown in sorted(world.witness.headers.items()):
        if height not in done.headers:
            trace.find("chain.lost-header", "full", f"the shown header {height} is gone")
        elif encode(done.headers[height]) != shown:
            trace.find("chain.other-header", "full", f"height {height} was shown otherwise")


def check_statements(world: World, done: Replay) -> None:
    """Check that every outcome that a sender was told is in the chain as it was told, once."""
    trace = world.kernel.trace
    for name, statement in sorted(world.statements.items()):
        for outcome in statement.outcomes:
            if outcome.height == 0:
                trace.find("chain.refused", name, f"{outcome.ticket}: {outcome.code}")
            elif done.codes.get(outcome.transaction_hash) != (outcome.code, outcome.height):
                trace.find("chain.lost-transaction", name, f"{outcome} is not in the chain")
            elif outcome.code != "ok":
                trace.find("chain.failed-transaction", name, f"{outcome.ticket}: {outcome.code}")
            else:
                trace.count("transactions acknowledged and kept")
        if done.senders[statement.account] > statement.due:
            why = f"{done.senders[statement.account]} transactions of {statement.due} bodies"
            trace.find("chain.sent-twice", name, why)
        if not statement.is_complete:
            trace.find(
                "chain.no-outcome",
                name,
                f"{len(statement.outcomes)} outcomes of {statement.due} after healing",
            )
