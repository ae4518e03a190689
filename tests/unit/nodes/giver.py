"""A gateway's hand by itself: signs hand-overs for tests of inference nodes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import msgspec

from probatum.protocol.custody import HandOver, encode_handover
from probatum.protocol.dsse import sign_envelope
from probatum.protocol.encoding import encode_document
from probatum.protocol.hashing import hash_tagged, sha256
from probatum.protocol.messages import HandOverWork
from probatum.protocol.parties import Party
from probatum.protocol.primitives import address_to_hex, make_request_id, make_salt
from probatum.protocol.requests import ModelRef, RequestFacts
from probatum.protocol.statements import compute_record_digest
from probatum.protocol.tensors import compute_salt_commitment, make_tensor_head
from tests.unit.nodes.network import PACKAGE, account, operating, tensor

SALT = make_salt(b"s" * 32)


def party(name, role):
    address = account(name).address
    return Party(role=role, account=address_to_hex(address), key=operating(name).key.hex())


@dataclass
class Handing:
    """The parts of one hand-over; tests replace what they want to be wrong."""

    data: bytes = b"\x01\x02\x03"
    name: str = "x"
    request: str = "1"
    salt: bytes = SALT
    taker: str = "a"
    giver: str = "gateway"
    signers: tuple = ("gateway",)
    giver_party: Party | None = None
    height: int = 5
    record: dict = field(default_factory=dict)
    facts: dict = field(default_factory=dict)
    message: dict = field(default_factory=dict)

    def but(self, **changes):
        return replace(self, **changes)

    def make_facts(self):
        facts = RequestFacts(
            request_id=make_request_id(sha256(self.request.encode())[:16]),
            model=ModelRef(package=PACKAGE.hex()),
            arithmetic="float",
            assurance="signed",
            inputs=(make_tensor_head(self.salt, tensor(self.data, self.name)),),
            salt_commitment=compute_salt_commitment(self.salt).hex(),
            salt_by="gateway",
            nonce=hash_tagged("test/nonce", self.request.encode()).hex(),
            nonce_by="gateway",
        )
        return msgspec.structs.replace(facts, **self.facts)

    def make_record(self):
        facts = self.make_facts()
        record = HandOver(
            request_id=facts.request_id,
            request_digest=sha256(encode_document(facts)).hex(),
            branch=0,
            giver=self.giver_party or party(self.giver, "gateway"),
            taker=party(self.taker, "inference"),
            accepts=True,
            promise="answer",
            given_at=self.height,
            answer_by=self.height + 20,
        )
        return msgspec.structs.replace(record, **self.record)

    @property
    def digest(self):
        return compute_record_digest(encode_handover(self.make_record()))

    def make(self):
        payload = encode_handover(self.make_record())
        envelope = sign_envelope(payload, tuple(operating(name) for name in self.signers))
        work = HandOverWork(
            record=encode_document(envelope),
            facts=encode_document(self.make_facts()),
            salt=self.salt,
            inputs=(tensor(self.data, self.name),),
            time_left_ms=1_000,
        )
        return msgspec.structs.replace(work, **self.message)
