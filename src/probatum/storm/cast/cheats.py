"""Nodes that break `LOG-1`, each in one way, and are honest in all else.

Each wraps the real machine and meddles with what goes in and out of it, so it deviates as little
as it can. What it does is written into its deeds, which outlive it.

- *equivocator*: signs a receipt for an index that it gave another one.
- *substituter*: gives a receipt and logs another one at its index.
- *forker*: shows a checkpoint of a log that is not the one it settles.
- *omitter*: forgets to log what it signs, and ignores the challenges.
- *loser*: forgets to log what it signs, and says at each challenge that its disk was lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

import msgspec

from probatum.machine.events import Arrived, Event, Moment, Returned
from probatum.machine.machine import Machine
from probatum.machine.wishes import Journal, Reply, Wish
from probatum.nodes.inference.challenges import RETURNED
from probatum.nodes.inference.journal_records import AnsweredRecord, decode_journal_record
from probatum.nodes.inference.work import ANSWER
from probatum.protocol import limits, records
from probatum.protocol.dsse import Envelope, decode_payload, sign_envelope
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.encoding import decode_document, encode_document
from probatum.protocol.hashing import sha256
from probatum.protocol.messages import Accepted, Answered, Followed, GetLogFile, GotLogFile
from probatum.protocol.notes import (
    decode_checkpoint,
    open_note,
    sign_checkpoint,
)
from probatum.protocol.primitives import Digest
from probatum.protocol.receipts import LogPosition, Receipt, decode_receipt, encode_receipt
from probatum.protocol.records import OffenceKind
from probatum.storm.docket import Act, Deeds
from probatum.storm.trace import Trace

__all__ = ["CHEATS", "Cheat", "MakeCheat"]


class Cheat:
    """A wrapped node; what each kind alters is its own."""

    def __init__(
        self, honest: Machine, signer: OperatingSigner, deeds: Deeds, trace: Trace
    ) -> None:
        """Wrap an honest machine whose operating key is `signer`'s; `deeds` outlive it."""
        self.honest = honest
        self._signer = signer
        self._deeds = deeds
        self._trace = trace

    def step(self, event: Event, moment: Moment) -> tuple[Wish, ...]:
        """Take one event; alter what comes out."""
        wishes = self.honest.step(self._hear(event), moment)
        return tuple(altered for wish in wishes for altered in self._alter(wish))

    def _hear(self, event: Event) -> Event:
        return event

    def _alter(self, wish: Wish) -> tuple[Wish, ...]:
        match wish:
            case Reply(message=Answered() as answered):
                receipt = decode_receipt(_read_payload(answered.receipt))
                other = self._forge(receipt)
                if other is None:
                    return (wish,)
                raw = self._sign(encode_receipt(other))
                message = msgspec.structs.replace(answered, receipt=raw)
                return (Reply(wish.conversation, message, last=wish.last),)
            case _:
                return (wish,)

    def _forge(self, receipt: Receipt) -> Receipt | None:
        """Say what to sign instead of a receipt, None for the receipt itself."""
        del receipt
        return None

    def _sign(self, payload: bytes) -> bytes:
        return encode_document(sign_envelope(payload, (self._signer,)))

    def _note(
        self,
        kind: OffenceKind,
        session: int,
        index: int,
        said: bytes,
        *,
        first_record: Digest | None = None,
    ) -> None:
        act = Act(
            kind=kind,
            session=session,
            index=index,
            entry=sha256(said),
            first_record=first_record,
        )
        if act not in self._deeds.acts:
            self._deeds.acts.append(act)
            self._trace.count(f"acts of {self._deeds.cheat}")


class Equivocator(Cheat):
    """Gives the next request's receipt the index of the one before."""

    def __init__(
        self, honest: Machine, signer: OperatingSigner, deeds: Deeds, trace: Trace
    ) -> None:
        """Wrap an honest machine."""
        super().__init__(honest, signer, deeds, trace)
        self._before: LogPosition | None = None
        self._forged: dict[LogPosition, Receipt] = {}

    def _forge(self, receipt: Receipt) -> Receipt | None:
        forged = self._forged.get(receipt.log)
        if forged is None:
            before, self._before = self._before, receipt.log
            if before is None or before == receipt.log or not self._deeds.is_willing:
                return None
            if before in self._forged or before.session != receipt.log.session:
                return None
            log = msgspec.structs.replace(receipt.log, index=before.index)
            forged = msgspec.structs.replace(receipt, log=log)
            self._forged[receipt.log] = forged
        self._note("entry", forged.log.session, forged.log.index, encode_receipt(forged))
        return forged


class Substituter(Cheat):
    """Logs what the honest machine wrote, and gives the customer another receipt for its index."""

    def _forge(self, receipt: Receipt) -> Receipt | None:
        log = msgspec.structs.replace(receipt.log, include_by=receipt.log.include_by - 1)
        forged = msgspec.structs.replace(receipt, log=log)
        payload = encode_receipt(forged)
        known = any(act.entry == sha256(payload) for act in self._deeds.acts)
        if not known and not self._deeds.is_willing:
            return None
        self._note("entry", log.session, log.index, payload)
        return forged


class Forker(Cheat):
    """Shows another log to whoever asks for a checkpoint, once a session."""

    def __init__(
        self, honest: Machine, signer: OperatingSigner, deeds: Deeds, trace: Trace
    ) -> None:
        """Wrap an honest machine."""
        super().__init__(honest, signer, deeds, trace)
        self._asked: dict[str, int] = {}

    def _hear(self, event: Event) -> Event:
        if isinstance(event, Arrived):
            message = event.message
            if isinstance(message, GetLogFile) and message.path == "checkpoint":
                self._asked[event.conversation] = message.session
        return event

    def _alter(self, wish: Wish) -> tuple[Wish, ...]:
        if not isinstance(wish, Reply):
            return (wish,)
        session = self._asked.pop(wish.conversation, None)
        if session is None or not isinstance(wish.message, GotLogFile):
            return (wish,)
        origin = wish.message.data.split(b"\n", 1)[0].decode()
        checkpoint = decode_checkpoint(open_note(wish.message.data, origin, self._signer.key))
        done = any(act.session == session for act in self._deeds.acts)
        if not checkpoint.size or done or not self._deeds.is_willing:
            return (wish,)
        forged = sign_checkpoint(
            type(checkpoint)(origin=origin, size=checkpoint.size, root=sha256(checkpoint.root)),
            self._signer,
        )
        self._note("fork", session, 0, forged)
        return (Reply(wish.conversation, GotLogFile(data=forged), last=wish.last),)


class Loser(Cheat):
    """From some answer of a life on logs no more, but signs; the next life knows nothing of it."""

    def __init__(
        self, honest: Machine, signer: OperatingSigner, deeds: Deeds, trace: Trace
    ) -> None:
        """Wrap an honest machine."""
        super().__init__(honest, signer, deeds, trace)
        self._accepted: dict[bytes, str] = {}
        self._unsaid: dict[bytes, Answered] = {}
        self._logged = 0
        self._dropping = False

    def _alter(self, wish: Wish) -> tuple[Wish, ...]:
        match wish:
            case Reply(message=Accepted(record=record)):
                digest = sha256(_read_payload(record))
                self._accepted[digest] = wish.conversation
                return (wish, *self._say(digest))
            case Journal(ticket=ticket) if ticket.startswith(ANSWER) and self._is_dropping():
                record_ = decode_journal_record(wish.records[-1])
                assert isinstance(record_, AnsweredRecord), "what answers are written down as"
                said = Answered(receipt=self._sign(record_.payload), outputs=record_.outputs)
                self._note("omission", record_.session, record_.index, record_.payload)
                self._unsaid[record_.record_digest] = said
                return self._say(record_.record_digest)
            case Journal(ticket=ticket) if ticket.startswith(RETURNED) and self._dropping:
                return ()  # there is no place for it either; the next life does it again
            case _:
                return (wish,)

    def _is_dropping(self) -> bool:
        # What follows an entry that is not on disk cannot be logged either: it never ends.
        self._logged += 1
        self._dropping = self._dropping or (self._logged > 1 and self._deeds.is_willing)
        return self._dropping

    def _say(self, digest: bytes) -> tuple[Wish, ...]:
        """Answer once the acceptance was said."""
        if digest not in self._accepted or digest not in self._unsaid:
            return ()
        return (Reply(self._accepted[digest], self._unsaid.pop(digest)),)


class Omitter(Loser):
    """Does the same and never looks at challenges."""

    def _hear(self, event: Event) -> Event:
        match event:
            case Returned(message=Followed() as followed):
                blocks = tuple(
                    msgspec.structs.replace(
                        block,
                        changes=tuple(
                            change
                            for change in block.changes
                            if not change.key.startswith(records.CHALLENGE)
                        ),
                    )
                    for block in followed.blocks
                )
                message = msgspec.structs.replace(followed, blocks=blocks)
                return Returned(event.call, message, event.last)
            case _:
                return event


def _read_payload(raw: bytes) -> bytes:
    return decode_payload(decode_document(Envelope, raw, limit_bytes=limits.ENVELOPE_BYTES))


MakeCheat: TypeAlias = Callable[[Machine, OperatingSigner, Deeds, Trace], Cheat]
"""Wraps an honest machine."""

CHEATS: Final[Mapping[str, MakeCheat]] = MappingProxyType(
    {
        "equivocator": Equivocator,
        "forker": Forker,
        "loser": Loser,
        "omitter": Omitter,
        "substituter": Substituter,
    }
)
"""Every kind, by the name that plans use."""
