"""Somebody who hears every message of a storm and remembers what must never be contradicted.

Receipts by their place in a log, countersigned hand-overs, headers by height. Hears messages as
they are sent, before the weather. Judges only contradictions; `checkers` compares with disks and
chain.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass, field
from typing import TypeAlias

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.bundles import decode_bundle
from probatum.protocol.custody import decode_release
from probatum.protocol.dsse import Envelope, decode_payload
from probatum.protocol.encoding import decode, decode_document, encode
from probatum.protocol.hashing import sha256
from probatum.protocol.headers import SignedHeader
from probatum.protocol.messages import (
    Accepted,
    Answer,
    Answered,
    Followed,
    GotBlock,
    GotBundle,
    GotHeader,
    GotState,
    Message,
)
from probatum.protocol.receipts import decode_receipt
from probatum.storm.trace import Trace

__all__ = ["Place", "Witness"]

Place: TypeAlias = tuple[str, int, int]
"""Where a receipt says it is: operator's account in hex, session, index."""


@dataclass(slots=True)
class Witness:
    """What was ever said.

    Attributes:
        receipts: Receipt payload by its place.
        accepted: Payload digests of countersigned hand-overs, by who sent them.
        releases: Payload of the release that charged for a request, by its first record.
        headers: Encoded signed header by height.
        height: Highest height that was ever shown.
        liars: Accounts in hex that sign two receipts for one place, or two releases, on purpose.
    """

    trace: Trace
    receipts: dict[Place, bytes] = field(default_factory=dict)
    accepted: dict[bytes, str] = field(default_factory=dict)
    releases: dict[str, bytes] = field(default_factory=dict)
    headers: dict[int, bytes] = field(default_factory=dict)
    height: int = 0
    liars: set[str] = field(default_factory=set)
    _known: set[bytes] = field(default_factory=set)

    def hear(self, sender: str, to: str, message: Message) -> None:
        """Take one message in."""
        del to
        match message:
            case Accepted(record=record):
                self._take_accepted(sender, record)
            case Answered(receipt=receipt):
                self._take_receipt(sender, receipt)
            case Answer(bundle=bundle) | GotBundle(bundle=bundle):
                self._take_bundle(sender, bundle)
            case GotHeader(header=header) | GotState(header=header) | GotBlock(header=header):
                self._take_header(sender, header)
            case Followed(blocks=blocks):
                for block in blocks:
                    self._take_header(sender, block.header)
            case _:
                pass

    def take_payload(self, sender: str, payload: bytes) -> None:
        """Take in a receipt's payload, found anywhere."""
        receipt = decode_receipt(payload)
        place = (receipt.node.account, receipt.log.session, receipt.log.index)
        known = self.receipts.setdefault(place, payload)
        if known != payload and place[0] not in self.liars:
            self.trace.find(
                "witness.index-used-twice",
                sender,
                f"session {place[1]} of {place[0]} has two receipts at index {place[2]}",
            )

    def take_release(self, sender: str, payload: bytes) -> None:
        """Take in a release's payload, found anywhere; of a request only one may charge."""
        release = decode_release(payload)
        if not release.price_units or release.gateway.account in self.liars:
            return
        if self.releases.setdefault(release.previous, payload) != payload:
            self.trace.find(
                "witness.charged-twice",
                sender,
                f"two releases charge for the first record {release.previous[:16]}",
            )

    def _is_new(self, data: bytes) -> bool:
        digest = sha256(data)
        if digest in self._known:
            return False
        self._known.add(digest)
        return True

    def _take_accepted(self, sender: str, record: bytes) -> None:
        if self._is_new(record):
            envelope = decode_document(Envelope, record, limit_bytes=limits.ENVELOPE_BYTES)
            self.accepted[sha256(decode_payload(envelope))] = sender

    def _take_receipt(self, sender: str, receipt: bytes) -> None:
        if self._is_new(receipt):
            envelope = decode_document(Envelope, receipt, limit_bytes=limits.ENVELOPE_BYTES)
            self.take_payload(sender, decode_payload(envelope))

    def _take_bundle(self, sender: str, data: bytes) -> None:
        if not self._is_new(data):
            return
        try:
            bundle = decode_bundle(data)
        except Refusal as refusal:
            self.trace.find("witness.bad-bundle", sender, str(refusal))
            return
        self.take_release(sender, decode_payload(bundle.release))
        if bundle.receipt is not None:
            self.take_payload(sender, decode_payload(bundle.receipt))
        if bundle.settlement is not None:
            # The header inside went another way than the others: it must be the same one.
            self._take_header_bytes(sender, b64decode(bundle.settlement.header))

    def _take_header_bytes(self, sender: str, data: bytes) -> None:
        self._take_header(
            sender, decode(SignedHeader, data, limit_bytes=limits.SIGNED_HEADER_BYTES)
        )

    def _take_header(self, sender: str, signed: SignedHeader) -> None:
        height = signed.header.height
        data = encode(signed)
        if self.headers.setdefault(height, data) != data:
            self.trace.find("witness.two-headers", sender, f"two signed headers at height {height}")
        self.height = max(self.height, height)
