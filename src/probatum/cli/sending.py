"""Sends one transaction for a command and waits until the ledger has decided it.

Drives `probatum.client.wallet`, so a lost reply is answered by sending the very same bytes again:
a command that is repeated by the network acts once. Must not know what a body is for.
"""

from __future__ import annotations

import os
import time
from collections import deque
from typing import Final

from probatum.cli.explaining import OF_FUNDS, explain_refusal
from probatum.cli.output import waiting
from probatum.cli.reading import get_record
from probatum.cli.settings import Common
from probatum.cli.wire import exchange
from probatum.client.wallet import SentOutcome, TransactionSender
from probatum.errors import Fault, ProbatumError, Refusal
from probatum.machine.events import Event, Fired, Moment, Returned, Unreachable
from probatum.machine.wishes import Report, Send, SetTimer, Wish
from probatum.protocol import trust
from probatum.protocol.eip712 import Domain
from probatum.protocol.messages import GetState, Refused
from probatum.protocol.primitives import Address
from probatum.protocol.records import Account, get_account_key
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.transactions.kinds import Body

__all__ = ["FEE_UNITS", "get_domain", "send_body"]

FEE_UNITS: Final = 10_000
"""Offered fee; ten times the least one of a new network."""
_WAIT_S: Final = 60.0


def get_domain(common: Common) -> Domain:
    """Get what transactions are signed for: the chain of the trust file.

    Raises:
        Refusal: `settings.no-trust`: a signature is for one chain, so the chain must be known.
    """
    return trust.get_domain(common.get_trust())


def send_body(
    common: Common, signer: AccountSigner, body: Body, *, fee_units: int = FEE_UNITS
) -> SentOutcome:
    """Sign a body, send it, and return its outcome once a block holds it.

    Raises:
        Refusal: With the ledger's code if it refused.
        Fault: `wire.*` if it cannot be reached; `sending.undecided` if time ran out.
    """
    sender = TransactionSender(common.get_ledger(), get_domain(common), signer, fee_units)
    with waiting("waiting for the ledger …"):
        outcome = _drive(sender, body, time.monotonic() + _WAIT_S)
    if outcome.code != "ok":
        where = f" in block {outcome.height}; its fee is spent" if outcome.height else ""
        missing = 0
        if outcome.code in OF_FUNDS:
            missing = _find_missing(common, signer.address, getattr(body, "amount", 0) + fee_units)
        why, hint = explain_refusal(common, outcome.code, signer.address, fee_units, missing)
        message = f"the ledger refused the transaction{where}" + (f": {why}" if why else "")
        raise Refusal(outcome.code, message, hint=hint)
    return outcome


def _find_missing(common: Common, payer: Address, needed_units: int) -> int:
    """Find what an account lacks; all of it, if nobody says what the account holds."""
    try:
        record, _ = get_record(common, get_account_key(payer), Account)
    except ProbatumError:
        record = None
    return needed_units - (record.balance if record else 0)


def _drive(sender: TransactionSender, body: Body, until: float) -> SentOutcome:
    """Grant the sender's wishes until it knows the outcome."""
    wishes: deque[Wish] = deque(sender.submit("command", body))
    trouble = ""
    while wishes:
        wish = wishes.popleft()
        match wish:
            case Send():
                event = _send(wish)
            case SetTimer():
                if time.monotonic() > until:
                    break
                time.sleep(wish.after_ms / 1000)
                event = Fired(wish.timer)
            case Report():
                trouble = f"{wish.code}: {wish.message}"
                continue
            case _:
                continue
        step = sender.step(event, _get_moment())
        if step.outcomes:
            return step.outcomes[0]
        wishes.extend(step.wishes)
    raise Fault(
        "sending.undecided",
        f"the ledger has not decided the transaction within {_WAIT_S:g} s ({trouble})",
        hint="see `probatum account balance` before you send it again",
    )


def _send(wish: Send) -> Event:
    try:
        reply = exchange(wish.to, wish.message, timeout_s=wish.timeout_ms / 1000)
    except Refusal as refusal:
        reply = Refused(code=refusal.code, message=refusal.message[:2000], hint=refusal.hint[:2000])
    except Fault as fault:
        if fault.code == "wire.unreachable" and isinstance(wish.message, GetState):
            # Nothing was sent yet and nobody is there: say so, rather than try for a minute.
            raise
        if fault.code.startswith("wire."):
            return Unreachable(wish.call, fault.code)
        reply = Refused(code=fault.code, message=fault.message[:2000], retryable=True)
    return Returned(wish.call, reply, last=True)


def _get_moment() -> Moment:
    return Moment(now_ms=time.time_ns() // 1_000_000, entropy=os.urandom(32))
