"""Signed things for tests: parties, hand-overs, receipts, state, headers, bundles.

Everything is real (keys, signatures, proofs) and the same every time. `make_bundle` builds one
request from its branches to its settlement; its arguments say how the story went.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from probatum.consensus.trusting import make_header_check
from probatum.evidence.settlement import encode_header
from probatum.ledger.statemap import MemoryNodeStore, MerkleMap
from probatum.protocol.bundles import BUNDLE_FORMAT, Bundle, Settlement, encode_bundle
from probatum.protocol.custody import HandOver, Release, encode_handover, encode_release
from probatum.protocol.dsse import Envelope, decode_payload, sign_envelope
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.encoding import encode
from probatum.protocol.hashing import sha256
from probatum.protocol.headers import Header, KeySeal, SignedHeader, compute_header_hash
from probatum.protocol.mapproof import StateProof
from probatum.protocol.merkle import MerkleLog, leaf_hash
from probatum.protocol.parties import Party
from probatum.protocol.primitives import (
    Address,
    Nonce,
    RequestId,
    Salt,
    address_to_hex,
    make_digest,
    make_nonce,
    make_request_id,
    make_salt,
)
from probatum.protocol.receipts import LogPosition, Receipt, encode_receipt
from probatum.protocol.records import (
    KeyRecord,
    LogRecord,
    NodeRecord,
    OfferRecord,
    get_key_key,
    get_log_key,
)
from probatum.protocol.requests import ModelRef, RequestFacts, compute_request_digest
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.statements import compute_record_digest
from probatum.protocol.tensors import Tensor, compute_salt_commitment, make_tensor_head
from probatum.protocol.trust import TRUST_FORMAT, KeyTrust

CHAIN_ID = 77_001
GENESIS_HASH = sha256(b"genesis of the tests")
SALT: Salt = make_salt(b"\x11" * 32)
NONCE: Nonce = make_nonce(b"\x22" * 32)
PACKAGE = sha256(b"package of the tests")
REQUEST_ID: RequestId = make_request_id(b"\x33" * 16)


@dataclass(frozen=True)
class Actor:
    """A node with its keys."""

    role: str
    seed: int

    @property
    def signer(self) -> OperatingSigner:
        return OperatingSigner(sha256(b"operating %d" % self.seed))

    @property
    def wallet(self) -> AccountSigner:
        return AccountSigner(sha256(b"account %d" % self.seed))

    @property
    def account(self) -> Address:
        return self.wallet.address

    @property
    def party(self) -> Party:
        return Party(
            role=self.role, account=address_to_hex(self.account), key=self.signer.key.hex()
        )


GATEWAY = Actor("gateway", 1)
NODES = tuple(Actor("inference", number) for number in range(10, 14))
LEDGER = OperatingSigner(sha256(b"ledger"))


def make_trust(**changes) -> KeyTrust:
    fields = {
        "format": TRUST_FORMAT,
        "chain_id": CHAIN_ID,
        "genesis_hash": GENESIS_HASH.hex(),
        "engine": "embedded",
        "key": LEDGER.key.hex(),
    }
    return KeyTrust(**(fields | changes))


def make_check(trust: KeyTrust):
    """What `check_bundle` wants: whether to believe a header, by this trust file."""
    return make_header_check(trust, now_ms=0)


def sign_header(header: Header, signer: OperatingSigner = LEDGER) -> SignedHeader:
    signature = signer.sign(compute_header_hash(header))
    return SignedHeader(header=header, seal=KeySeal(key=signer.key, signature=signature))


def make_header(height: int, previous: bytes = bytes(32), **changes) -> SignedHeader:
    fields = {
        "chain_id": CHAIN_ID,
        "genesis_hash": GENESIS_HASH,
        "height": height,
        "previous": make_digest(previous),
        "state_root": sha256(b"state %d" % height),
        "transactions_root": sha256(b""),
        "results_root": sha256(b""),
        "time_ms": 1_000 * height,
    }
    return sign_header(Header(**(fields | changes)))


def make_chain(length: int, *, fork: bytes = b"", first: SignedHeader | None = None):
    """Headers from height 1 (or after `first`), each the child of the one before."""
    headers = [first] if first else []
    while len(headers) < length + bool(first):
        previous = compute_header_hash(headers[-1].header) if headers else GENESIS_HASH
        height = headers[-1].header.height + 1 if headers else 1
        headers.append(make_header(height, previous, results_root=sha256(fork)))
    return headers[bool(first) :]


class KnownState:
    """A state map together with the records that it is of."""

    def __init__(self, tree: MerkleMap, records: dict[bytes, bytes]) -> None:
        self.root = tree.root
        self._tree = tree
        self.records = records

    def prove(self, key: bytes) -> StateProof:
        return self._tree.prove(key, self.records.get(key))


def make_state(records: dict[bytes, bytes]) -> KnownState:
    store = MemoryNodeStore()
    update = MerkleMap(store).update(records)
    store.commit(update)
    return KnownState(MerkleMap(store, update.root), dict(records))


def make_tensor(name: str = "x", values: bytes = b"\x01\x02\x03\x04") -> Tensor:
    return Tensor(name=name, dtype="uint8", shape=(1, len(values)), data=values)


INPUTS = (make_tensor("x"),)
OUTPUTS = (make_tensor("y", b"\x09\x08"),)


def make_facts(**changes) -> RequestFacts:
    fields = {
        "request_id": REQUEST_ID,
        "model": ModelRef(package=PACKAGE.hex()),
        "arithmetic": "float",
        "assurance": "signed",
        "inputs": tuple(make_tensor_head(SALT, tensor) for tensor in INPUTS),
        "salt_commitment": compute_salt_commitment(SALT).hex(),
        "salt_by": "client",
        "nonce": NONCE.hex(),
        "nonce_by": "client",
    }
    return RequestFacts(**(fields | changes))


def digest_of(envelope: Envelope) -> str:
    return compute_record_digest(decode_payload(envelope)).hex()


def make_handover(
    facts: RequestFacts,
    branch: int,
    node: Actor,
    *,
    first: Envelope | None = None,
    acknowledged: bool = True,
    giver: Actor = GATEWAY,
    **changes,
) -> Envelope:
    fields = {
        "request_id": facts.request_id,
        "request_digest": compute_request_digest(facts).hex(),
        "branch": branch,
        "giver": giver.party,
        "taker": node.party,
        "accepts": first is None,
        "promise": "answer",
        "given_at": 40 + branch,
        "answer_by": 50 + branch,
        "previous": digest_of(first) if first else None,
    }
    payload = encode_handover(HandOver(**(fields | changes)))
    signers = (giver.signer, node.signer) if acknowledged else (giver.signer,)
    return sign_envelope(payload, signers)


def make_receipt(facts: RequestFacts, node: Actor, handover: Envelope, **changes) -> Envelope:
    fields = {
        "request": facts,
        "outputs": tuple(make_tensor_head(SALT, tensor) for tensor in OUTPUTS),
        "evidence": "signed",
        "node": node.party,
        "log": LogPosition(session=0, index=2, include_by=80),
        "custody": digest_of(handover),
    }
    return sign_envelope(encode_receipt(Receipt(**(fields | changes))), (node.signer,))


def make_release(
    facts: RequestFacts,
    custody: tuple[Envelope, ...],
    receipt: Envelope | None,
    answered: int | None,
    *,
    gateway: Actor = GATEWAY,
    **changes,
) -> Envelope:
    digests = tuple(digest_of(envelope) for envelope in custody)
    had = ("signed",) if receipt else ()
    fields = {
        "request_id": facts.request_id,
        "request_digest": compute_request_digest(facts).hex(),
        "gateway": gateway.party,
        "outcome": "answered" if receipt else "failed",
        "asked": ("signed",),
        "obtained": had,
        "missing": () if receipt else ("signed",),
        "released_at": 45,
        "branches": digests,
        "acknowledged": tuple(digest_of(e) for e in custody if len(e.signatures) > 1),
        "previous": digests[0],
        "receipt": digest_of(receipt) if receipt else None,
        "answered_branch": digests[answered] if receipt else None,
        "reason": None if receipt else "gateway.no-answer",
    }
    return sign_envelope(encode_release(Release(**(fields | changes))), (gateway.signer,))


@dataclass(frozen=True)
class Made:
    """A bundle and what it was made of."""

    bundle: Bundle
    facts: RequestFacts
    log: MerkleLog = field(repr=False)
    state: KnownState | None = field(repr=False)

    @property
    def data(self) -> bytes:
        return encode_bundle(self.bundle)

    def with_(self, **changes) -> bytes:
        return encode_bundle(msgspec.structs.replace(self.bundle, **changes))


def make_log(entry: bytes | None, *, index: int = 2, size: int = 5) -> MerkleLog:
    log = MerkleLog()
    for number in range(size):
        own = entry is not None and number == index
        log.append(leaf_hash(entry if own else sha256(b"entry %d" % number)))
    return log


def make_bundle(
    branches: tuple[tuple[Actor, bool], ...] = ((NODES[0], True), (NODES[1], True)),
    answered: int | None = None,
    *,
    failed: bool = False,
    settled: bool = True,
    facts: RequestFacts | None = None,
    receipt_changes: dict | None = None,
    release_changes: dict | None = None,
    log_changes: dict | None = None,
    key_changes: dict | None = None,
    handover_changes: dict | None = None,
    log_size: int = 5,
    height: int = 60,
) -> Made:
    """Make a request's bundle.

    Args:
        branches: Who was handed the request, and whether it countersigned.
        answered: Which branch answered; the last one by default.
        failed: No receipt, a failed release, no settlement.
        settled: Whether there is a settlement.
        facts: What was asked.
        receipt_changes: Fields of the receipt that are other than usual.
        release_changes: Ditto of the release.
        log_changes: Ditto of the ledger's log record.
        key_changes: Ditto of the ledger's key records.
        handover_changes: Ditto of all hand-overs.
        log_size: Settled size of the node's log; the receipt is entry 2.
        height: Of the header.
    """
    facts = facts or make_facts()
    custody: list[Envelope] = []
    for number, (taker, acknowledged) in enumerate(branches):
        first = custody[0] if custody else None
        more = handover_changes or {}
        custody.append(
            make_handover(facts, number, taker, first=first, acknowledged=acknowledged, **more)
        )
    answered = len(branches) - 1 if answered is None else answered
    node = branches[answered][0]
    receipt = None
    if not failed:
        receipt = make_receipt(facts, node, custody[answered], **(receipt_changes or {}))
    release = make_release(facts, tuple(custody), receipt, answered, **(release_changes or {}))
    bundle = Bundle(format=BUNDLE_FORMAT, custody=tuple(custody), release=release, receipt=receipt)
    if receipt is None:
        return Made(bundle=bundle, facts=facts, log=MerkleLog(), state=None)
    log = make_log(bytes.fromhex(digest_of(receipt)), size=log_size)
    signers = [GATEWAY] + [taker for taker, acknowledged in branches if acknowledged]
    state = make_settled_state(node, signers, log, log_changes or {}, key_changes or {})
    made = Made(bundle=bundle, facts=facts, log=log, state=state)
    if not settled:
        return made
    return Made(
        bundle=msgspec.structs.replace(
            bundle, settlement=make_settlement(made, node, signers, height)
        ),
        facts=facts,
        log=log,
        state=state,
    )


def make_log_record(node: Actor, log: MerkleLog, **changes) -> LogRecord:
    fields = {
        "operator": node.account,
        "session": 0,
        "opener": sha256(b"opener"),
        "operating_key": node.signer.key,
        "size": len(log),
        "root": log.root(),
        "opened_at": 10,
        "settled_at": 55,
    }
    return LogRecord(**(fields | changes))


def make_settled_state(node, signers, log, log_changes, key_changes) -> KnownState:
    records = {
        get_log_key(node.account, 0): encode(make_log_record(node, log, **log_changes)),
        b"supply": b"filler",
    }
    for actor in signers:
        fields = {"account": actor.account, "registered_at": 5, "retired_at": None} | key_changes
        records[get_key_key(actor.signer.key)] = encode(KeyRecord(**fields))
    return make_state(records)


def make_settlement(made: Made, node: Actor, signers: list[Actor], height: int) -> Settlement:
    header = make_header(height, state_root=made.state.root.digest)
    keys = sorted({actor.signer.key for actor in signers} - {node.signer.key})
    return Settlement(
        inclusion=tuple(item.hex() for item in made.log.inclusion_proof(2, len(made.log))),
        header=encode_header(header),
        log=made.state.prove(get_log_key(node.account, 0)),
        keys=tuple(made.state.prove(get_key_key(key)) for key in keys),
    )


def make_node_record(actor: Actor, **changes) -> NodeRecord:
    fields = {
        "account": actor.account,
        "operating_key": actor.signer.key,
        "endpoint": f"http://127.0.0.1:{9_000 + actor.seed}",
        "roles": (actor.role,),
        "registered_at": 1,
        "heartbeat_at": 40,
        "sequence": 0,
        "sessions": 1,
    }
    return NodeRecord(**(fields | changes))


def make_offer(actor: Actor, **changes) -> OfferRecord:
    fields = {
        "operator": actor.account,
        "package": PACKAGE,
        "arithmetic": "float",
        "evidence": "signed",
        "price_units": 0,
        "offered_at": 2,
    }
    return OfferRecord(**(fields | changes))
