"""What is remembered of transactions: whose signatures were good, and which wait (`ABCI-2`).

A signature is checked once, however often the engine shows a transaction: when it enters the pool,
again after each block, in a proposal and in the decided block. What is remembered saves work and
changes no answer. ABCI's codes are in one table, here. Must not know blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from probatum.consensus.chain.cache import Generations
from probatum.consensus.mempool import Mempool
from probatum.errors import Refusal
from probatum.ledger.apply import OK
from probatum.ledger.params import Params
from probatum.protocol.eip712 import Domain
from probatum.protocol.primitives import Address, Digest
from probatum.protocol.records import Account
from probatum.protocol.transactions.signed import (
    SignedTransaction,
    check_sender,
    compute_transaction_hash,
    decode_transaction,
)

__all__ = ["CODE_OF_FREE", "CODE_OF_REFUSED", "Verdicts", "get_code"]

CODE_OF_REFUSED: Final = 1
"""It paid its fee and was refused; or, in CheckTx, it may not wait."""
CODE_OF_FREE: Final = 2
"""It changed nothing, not even a nonce: no honest proposer puts such a one into a block."""
_REMEMBERED: Final = 100_000
"""Hashes in each of two generations."""
_GOOD: Final = b"\x01"


def get_code(code: str, *, charged: bool) -> int:
    """Get ABCI's code of a transaction's result."""
    if not charged:
        return CODE_OF_FREE
    return 0 if code == OK else CODE_OF_REFUSED


class Verdicts:
    """The pool of one node, and the signatures that it knows to be good.

    Attributes:
        pool: What waits, as the engine's own pool has it.
    """

    def __init__(
        self,
        domain: Domain,
        get_account: Callable[[Address], Account],
        *,
        remembered: int = _REMEMBERED,
    ) -> None:
        """Know nothing yet; `get_account` reads the committed state."""
        self._domain = domain
        self._get_account = get_account
        self._good = Generations(remembered)
        self.pool = self._make_pool()

    def _make_pool(self) -> Mempool:
        return Mempool(self._domain, self._get_account, check_signature=self._check)

    def _check(self, found: Digest, transaction: SignedTransaction) -> None:
        """Check a signature unless it is known to be good.

        Raises:
            Refusal: `secp256k1.bad-signature`, `transaction.wrong-signer`.
        """
        if self._good.get(found) is None:
            check_sender(self._domain, transaction)
            self._good.put(found, _GOOD)

    def forget_pool(self) -> None:
        """Begin with an empty pool: the engine's own is empty, too, after a start."""
        self.pool = self._make_pool()

    def open_one(self, domain: Domain, data: bytes) -> SignedTransaction:
        """Decode a transaction of a block and check its sender, as `open_transaction` does.

        Raises:
            Refusal: `encoding.*`, `secp256k1.bad-signature`, `transaction.wrong-signer`.
        """
        assert domain is self._domain, "signatures of another chain"
        found = compute_transaction_hash(data)
        entry = self.pool.get(found)
        if entry is not None:
            return entry.transaction
        transaction = decode_transaction(data)
        self._check(found, transaction)
        return transaction

    def admit(self, data: bytes, params: Params, height: int) -> None:
        """Let a transaction wait; one that waits already may.

        Raises:
            Refusal: as `Mempool.add`.
        """
        if compute_transaction_hash(data) not in self.pool:
            self.pool.add(data, params, height)

    def readmit(self, data: bytes, params: Params, height: int) -> None:
        """Let a transaction go on waiting after a block.

        Raises:
            Refusal: as `Mempool.recheck`, or as `Mempool.add` for one that is not known here.
        """
        entry = self.pool.get(compute_transaction_hash(data))
        if entry is None:
            self.pool.add(data, params, height)
        else:
            self.pool.recheck(entry, params, height)

    def settle(self, transactions: tuple[bytes, ...], height: int) -> None:
        """Take out what a committed block holds, and what its nonces have overtaken.

        Args:
            transactions: The block's.
            height: The block's.
        """
        if not len(self.pool):
            return
        senders: set[Address] = set()
        for data in transactions:
            entry = self.pool.get(compute_transaction_hash(data))
            try:
                transaction = entry.transaction if entry else decode_transaction(data)
            except Refusal:
                continue  # it changed nothing, so it has overtaken nothing
            senders.add(transaction.sender)
        for sender in sorted(senders):
            self.pool.drop_used(sender)
        # The engine has asked about all that it keeps since the block before. What should have gone
        # then it does not have: its own pool was full when it heard that this one may wait.
        self.pool.expire(height - 1)
