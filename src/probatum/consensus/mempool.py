"""The pool of transactions that wait for a block: bounded, checked, in order of arrival.

A transaction enters only if it can be paid for and its turn can come; each signature is checked
once, here. One account's transactions leave in nonce order, all others in order of arrival.
Nothing is replaced: who wants another transaction under a nonce waits until the first is gone.
Must not know how blocks are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from probatum.errors import Refusal
from probatum.ledger.apply import check_fee
from probatum.ledger.params import Params
from probatum.protocol import limits
from probatum.protocol.eip712 import Domain
from probatum.protocol.primitives import Address, Digest
from probatum.protocol.records import Account
from probatum.protocol.transactions.signed import (
    SignedTransaction,
    check_sender,
    compute_transaction_hash,
    decode_transaction,
)

__all__ = ["EXPIRY_BLOCKS", "Entry", "Mempool"]

EXPIRY_BLOCKS: Final = 256
"""Blocks after which a transaction whose turn never came is dropped: it paid nothing to wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A waiting transaction.

    Attributes:
        order: Counts arrivals.
        height: Height at which it arrived.
    """

    hash: Digest
    data: bytes
    transaction: SignedTransaction
    order: int
    height: int


class Mempool:
    """The waiting transactions of one full node."""

    def __init__(
        self,
        domain: Domain,
        get_account: Callable[[Address], Account],
        *,
        limit: int = limits.MEMPOOL_TRANSACTIONS,
        limit_bytes: int = limits.MEMPOOL_BYTES,
        limit_account: int = limits.MEMPOOL_PER_ACCOUNT,
    ) -> None:
        """Make an empty pool; `get_account` reads the committed state."""
        self._domain = domain
        self._get_account = get_account
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._limit_account = limit_account
        self._entries: dict[Digest, Entry] = {}
        self._accounts: dict[Address, dict[int, Entry]] = {}
        self._fees: dict[Address, int] = {}
        self._bytes = 0
        self._arrivals = 0

    def __len__(self) -> int:
        """Count the waiting transactions."""
        return len(self._entries)

    def __contains__(self, transaction_hash: object) -> bool:
        """Tell whether a transaction waits."""
        return transaction_hash in self._entries

    def add(self, data: bytes, params: Params, height: int) -> Entry:
        """Check a transaction and take it in.

        Args:
            data: The transaction's bytes, from anybody.
            params: The parameters of the committed state.
            height: The committed height.

        Raises:
            Refusal: `encoding.*`, `mempool.duplicate`, `mempool.full`, `ledger.wrong-nonce` if
                the nonce is used, `mempool.nonce-too-far`, `mempool.nonce-taken`,
                `mempool.account-full`, `ledger.fee-too-low`, `ledger.fee-not-covered` counting
                the account's other waiting fees, `secp256k1.bad-signature`,
                `transaction.wrong-signer`.
        """
        transaction = decode_transaction(data)
        found = compute_transaction_hash(data)
        if found in self._entries:
            raise Refusal("mempool.duplicate", "the transaction waits already")
        self._check_room(len(data))
        self._check_turn(transaction, params)
        check_sender(self._domain, transaction)
        self._arrivals += 1
        entry = Entry(
            hash=found,
            data=data,
            transaction=transaction,
            order=self._arrivals,
            height=height,
        )
        sender = transaction.sender
        self._entries[found] = entry
        self._accounts.setdefault(sender, {})[transaction.nonce] = entry
        self._fees[sender] = self._fees.get(sender, 0) + transaction.fee_units
        self._bytes += len(data)
        return entry

    def _check_room(self, size: int) -> None:
        if len(self._entries) >= self._limit or self._bytes + size > self._limit_bytes:
            raise Refusal(
                "mempool.full",
                f"{len(self._entries)} transactions wait already",
                hint="try again after the next block",
            )

    def _check_turn(self, transaction: SignedTransaction, params: Params) -> None:
        sender, nonce = transaction.sender, transaction.nonce
        account, waiting = self._get_account(sender), self._accounts.get(sender, {})
        if nonce < account.nonce:
            raise Refusal(
                "ledger.wrong-nonce", f"the account's next nonce is {account.nonce}, not {nonce}"
            )
        if nonce >= account.nonce + self._limit_account:
            raise Refusal(
                "mempool.nonce-too-far", f"the nonce {nonce} is far above {account.nonce}"
            )
        if nonce in waiting:
            raise Refusal(
                "mempool.nonce-taken", f"another transaction waits under the nonce {nonce}"
            )
        if len(waiting) >= self._limit_account:
            raise Refusal("mempool.account-full", f"{len(waiting)} of the account's wait already")
        check_fee(params, account, transaction.fee_units)
        # The very next one may always come: what waits behind it must not lock the account.
        waiting_fees = 0 if nonce == account.nonce else self._fees.get(sender, 0)
        if account.balance < waiting_fees + transaction.fee_units:
            raise Refusal(
                "ledger.fee-not-covered", "the balance does not cover the waiting fees too"
            )

    def iterate(self, stuck: set[Address]) -> Iterator[Entry]:
        """Yield transactions whose turn it is, assuming that each one yielded is taken.

        Args:
            stuck: Accounts to pass over; the caller adds one while iterating when a transaction
                of it was not taken after all, since the next nonces cannot follow then.
        """
        turns: dict[Address, int] = {}
        for entry in tuple(self._entries.values()):
            sender = entry.transaction.sender
            turn = turns.get(sender)
            if turn is None:
                turn = self._get_account(sender).nonce
            waiting = self._accounts[sender]
            # Also those that arrived earlier and had to wait for this one.
            follower = entry if entry.transaction.nonce == turn else None
            while follower and follower.order <= entry.order and sender not in stuck:
                yield follower
                turn += 1
                follower = waiting.get(turn)
            turns[sender] = turn

    def remove(self, transaction_hash: Digest) -> None:
        """Take a transaction out, if it is there."""
        entry = self._entries.pop(transaction_hash, None)
        if entry is None:
            return
        sender = entry.transaction.sender
        waiting = self._accounts[sender]
        del waiting[entry.transaction.nonce]
        self._fees[sender] -= entry.transaction.fee_units
        if not waiting:
            del self._accounts[sender], self._fees[sender]
        self._bytes -= len(entry.data)

    def expire(self, height: int) -> tuple[Entry, ...]:
        """Take out what has waited for `EXPIRY_BLOCKS`, and return it."""
        gone: list[Entry] = []
        for entry in self._entries.values():
            if entry.height + EXPIRY_BLOCKS > height:
                break
            gone.append(entry)
        for entry in gone:
            self.remove(entry.hash)
        return tuple(gone)
