"""The pool of transactions that wait for a block: bounded, checked, in order of arrival.

A transaction enters only if it can be paid for and its turn can come; each signature is checked
once, here. One account's transactions leave in nonce order, all others in order of arrival.
Nothing is replaced: who wants another transaction under a nonce waits until the first is gone.
A transaction that waits behind a missing nonce pays nothing for its place, perhaps ever, so all
of them together have a small part of the room: else a few accounts could hold all of it for
nothing. Must not know how blocks are made.
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
_EARLY_PART: Final = 8
"""What came before its turn, behind a missing nonce, has at most this part of the room."""


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
        check_signature: Callable[[Digest, SignedTransaction], None] | None = None,
        limit: int = limits.MEMPOOL_TRANSACTIONS,
        limit_bytes: int = limits.MEMPOOL_BYTES,
        limit_account: int = limits.MEMPOOL_PER_ACCOUNT,
    ) -> None:
        """Make an empty pool.

        Args:
            domain: What signatures must be for.
            get_account: Reads the committed state.
            check_signature: Given by an engine that remembers, by hash, what it has checked
                before; otherwise each transaction is checked here.
            limit: At most so many transactions.
            limit_bytes: Of so many bytes together.
            limit_account: So many of one account, and no nonce further ahead.
        """
        self._get_account = get_account
        self._check_signature = check_signature or (
            lambda _, transaction: check_sender(domain, transaction)
        )
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._limit_account = limit_account
        self._entries: dict[Digest, Entry] = {}
        self._accounts: dict[Address, dict[int, Entry]] = {}
        self._fees: dict[Address, int] = {}
        self._bytes = 0
        self._early: set[Digest] = set()
        self._early_bytes = 0
        self._arrivals = 0

    def __len__(self) -> int:
        """Count the waiting transactions."""
        return len(self._entries)

    def __contains__(self, transaction_hash: object) -> bool:
        """Tell whether a transaction waits."""
        return transaction_hash in self._entries

    def get(self, transaction_hash: Digest) -> Entry | None:
        """Get a waiting transaction."""
        return self._entries.get(transaction_hash)

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
        account = self._check_turn(transaction, params)
        early = self._is_early(transaction, account)
        if early:
            self._check_early_room(len(data))
        self._check_signature(found, transaction)
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
        if early:
            self._mark(entry, early=True)
        else:
            self._mark_next(entry, early=False)
        return entry

    def _is_early(self, transaction: SignedTransaction, account: Account) -> bool:
        if transaction.nonce == account.nonce:
            return False
        before = self._accounts.get(transaction.sender, {}).get(transaction.nonce - 1)
        return before is None or before.hash in self._early

    def _mark(self, entry: Entry, *, early: bool) -> None:
        if early:
            self._early.add(entry.hash)
            self._early_bytes += len(entry.data)
        else:
            self._early.remove(entry.hash)
            self._early_bytes -= len(entry.data)

    def _mark_next(self, entry: Entry, *, early: bool) -> None:
        """Say of those that follow one another behind an entry whether they are early now."""
        waiting = self._accounts[entry.transaction.sender]
        follower = waiting.get(entry.transaction.nonce + 1)
        while follower and (follower.hash in self._early) != early:
            self._mark(follower, early=early)
            follower = waiting.get(follower.transaction.nonce + 1)

    def _check_room(self, size: int) -> None:
        if len(self._entries) >= self._limit or self._bytes + size > self._limit_bytes:
            raise Refusal(
                "mempool.full",
                f"{len(self._entries)} transactions wait already",
                hint="try again after the next block",
            )

    def _check_early_room(self, size: int) -> None:
        if (
            len(self._early) >= self._limit // _EARLY_PART
            or self._early_bytes + size > self._limit_bytes // _EARLY_PART
        ):
            raise Refusal(
                "mempool.full",
                f"{len(self._early)} transactions wait behind missing nonces already",
                hint="send the account's transactions in the order of their nonces",
            )

    def _check_turn(self, transaction: SignedTransaction, params: Params) -> Account:
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
        check_fee(params, account, transaction)
        # The very next one may always come: what waits behind it must not lock the account.
        waiting_fees = 0 if nonce == account.nonce else self._fees.get(sender, 0)
        if account.balance < waiting_fees + transaction.fee_units:
            raise Refusal(
                "ledger.fee-not-covered", "the balance does not cover the waiting fees too"
            )
        return account

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
        if transaction_hash in self._early:
            self._mark(entry, early=False)
        sender, nonce = entry.transaction.sender, entry.transaction.nonce
        waiting = self._accounts[sender]
        del waiting[nonce]
        # What followed an entry that is in a block is next now; behind any other there is a gap.
        if nonce + 1 in waiting and self._get_account(sender).nonce <= nonce:
            self._mark_next(entry, early=True)
        self._fees[sender] -= entry.transaction.fee_units
        if not waiting:
            del self._accounts[sender], self._fees[sender]
        self._bytes -= len(entry.data)

    def recheck(self, entry: Entry, params: Params, height: int) -> None:
        """Check that a transaction may go on waiting; one that may not is taken out.

        With one whose fee is not covered those behind it go, too: they are asked about next, and
        have to find room as others do. Else an account that emptied itself would hold theirs.

        Args:
            entry: It.
            params: The parameters of the committed state.
            height: The committed height.

        Raises:
            Refusal: `mempool.expired`, `ledger.wrong-nonce` if the nonce is used meanwhile,
                `ledger.fee-too-low`, `ledger.fee-not-covered`.
        """
        try:
            self._check_waiting(entry, params, height)
        except Refusal as refusal:
            behind = self.list_behind(entry) if refusal.code == "ledger.fee-not-covered" else ()
            for gone in (entry, *behind):
                self.remove(gone.hash)
            raise

    def _check_waiting(self, entry: Entry, params: Params, height: int) -> None:
        transaction = entry.transaction
        account = self._get_account(transaction.sender)
        if entry.height + EXPIRY_BLOCKS <= height:
            raise Refusal("mempool.expired", "the transaction's turn never came")
        if transaction.nonce < account.nonce:
            raise Refusal(
                "ledger.wrong-nonce",
                f"the account's next nonce is {account.nonce}, not {transaction.nonce}",
            )
        check_fee(params, account, transaction)

    def drop_used(self, account: Address) -> None:
        """Take out an account's transactions whose nonces the committed state has used."""
        turn, waiting = self._get_account(account).nonce, self._accounts.get(account, {})
        for nonce in sorted(nonce for nonce in waiting if nonce < turn):
            self.remove(waiting[nonce].hash)
        # The nonce that others waited for may have come with a block, past this pool.
        following = waiting.get(turn)
        if following and following.hash in self._early:
            self._mark(following, early=False)
            self._mark_next(following, early=False)

    def list_behind(self, entry: Entry) -> tuple[Entry, ...]:
        """List an account's transactions that cannot be in a block unless this one is before."""
        waiting = self._accounts[entry.transaction.sender]
        nonce = entry.transaction.nonce
        return tuple(waiting[after] for after in sorted(waiting) if after > nonce)

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
