"""Somebody who accuses falsely, and in bulk: to hurt honest nodes, or for a reward.

Holds what customers hold and what prosecutors were shown. Everything it says is wrong or too
early, but for challenges of what is truly late: of those it sends as many as it can. Must not
know who cheats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from probatum.client.ledger_view import LedgerView
from probatum.client.sync import LedgerFollower
from probatum.client.wallet import TransactionSender
from probatum.evidence import accusing
from probatum.evidence.accusing import HeldReceipt
from probatum.machine.events import Event, Moment, Started
from probatum.machine.machine import draw
from probatum.machine.wishes import Wish
from probatum.protocol.bundles import decode_bundle
from probatum.protocol.eip712 import Domain
from probatum.protocol.hashing import sha256
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.transactions.kinds import (
    Accusation,
    ChallengeReceipt,
    ConvictOmission,
    ReportNoPrefix,
    ReportTwoReceipts,
    ReportWrongEntry,
)
from probatum.protocol.trust import Trust
from probatum.storm.cast.prosecutor import PREFIXES
from probatum.storm.docket import Docket
from probatum.storm.trace import Trace

__all__ = ["Griefer"]

_LIES_AT_ONCE: Final = 3
_IN_FLIGHT: Final = 40
"""Transactions leave one by one; so many are enough to keep it busy."""


class Griefer:
    """Sends a few lies and all challenges that it can, at every block."""

    def __init__(
        self,
        ledger: str,
        trust: Trust,
        domain: Domain,
        signer: AccountSigner,
        docket: Docket,
        collect: Callable[[], Iterable[bytes]],
        trace: Trace,
        fee_units: int,
    ) -> None:
        """Make a griefer; `collect` lists the bundles that customers hold by now."""
        self._docket = docket
        self._collect = collect
        self._trace = trace
        self._follower = LedgerFollower(ledger, PREFIXES, trust)
        self._sender = TransactionSender(ledger, domain, signer, fee_units)
        self._held: dict[bytes, HeldReceipt] = {}
        self._challenged: set[bytes] = set()
        self._numbers = 0

    @property
    def view(self) -> LedgerView:
        """The ledger as it follows it."""
        return self._follower.view

    def step(self, event: Event, moment: Moment) -> tuple[Wish, ...]:
        """Take one event."""
        if self._follower.owns(event):
            step = self._follower.step(event, moment)
            return (*step.wishes, *(self._grieve(moment) if step.blocks else ()))
        if self._sender.owns(event):
            sent = self._sender.step(event, moment)
            for outcome in sent.outcomes:
                word = "true" if outcome.code == "ok" else "false"
                self._trace.count(f"{word} accusations of griefers")
            return sent.wishes
        return self._follower.start(moment) if isinstance(event, Started) else ()

    def _grieve(self, moment: Moment) -> tuple[Wish, ...]:
        for raw in self._collect():
            digest = sha256(raw)
            if digest not in self._held:
                bundle = decode_bundle(raw)
                if bundle.receipt is not None:
                    self._held[digest] = accusing.hold_receipt(bundle.receipt)
        if not self._held:
            return ()
        wishes: list[Wish] = []
        for body in self._list_challenges():
            wishes += self._send("challenge", body)
        for at in range(_LIES_AT_ONCE):
            if len(self._sender) < _LIES_AT_ONCE:
                kind, body = self._lie(draw(moment, f"lie {at}"))
                wishes += self._send(kind, body)
        return tuple(wishes)

    def _send(self, kind: str, body: Accusation) -> tuple[Wish, ...]:
        if len(self._sender) >= _IN_FLIGHT:
            return ()
        self._numbers += 1
        self._trace.count(f"griefs {kind}")
        return self._sender.submit(f"{kind}:{self._numbers}", body)

    def _list_challenges(self) -> list[Accusation]:
        """List challenges of all that is late, each once, as soon as anybody could."""
        found: list[Accusation] = []
        for held in self._held.values():
            place = held.place
            log = self.view.get_log(held.operator, place.session)
            if held.entry in self._challenged or log is None or place.index < log.size:
                continue
            if self.view.height >= place.include_by and len(self._sender) < _IN_FLIGHT:
                self._challenged.add(held.entry)
                found.append(_challenge(held))
        return found

    def _lie(self, chance: bytes) -> tuple[str, Accusation]:
        held = list(self._held.values())
        one, other = held[chance[0] % len(held)], held[chance[1] % len(held)]
        fork = list(self._docket.forks.values())
        match chance[2] % 7:
            case 0:
                return "challenge in time", _challenge(one)
            case 1:
                return "one receipt twice", _report_two(one, one)
            case 2:
                return "two receipts of two places", _report_two(one, other)
            case 3:
                altered = one.payload[:-2] + bytes((one.payload[-2] ^ 1,)) + one.payload[-1:]
                body = _report_two(one, one)
                return "altered receipt", _replace_second(body, altered)
            case 4:
                log = self.view.get_log(one.operator, one.place.session)
                # In a log of one entry the empty proof is right, for the true leaf alone.
                leaf = log.root if log is not None and chance[3] % 2 else sha256(chance)
                return "wrong entry", ReportWrongEntry(
                    operator=one.operator,
                    receipt=one.payload,
                    signature=one.signature,
                    leaf=leaf,
                    inclusion=(),
                )
            case 5 if fork:
                case = fork[chance[3] % len(fork)]
                against = fork[chance[4] % len(fork)]
                return "no prefix", ReportNoPrefix(
                    operator=case.operator,
                    session=case.session,
                    checkpoint=case.raw,
                    against=against.raw if chance[5] % 2 else b"",
                    root=sha256(chance),
                    consistency=(),
                )
            case _:
                return "omission in time", ConvictOmission(
                    operator=one.operator, session=one.place.session, index=one.place.index
                )


def _challenge(held: HeldReceipt) -> ChallengeReceipt:
    return ChallengeReceipt(operator=held.operator, receipt=held.payload, signature=held.signature)


def _report_two(first: HeldReceipt, second: HeldReceipt) -> ReportTwoReceipts:
    return ReportTwoReceipts(
        operator=first.operator,
        first=first.payload,
        first_signature=first.signature,
        second=second.payload,
        second_signature=second.signature,
    )


def _replace_second(body: ReportTwoReceipts, payload: bytes) -> ReportTwoReceipts:
    return ReportTwoReceipts(
        operator=body.operator,
        first=body.first,
        first_signature=body.first_signature,
        second=payload,
        second_signature=body.second_signature,
    )
