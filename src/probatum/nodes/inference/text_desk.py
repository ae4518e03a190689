"""Texts while they are written: tokens told, beginnings signed, ends asked for (`TEXT-1`).

Works on the pieces that `work` holds; what becomes of an answer is not known here. Read next:
`writing`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from probatum.errors import Fault, Refusal
from probatum.machine.budget import Held
from probatum.machine.wishes import Curtail, Journal, Reply, Wish
from probatum.nodes.inference.piece import Work, pledge
from probatum.nodes.inference.refusing import refuse
from probatum.nodes.inference.settings import InferenceSettings
from probatum.nodes.inference.writing import Promises, Writing
from probatum.protocol import limits
from probatum.protocol.dsse import Envelope
from probatum.protocol.encoding import decode_document, encode
from probatum.protocol.logprobs import compute_logprobs_bytes
from probatum.protocol.messages import CancelWork, Noted
from probatum.protocol.prefixes import check_cancellation, open_cancellation

__all__ = ["PREFIX", "TextDesk", "tell_news"]

PREFIX = "prefix:"
"""Before a record's digest and a prefix's length: ticket of the journal."""

Fail: TypeAlias = Callable[[str, Work, Fault], tuple[Wish, ...]]


class TextDesk:
    """Brings texts to who waits for them."""

    def __init__(
        self, settings: InferenceSettings, held: Held[str, Work], promises: Promises, fail: Fail
    ) -> None:
        """Make it.

        Args:
            settings: The node's.
            held: The work, by the digest of its hand-over.
            promises: Beginnings of texts that earlier lives signed.
            fail: Ends a piece of work that cannot be answered.
        """
        self._settings = settings
        self._held = held
        self._promises = promises
        self._fail = fail

    def check_room(self, work: Work) -> None:
        """Check that the engines have room for one more text: an accepted one must be written.

        Raises:
            Refusal: `node.busy`.
        """
        if work.writing is None:
            return
        held = [one.writing for _, one in self._held.items() if one.writing is not None]
        need = sum(self._weigh(writing) for writing in (work.writing, *held))
        if len(held) >= self._settings.open_texts or need > self._settings.text_bytes:
            raise Refusal(
                "node.busy",
                f"{len(held)} texts are being written",
                hint="ask another node, or for fewer tokens",
            )

    def _weigh(self, writing: Writing) -> int:
        told = 0
        if writing.top_logprobs is not None:
            told = compute_logprobs_bytes(writing.top_logprobs, writing.limit)
        return told + self._settings.weigh_text(writing.model, writing.prompt + writing.limit)

    def take_generated(
        self, digest: str, ids: tuple[int, ...], logprobs: bytes = b""
    ) -> tuple[Wish, ...]:
        """Take more tokens of a text: tell them, and sign the beginning now and then."""
        work = self._held.get(digest)
        if work is None or work.writing is None:
            return ()
        # The first one shows that the prefix, if another node's was to be gone on with, is right.
        pledged = pledge(work)
        try:
            work.writing.take(ids, logprobs)
            record = work.writing.promise(
                self._settings.party, self._settings.signer, self._promises
            )
        except Fault as fault:
            return (Curtail(digest), *pledged, *self._fail(digest, work, fault))
        signed: tuple[Wish, ...] = ()
        if record is not None:
            signed = (Journal(f"{PREFIX}{digest}:{record.count}", (encode(record),)),)
        return (*pledged, *tell_news(work), *signed, *_curtail(digest, work))

    def take_durable(self, name: str) -> tuple[Wish, ...]:
        """Say a signed prefix: it is on disk."""
        digest, _, count = name.partition(":")
        work = self._held.get(digest)
        said = work.writing.take_promise(int(count)) if work and work.writing else None
        if work is None or said is None:
            return ()
        return tuple(Reply(asker, said, last=False) for asker in work.askers)

    def cancel(self, conversation: str, message: CancelWork) -> tuple[Wish, ...]:
        """Take a cancellation of a text; of one that is answered, or never came, it is only noted.

        The text ends once it has what its gateway had heard of it.
        """
        noted = Reply(conversation, Noted())
        digest = message.custody.hex()
        work = self._held.get(digest)
        if work is None or work.writing is None or work.writing.cancellation is not None:
            return (noted,)
        try:
            envelope = decode_document(
                Envelope, message.cancellation, limit_bytes=limits.ENVELOPE_BYTES
            )
            record, statement = open_cancellation(envelope)
            given = work.handed.record
            check_cancellation(record, given.request_digest, given.giver)
        except Refusal as refusal:
            return (refuse(conversation, refusal),)
        work.writing.cancellation = (record, statement)
        return (noted, *_curtail(digest, work))


def tell_news(work: Work) -> tuple[Wish, ...]:
    """Tell the tokens of a text that were not told yet; not before its acceptance."""
    news = work.writing.take_news() if work.writing and work.durable else None
    if news is None:
        return ()
    return tuple(Reply(asker, news, last=False) for asker in work.askers)


def _curtail(digest: str, work: Work) -> tuple[Wish, ...]:
    """Have the engine end a text that nobody wants more of; a prefix has been checked then."""
    if work.writing is None or work.pledge is not None or not work.writing.curtail():
        return ()
    return (Curtail(digest),)
