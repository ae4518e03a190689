"""A text that a node is writing: what of it was told, signed and asked to end (`TEXT-1`).

Tokens are told as they come, without a promise. Every sixteen of them the node signs what it has
so far; that is on disk before it is said, and a later life signs no other beginning of the same
text. A cancellation ends the text once it has the tokens that the gateway had heard. Must not know
hand-overs' order or the log (`work`).
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from probatum.errors import Fault
from probatum.machine.budget import Recent
from probatum.nodes.inference.journal_records import PrefixRecord
from probatum.protocol import limits
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.hexes import digest_from_hex
from probatum.protocol.logprobs import compute_logprobs_bytes
from probatum.protocol.manifests import LanguageModel, TextModel
from probatum.protocol.messages import Produced, ProducedLogprobs
from probatum.protocol.parties import Party
from probatum.protocol.prefixes import Cancellation, Prefix, compute_prefix_root, sign_prefix
from probatum.protocol.primitives import Digest, RequestId, Salt
from probatum.protocol.tensors import Tensor
from probatum.protocol.texts import Text, check_text, pack_ids, read_answer

__all__ = ["Promises", "Writing"]

_REMEMBERED = 10_000


class Promises:
    """The longest prefix that was signed of each text that was never answered."""

    def __init__(self, kept: tuple[PrefixRecord, ...] = ()) -> None:
        """Take over what an earlier life signed."""
        self._kept: Recent[Digest, tuple[int, Digest]] = Recent(limit=_REMEMBERED)
        for record in kept:
            self.keep(record)

    def keep(self, record: PrefixRecord) -> None:
        """Remember a prefix, unless a longer one is known."""
        known = self._kept.get(record.request_digest)
        if known is None or known[0] <= record.count:
            self._kept.put(record.request_digest, (record.count, record.root))

    def check(self, request_digest: Digest, salt: Salt, ids: array[int]) -> bool:
        """Check that a text does not begin otherwise than was signed before.

        Returns:
            Whether that can be said: of fewer tokens than were signed it cannot.

        Raises:
            Fault: `node.other-text`.
        """
        known = self._kept.get(request_digest)
        if known is None:
            return True
        if known[0] > len(ids):
            return False
        count, root = known
        if compute_prefix_root(salt, tuple(ids[:count])) != root.hex():
            raise Fault(
                "node.other-text",
                f"this node signed another beginning of {count} tokens of the same text",
                hint="the model or its weights changed, or the machine computes wrongly",
                retryable=False,
            )
        return True


@dataclass(slots=True, kw_only=True)
class Writing:
    """One text.

    Attributes:
        model: The language model.
        prompt: Tokens of the prompt.
        limit: Tokens at most.
        custody: Digest of the hand-over under which it is written, in hex.
        ids: All tokens so far, those of another node included.
        said: How many of them askers were told, or know already.
        signed: How many of them the last prefix has.
        top_logprobs: How many alternatives are told beside each token's logprob; None if no
            logprobs are.
        logprobs: Packed, of the tokens that this node chose itself: the last ones.
        unsaid: Signed prefixes that are on their way to the disk, by their tokens.
        cancellation: With the digest of its statement, once nobody wants more.
        curtailed: Whether the engine was told so.
    """

    model: LanguageModel
    prompt: int
    limit: int
    request_id: RequestId
    request_digest: str
    custody: str
    salt: Salt
    ids: array[int]
    said: int
    signed: int
    top_logprobs: int | None = None
    logprobs: bytearray = field(default_factory=bytearray)
    unsaid: dict[int, bytes] = field(default_factory=dict)
    cancellation: tuple[Cancellation, Digest] | None = None
    curtailed: bool = False

    def take(self, ids: tuple[int, ...], logprobs: bytes) -> None:
        """Take more tokens from the engine.

        Raises:
            Fault: `node.no-logprobs`.
        """
        top = self.top_logprobs
        if len(logprobs) != (0 if top is None else compute_logprobs_bytes(top, len(ids))):
            raise Fault("node.no-logprobs", "the engine tells other logprobs than it was asked for")
        self.ids.extend(ids)
        self.logprobs += logprobs

    def take_news(self) -> Produced | None:
        """Take the tokens that were not told yet, if there are any."""
        if self.said >= len(self.ids):
            return None
        start, self.said = self.said, len(self.ids)
        return self._show(start)

    def show_all(self) -> Produced:
        """Show everything that was told so far: for who asks later than others.

        With logprobs, what this node chose itself: it knows none of a prefix, as its reader does.
        """
        if self.top_logprobs is None:
            return self._show(0)
        size = compute_logprobs_bytes(self.top_logprobs, 1)
        return self._show(len(self.ids) - len(self.logprobs) // size)

    def _show(self, start: int) -> Produced:
        """Show the tokens from a place on that were told."""
        ids = pack_ids(tuple(self.ids[start : self.said]))
        if self.top_logprobs is None:
            return Produced(start=start, ids=ids)
        behind = compute_logprobs_bytes(self.top_logprobs, len(self.ids) - start)
        size = compute_logprobs_bytes(self.top_logprobs, self.said - start)
        first = len(self.logprobs) - behind
        told = bytes(self.logprobs[first : first + size])
        return ProducedLogprobs(start=start, ids=ids, logprobs=told)

    def promise(
        self, party: Party, signer: OperatingSigner, promises: Promises
    ) -> PrefixRecord | None:
        """Sign the beginning if it has grown enough; return what must be on disk before it is said.

        Raises:
            Fault: `node.other-text`.
        """
        count = len(self.ids) - len(self.ids) % limits.TEXT_PREFIX_TOKENS
        # Of what another program chose nobody could check a beginning, to go on with it.
        if count <= self.signed or not isinstance(self.model, TextModel):
            return None
        digest = digest_from_hex(self.request_digest)
        if not promises.check(digest, self.salt, self.ids):
            return None  # an earlier life signed more: a shorter beginning might not be its own
        root = compute_prefix_root(self.salt, tuple(self.ids[:count]))
        prefix = Prefix(
            request_id=self.request_id,
            request_digest=self.request_digest,
            node=party,
            custody=self.custody,
            count=count,
            root=root,
        )
        self.signed = count
        self.unsaid[count] = sign_prefix(prefix, signer)
        record = PrefixRecord(
            record_digest=digest_from_hex(self.custody),
            request_digest=digest,
            count=count,
            root=digest_from_hex(root),
        )
        promises.keep(record)
        return record

    def take_promise(self, count: int) -> Produced | None:
        """Take a signed prefix that is on disk now."""
        statement = self.unsaid.pop(count, None)
        if statement is None:
            return None
        return Produced(start=self.said, ids=b"", prefix=statement)

    def curtail(self) -> bool:
        """Tell whether the engine is to end now: nobody wants more, and has heard no more."""
        if self.cancellation is None or self.curtailed:
            return False
        self.curtailed = len(self.ids) >= max(1, self.cancellation[0].seen)
        return self.curtailed

    def check(self, outcome: tuple[Tensor, ...]) -> Text:
        """Check the engine's answer against what was told of it.

        Raises:
            Refusal: `text.*`.
            Fault: `node.other-text`.
        """
        text = read_answer(outcome)
        check_text(self.model, self.limit, text, cancelled=self.cancellation is not None)
        if text.ids[: len(self.ids)] != tuple(self.ids):
            raise Fault("node.other-text", "the engine's answer is not what it produced")
        return text
