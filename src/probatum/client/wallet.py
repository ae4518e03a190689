"""Sending transactions, one at a time, each exactly once whatever gets lost on the way.

A sub-machine, like `sync`. A lost reply is answered by sending the same bytes again; the ledger
commits a transaction once. A nonce is given to another body only when the ledger has said for
certain that the body before it will not be committed under that nonce. Must not know what a body
is for.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from probatum.client.backoff import compute_backoff_ms
from probatum.errors import Refusal
from probatum.ledger.fees import count_shares
from probatum.machine.events import Event, Fired, Moment, Returned, Unreachable
from probatum.machine.wishes import Report, Send, SetTimer, Wish
from probatum.protocol import limits
from probatum.protocol.eip712 import Domain
from probatum.protocol.encoding import decode, encode
from probatum.protocol.messages import (
    GetOutcome,
    GetState,
    GotState,
    Message,
    Outcome,
    Refused,
    Submit,
)
from probatum.protocol.primitives import Digest, make_digest
from probatum.protocol.records import Account, get_account_key
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.transactions.kinds import Body
from probatum.protocol.transactions.signed import compute_transaction_hash, sign_transaction

__all__ = ["SenderStep", "SentOutcome", "TransactionSender"]

_TICKET: Final = "send:"
_RETRY: Final = "send:retry"
_TIMEOUT_MS: Final = 10_000
_SURE_AFTER: Final = 8
"""Refusals in a row after which a transaction that may once have arrived counts as refused."""
_NONCE_TAKEN: Final = "mempool.nonce-taken"
"""Another transaction of the account waits under the nonce, as after a crash an earlier life's.
That one is committed or dropped soon; which of both is no refusal of the body."""
_UNKNOWN_HASH: Final = make_digest(bytes(32))


@dataclass(frozen=True, slots=True, kw_only=True)
class SentOutcome:
    """What became of a submitted body.

    Attributes:
        ticket: The caller's.
        code: ``ok``, or the code of the refusal, by the block or at the ledger's door.
        height: Height of the block that holds the transaction, 0 if none does.
        transaction_hash: Of the transaction; zeros if the ledger refused before one was signed.
    """

    ticket: str
    code: str
    height: int
    transaction_hash: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderStep:
    """What one step of sending brought."""

    wishes: tuple[Wish, ...] = ()
    outcomes: tuple[SentOutcome, ...] = ()


@dataclass(slots=True, kw_only=True)
class _InFlight:
    """The one transaction that may be on its way.

    `doubtful`: an earlier copy may have arrived, so one refusal of a later copy is no proof.
    """

    nonce: int
    data: bytes
    hash: Digest
    doubtful: bool = False
    refusals: int = 0
    refused: str = ""


class TransactionSender:
    """Sends bodies from one account to one full node, in order."""

    def __init__(
        self,
        endpoint: str,
        domain: Domain,
        signer: AccountSigner,
        fee_units: int,
        *,
        limit: int = limits.MEMPOOL_PER_ACCOUNT,
    ) -> None:
        """Make a sender that has sent nothing; it holds at most `limit` bodies.

        `fee_units` is one share: a body with vouchers pays one more for each (`PAY-1`).
        """
        self._endpoint = endpoint
        self._domain = domain
        self._signer = signer
        self._fee_units = fee_units
        self._limit = limit
        self._waiting: deque[tuple[str, Body]] = deque()
        self._nonce: int | None = None
        self._flight: _InFlight | None = None
        self._committed_at = 0
        self._calls = 0
        self._open = ""
        self._pausing = False
        self._failures = 0

    def __len__(self) -> int:
        """Count the bodies whose outcome is not known yet."""
        return len(self._waiting)

    def submit(self, ticket: str, body: Body) -> tuple[Wish, ...]:
        """Queue a body; its outcome comes from a later `step`.

        Raises:
            Refusal: `wallet.full`.
        """
        if len(self._waiting) >= self._limit:
            raise Refusal("wallet.full", f"{self._limit} transactions wait already")
        self._waiting.append((ticket, body))
        return () if self._open or self._pausing else self._proceed()

    def owns(self, event: Event) -> bool:
        """Tell whether an event is an answer to one of the sender's wishes."""
        match event:
            case Returned(call=ticket) | Unreachable(call=ticket) | Fired(timer=ticket):
                return ticket.startswith(_TICKET)
            case _:
                return False

    def step(self, event: Event, moment: Moment) -> SenderStep:
        """Take an event that `owns` claims."""
        match event:
            case Fired(timer=name) if name == _RETRY and self._pausing:
                self._pausing = False
                return SenderStep(wishes=self._proceed())
            case Returned(call=call, message=message) if call == self._open:
                self._open = ""
                return self._take(message, call.rsplit(":", 1)[1], moment)
            case Unreachable(call=call, reason=why) if call == self._open:
                self._open = ""
                if self._flight is not None:
                    self._flight.doubtful = True
                return self._pause("wallet.unreachable", why, moment)
            case _:
                return SenderStep()

    def _take(self, message: Message, asked: str, moment: Moment) -> SenderStep:
        match message:
            case Outcome() as outcome if self._flight and asked != "account":
                if outcome.transaction_hash != self._flight.hash:
                    self._flight.doubtful = True
                    return self._pause("wallet.wrong-reply", "another's outcome", moment)
                self._committed_at = outcome.height
                # Whether a refused transaction used its nonce is the ledger's rule: ask it.
                self._nonce = self._flight.nonce + 1 if outcome.code == "ok" else None
                return self._finish(outcome.code, outcome.height)
            case GotState() as state if asked == "account":
                return self._take_account(state, moment)
            case Refused(code=code, message=why, retryable=retryable):
                return self._take_refusal(code, why, asked, moment, retryable=retryable)
            case _:
                if self._flight is not None:
                    self._flight.doubtful = True
                return self._pause("wallet.wrong-reply", type(message).__name__, moment)

    def _take_refusal(
        self, code: str, why: str, asked: str, moment: Moment, *, retryable: bool
    ) -> SenderStep:
        flight = self._flight
        if flight is None or retryable or asked == "account":
            return self._pause(code, why, moment)
        if asked == "submit":
            # Perhaps refused because an earlier copy is in a block already.
            flight.refused = code
            return SenderStep(
                wishes=(self._send(GetOutcome(transaction_hash=flight.hash), "fate"),)
            )
        # No block holds it. The account tells whether one still can.
        return SenderStep(wishes=(self._ask_account(),))

    def _take_account(self, state: GotState, moment: Moment) -> SenderStep:
        key = get_account_key(self._signer.address)
        if len(state.items) != 1 or state.items[0].key != key:
            return self._pause("wallet.wrong-reply", "not the account that was asked for", moment)
        if state.header.header.height < self._committed_at:
            return self._pause("wallet.stale", "the full node answers from an older state", moment)
        value = state.items[0].value
        try:
            account = (
                Account(balance=0, nonce=0)
                if value is None
                else decode(Account, value, limit_bytes=limits.STATE_VALUE_BYTES)
            )
        except Refusal as refusal:
            return self._pause(refusal.code, refusal.message, moment)
        flight = self._flight
        if flight is None or account.nonce > flight.nonce:
            # A later nonce and no outcome: this transaction never will be committed. Sign anew.
            self._flight, self._nonce = None, account.nonce
            self._failures = 0
            return SenderStep(wishes=self._proceed())
        flight.refusals += 1
        doubtful = flight.doubtful and flight.refusals < _SURE_AFTER
        if account.nonce < flight.nonce or doubtful or flight.refused == _NONCE_TAKEN:
            return self._pause(flight.refused, "another copy or nonce may be on its way", moment)
        self._nonce = None
        return self._finish(flight.refused, 0)

    def _finish(self, code: str, height: int) -> SenderStep:
        ticket, _ = self._waiting.popleft()
        digest = self._flight.hash if self._flight else _UNKNOWN_HASH
        self._flight = None
        self._failures = 0
        outcome = SentOutcome(ticket=ticket, code=code, height=height, transaction_hash=digest)
        return SenderStep(wishes=self._proceed(), outcomes=(outcome,))

    def _proceed(self) -> tuple[Wish, ...]:
        if not self._waiting:
            return ()
        if self._flight is None:
            if self._nonce is None:
                return (self._ask_account(),)
            _, body = self._waiting[0]
            signed = sign_transaction(
                self._domain,
                self._signer,
                nonce=self._nonce,
                fee_units=self._fee_units * count_shares(body),
                body=body,
            )
            data = encode(signed)
            self._flight = _InFlight(
                nonce=self._nonce, data=data, hash=compute_transaction_hash(data)
            )
        return (self._send(Submit(transaction=self._flight.data), "submit"),)

    def _pause(self, code: str, why: str, moment: Moment) -> SenderStep:
        self._failures += 1
        self._pausing = True
        wait = compute_backoff_ms(self._failures, moment, "wallet")
        report = Report("warning", code, why, (("endpoint", self._endpoint),))
        return SenderStep(wishes=(report, SetTimer(_RETRY, wait)))

    def _ask_account(self) -> Send:
        key = get_account_key(self._signer.address)
        return self._send(GetState(keys=(key,), prove=False), "account")

    def _send(self, message: Message, what: str) -> Send:
        self._calls += 1
        self._open = f"{_TICKET}{self._calls}:{what}"
        return Send(self._open, self._endpoint, message, _TIMEOUT_MS)
