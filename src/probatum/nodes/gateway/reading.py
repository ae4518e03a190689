"""A text as a gateway hears it: from several nodes perhaps, told once (`TEXT-1`).

The text of a request is one, whoever writes it: what another node says again is held against what
was told, and told no second time. The longest signed beginning is what a further node is given to
go on with. Tokens alone are no promise, so where two nodes differ only the answer counts; nothing
more is told then. Must not know who asked, or hand-overs' order (`failover`).
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Final, Literal

from probatum.errors import Refusal
from probatum.nodes.gateway.branches import Branch
from probatum.nodes.gateway.settings import GatewaySettings
from probatum.protocol.dsse import Envelope
from probatum.protocol.encoding import encode_document
from probatum.protocol.logprobs import compute_logprobs_bytes, unpack_logprobs
from probatum.protocol.manifests import LanguageModel
from probatum.protocol.messages import (
    CancelWork,
    GivenPrefix,
    HandOverLogprobs,
    HandOverWork,
    Produced,
    ProducedLogprobs,
)
from probatum.protocol.prefixes import (
    Cancellation,
    check_prefix,
    open_cancellation,
    open_prefix,
    sign_cancellation,
)
from probatum.protocol.primitives import Digest, Salt
from probatum.protocol.receipts import Receipt
from probatum.protocol.requests import RequestFacts
from probatum.protocol.tensors import Tensor
from probatum.protocol.texts import check_text, pack_ids, read_answer, unpack_ids

__all__ = ["WRONG_PREFIX", "Reading"]

WRONG_PREFIX: Final = "text.wrong-prefix"
"""What a node says that was to go on with a text that the rule does not write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signed:
    """The beginning of the text that some node signed; `digest` is its statement's."""

    statement: bytes
    digest: Digest
    ids: bytes
    count: int


@dataclass(slots=True, kw_only=True)
class Reading:
    """What was heard of one request's text.

    Attributes:
        limit: Tokens at most.
        told: The longest text that was heard; streams were told it.
        differs: Whether some node said another text than was told.
        heard: What each branch said, by its number; what it was given included.
        signed: How many tokens the last prefix of each branch has.
        prefix: The longest signed beginning.
        is_doubted: Whether a node refused to go on with it: nobody is given it any more.
        top_logprobs: How many alternatives are wanted beside each token's logprob; None if no
            logprobs are.
        logprobs: Packed, of all tokens that were told.
        streams: Conversations that want tokens as they come.
        done: Conversations that have enough.
        cancelled: The signed cancellation and the digest of its statement, once there is one.
    """

    model: LanguageModel
    limit: int
    told: array[int] = field(default_factory=lambda: array("I"))
    differs: bool = False
    heard: dict[int, array[int]] = field(default_factory=dict)
    signed: dict[int, int] = field(default_factory=dict)
    prefix: _Signed | None = None
    is_doubted: bool = False
    top_logprobs: int | None = None
    logprobs: bytearray = field(default_factory=bytearray)
    streams: dict[str, None] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    cancelled: tuple[Envelope, Digest] | None = None
    seen: int = 0

    def begin(self, branch: int) -> GivenPrefix | None:
        """Begin to listen to a branch; return what its node is to go on with, if anything."""
        given = self.get_given()
        self.heard[branch] = array("I", unpack_ids(given.ids) if given else ())
        return GivenPrefix(statement=given.statement, ids=given.ids) if given else None

    def wish(self, message: HandOverWork) -> HandOverWork:
        """Say in a hand-over that logprobs are wanted, if they are."""
        if self.top_logprobs is None:
            return message
        said = {name: getattr(message, name) for name in message.__struct_fields__}
        return HandOverLogprobs(**said, top_logprobs=self.top_logprobs)

    def get_given(self) -> _Signed | None:
        """Get the signed beginning that a further node is to be given."""
        return None if self.is_doubted else self.prefix

    def hear(
        self, branch: Branch, facts: RequestFacts, salt: Salt, message: Produced
    ) -> Produced | None:
        """Take more tokens of a branch; return what streams are to be told.

        Raises:
            Refusal: `gateway.wrong-answer` for what cannot be said of this text; `text.*`,
                `encoding.*`, `dsse.*`, `statement.*` for a prefix that does not hold.
        """
        heard = self.heard[branch.number]
        ids = unpack_ids(message.ids)
        if not (ids or message.prefix):
            raise Refusal("gateway.wrong-answer", "the node says nothing, at length")
        if message.start > len(heard) or message.start + len(ids) > self.limit:
            raise Refusal("gateway.wrong-answer", "tokens that have no place in the answer")
        if not all(one < self.model.vocabulary for one in ids):
            raise Refusal("gateway.wrong-answer", "a token that is none")
        self._check_logprobs(ids, message)
        known = len(heard) - message.start
        if tuple(heard[message.start : message.start + len(ids)]) != ids[:known]:
            raise Refusal("gateway.wrong-answer", "the node says other tokens than it said before")
        heard.extend(ids[known:])
        if message.prefix:
            self._take_prefix(branch, facts, salt, message.prefix)
        elif len(ids) <= known:
            raise Refusal("gateway.wrong-answer", "the node says what it has said before")
        return self._tell(heard, message)

    def _check_logprobs(self, ids: tuple[int, ...], message: Produced) -> None:
        """Check that logprobs come with tokens exactly where they are wanted.

        Raises:
            Refusal: `gateway.wrong-answer`, `text.bad-logprobs`.
        """
        if not isinstance(message, ProducedLogprobs):
            if ids and self.top_logprobs is not None:
                raise Refusal("gateway.wrong-answer", "the node tells tokens without logprobs")
            return
        if self.top_logprobs is None:
            raise Refusal("gateway.wrong-answer", "logprobs that nobody asked for")
        said = unpack_logprobs(message.logprobs, ids, self.top_logprobs)
        if not all(token < self.model.vocabulary for place in said for token, _ in place.top):
            raise Refusal("gateway.wrong-answer", "an alternative that is no token")

    def _take_prefix(
        self, branch: Branch, facts: RequestFacts, salt: Salt, statement: bytes
    ) -> None:
        prefix, digest = open_prefix(statement)
        heard = self.heard[branch.number]
        if prefix.node != branch.record.taker or prefix.custody != branch.digest.hex():
            raise Refusal("gateway.wrong-answer", "the prefix is not this node's own")
        if prefix.count <= self.signed.get(branch.number, 0):
            raise Refusal("gateway.wrong-answer", "the node signs what it has signed before")
        self.signed[branch.number] = prefix.count
        ids = tuple(heard[: prefix.count])
        if prefix.request_id != facts.request_id:
            raise Refusal("gateway.wrong-answer", "the prefix is of another request")
        check_prefix(prefix, branch.record.request_digest, salt, ids)
        if self.prefix is None or prefix.count > self.prefix.count:
            self.prefix = _Signed(
                statement=statement, digest=digest, ids=pack_ids(ids), count=prefix.count
            )

    def _tell(self, heard: array[int], message: Produced) -> Produced | None:
        told, common = self.told, min(len(self.told), len(heard))
        start = min(message.start, common)
        self.differs = self.differs or told[start:common] != heard[start:common]
        if self.differs:
            return None
        news = tuple(heard[common:]) if len(heard) > len(told) else ()
        told.extend(news)
        if not (news or message.prefix):
            return None
        packed, start = pack_ids(news), len(told) - len(news)
        if self.top_logprobs is None or not isinstance(message, ProducedLogprobs):
            return Produced(start=start, ids=packed, prefix=message.prefix)
        # News are the last tokens of this message: its branch said all others before.
        size = compute_logprobs_bytes(self.top_logprobs, len(news))
        logprobs = message.logprobs[len(message.logprobs) - size :]
        self.logprobs += logprobs
        return ProducedLogprobs(start=start, ids=packed, prefix=message.prefix, logprobs=logprobs)

    def show_all(self) -> Produced | None:
        """Show everything that was told so far, to who comes later."""
        if self.differs or not self.told:
            return None
        ids = pack_ids(tuple(self.told))
        if self.top_logprobs is None:
            return Produced(start=0, ids=ids)
        return ProducedLogprobs(start=0, ids=ids, logprobs=bytes(self.logprobs))

    def cancel(
        self,
        facts: RequestFacts,
        request_digest: str,
        settings: GatewaySettings,
        reason: Literal["hung-up", "enough"],
    ) -> None:
        """Sign that nobody wants more than was heard, once."""
        if self.cancelled is not None:
            return
        self.seen = len(self.told)
        record = Cancellation(
            request_id=facts.request_id,
            request_digest=request_digest,
            by=settings.party,
            seen=self.seen,
            reason=reason,
        )
        envelope = sign_cancellation(record, settings.signer)
        self.cancelled = (envelope, open_cancellation(envelope)[1])

    def make_cancel(self, branch: Branch) -> CancelWork | None:
        """Make what a node is told that writes for nobody; None while somebody reads."""
        if self.cancelled is None:
            return None
        return CancelWork(custody=branch.digest, cancellation=encode_document(self.cancelled[0]))

    def check(self, branch: Branch, receipt: Receipt, outputs: tuple[Tensor, ...]) -> None:
        """Check an answer's text as far as that is possible without the model (`TEXT-1`).

        It is a text, has ended or was cancelled, begins with what its node said, has all that was
        heard if it was cancelled, and its receipt names the cancellation exactly then.

        Raises:
            Refusal: `gateway.wrong-answer`, `text.*`.
        """
        text = read_answer(outputs)
        check_text(self.model, self.limit, text, cancelled=self.cancelled is not None)
        heard = tuple(self.heard[branch.number])
        if text.ids[: len(heard)] != heard:
            raise Refusal("gateway.wrong-answer", "the answer is not what its node said before")
        named = None
        if not text.ended and self.cancelled is not None:
            named = self.cancelled[1].hex()
            if len(text.ids) < self.seen:
                raise Refusal("gateway.wrong-answer", "the answer lacks tokens that were heard")
        if receipt.cancelled != named:
            raise Refusal("gateway.wrong-answer", "the receipt names another cancellation, or none")
