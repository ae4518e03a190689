"""What a node checks of a hand-over before it accepts it (`CUSTODY-1`, `CANON-8`).

Two pure procedures over one message: `read_handover` establishes who hands over what to whom,
`check_work` whether this node can and will do it. Cheap checks come first. Must not know what the
node holds already (`work` does).
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from probatum.client.ledger_view import LedgerView
from probatum.errors import Refusal
from probatum.nodes.inference.settings import InferenceSettings
from probatum.protocol import limits
from probatum.protocol.custody import HandOver, decode_handover
from probatum.protocol.dsse import Envelope, add_signature, check_signatures, decode_payload
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.encoding import decode_document, encode_document
from probatum.protocol.hashing import sha256
from probatum.protocol.hexes import address_from_document, digest_from_hex, key_from_hex
from probatum.protocol.manifests import Manifest, check_dims_admitted, check_tensors_match
from probatum.protocol.messages import HandOverWork
from probatum.protocol.prefixes import check_prefix, open_prefix
from probatum.protocol.primitives import Digest
from probatum.protocol.requests import RequestFacts
from probatum.protocol.statements import compute_record_digest
from probatum.protocol.tensors import check_tensor, compute_salt_commitment, make_tensor_head
from probatum.protocol.texts import read_question, unpack_ids

__all__ = [
    "HandedOver",
    "Tree",
    "check_given_prefix",
    "check_work",
    "countersign",
    "find_tree",
    "read_handover",
]

Tree: TypeAlias = Digest
"""A custody tree: the hash of the giver's key, the request and the giver's first record's digest.

Not the parts themselves: a node remembers a hundred thousand trees.
"""


class HandedOver(msgspec.Struct, frozen=True, kw_only=True):
    """A hand-over whose giver, taker and facts are established.

    Attributes:
        envelope: As the giver signed it.
        payload: What the envelope holds.
        digest: The record's digest.
        tree: The custody tree that it is a branch of.
    """

    record: HandOver
    envelope: Envelope
    payload: bytes
    digest: Digest
    tree: Tree
    facts: RequestFacts


def find_tree(record: HandOver, digest: Digest) -> Tree:
    """Tell which custody tree a hand-over belongs to.

    A repeated request id gets the same bytes within one tree (`LOG-1`). A second first record for
    the id is another acceptance by a gateway that lost its memory, perhaps of other facts: its
    receipt must cite its own custody, so it is other work.
    """
    parts = (record.giver.key, record.request_id, record.previous or digest.hex())
    return sha256("/".join(parts).encode())


def read_handover(
    message: HandOverWork, settings: InferenceSettings, view: LedgerView
) -> HandedOver:
    """Establish who hands over what.

    1. The envelope and its payload are canonical and within their limits.
    2. The giver's key, and nobody else's, signed it.
    3. The giver is a gateway that the ledger knows under this key, now.
    4. The taker is this node, with its present key.
    5. The facts are canonical and are those that the record's digest names.
    6. The salt opens its commitment (`SALT-1`). Records and facts are in the bundle, which may be
       shown to anybody; the salt is what tells those whom an answer may be told to, also again.

    Raises:
        Refusal: `encoding.*`, `dsse.*`, `statement.*`, `custody.bad-form`,
            `handover.unknown-giver`, `handover.not-for-me`, `handover.other-facts`,
            `handover.wrong-salt`.
    """
    # 1
    envelope = decode_document(Envelope, message.record, limit_bytes=limits.ENVELOPE_BYTES)
    payload = decode_payload(envelope)
    record = decode_handover(payload)
    # 2
    key = key_from_hex(record.giver.key)
    check_signatures(envelope, payload, (key,))
    # 3
    giver = view.get_node(address_from_document(record.giver.account))
    if giver is None or giver.operating_key != key or record.giver.role != "gateway":
        raise Refusal(
            "handover.unknown-giver",
            "the giver's key is not that of a registered gateway",
            hint="register the gateway, and let the node's ledger view catch up",
        )
    if "gateway" not in giver.roles:
        raise Refusal("handover.unknown-giver", "the giver is not registered as a gateway")
    # 4
    if record.taker != settings.party:
        raise Refusal("handover.not-for-me", "the record names another taker, or another key")
    # 5
    if sha256(message.facts).hex() != record.request_digest:
        raise Refusal("handover.other-facts", "the facts are not those that the record names")
    facts = decode_document(RequestFacts, message.facts, limit_bytes=limits.STATEMENT_BYTES)
    if facts.request_id != record.request_id:
        raise Refusal("handover.other-facts", "the facts have another request id than the record")
    # 6
    if compute_salt_commitment(message.salt).hex() != facts.salt_commitment:
        raise Refusal("handover.wrong-salt", "the salt does not open the facts' commitment")
    digest = compute_record_digest(payload)
    return HandedOver(
        record=record,
        envelope=envelope,
        payload=payload,
        digest=digest,
        tree=find_tree(record, digest),
        facts=facts,
    )


def check_work(
    handed: HandedOver,
    message: HandOverWork,
    settings: InferenceSettings,
    *,
    height: int,
    window_blocks: int,
) -> Manifest:
    """Check that the work can be done as it is asked for, and return the model's manifest.

    Args:
        handed: What `read_handover` established.
        message: Where it came from.
        settings: The node's.
        height: The node's view of the ledger.
        window_blocks: How far ahead the ledger's parameters let an answer be due.

    7. The answer is due not farther ahead than this node promises for, and at least half of that
       window: who accepts a promise that it cannot keep is blamed for it.
    8. The model is one that this node offers in this arithmetic class; in class `exact` the facts
       name its canonical digest, else none.
    9. The inputs together are no larger than a request may be, and each is one encoding.
    10. The inputs have, under the salt, the roots that the facts name (`SALT-1`).
    11. The inputs are what the model's manifest declares, and in class `exact` within the dims that
        it admits (`CANON-8`), of a text within its bounds (`TEXT-1`). Last, because it is said
        of the request itself: what was spoilt on the way must not be blamed on who asked.

    Raises:
        Refusal: `handover.stale`, `handover.too-far`, `handover.unknown-model`,
            `handover.other-canonical`, `handover.too-large`, `tensor.*`, `schema.*`, `text.*`,
            `handover.wrong-inputs`.
    """
    record, facts = handed.record, handed.facts
    # 7
    if record.answer_by < height + max(1, window_blocks // 2):
        raise Refusal(
            "handover.stale",
            f"the answer is due by height {record.answer_by}; this node is at {height}",
            hint="hand over again with a later answer_by",
        )
    farthest = height + settings.height_slack_blocks
    if record.given_at > farthest or record.answer_by > farthest + window_blocks:
        raise Refusal(
            "handover.too-far",
            f"given at {record.given_at}, due by {record.answer_by}; this node is at {height}",
        )
    # 8
    package = digest_from_hex(facts.model.package)
    manifest = settings.packages.get(package)
    if manifest is None or facts.arithmetic not in settings.list_classes(package):
        raise Refusal(
            "handover.unknown-model",
            f"this node does not run {facts.model.package[:16]}… in class {facts.arithmetic}",
            hint="ask the ledger who offers it",
        )
    stated = manifest.canonical.digest if manifest.canonical is not None else None
    if facts.model.canonical != (stated if facts.arithmetic == "exact" else None):
        raise Refusal(
            "handover.other-canonical", "the facts name another canonical digest than the package"
        )
    # 9
    if sum([len(tensor.data) for tensor in message.inputs]) > limits.REQUEST_BYTES:
        raise Refusal("handover.too-large", f"more than {limits.REQUEST_BYTES} bytes of inputs")
    for tensor in message.inputs:
        check_tensor(tensor)
    # 10
    heads = tuple([make_tensor_head(message.salt, tensor) for tensor in message.inputs])
    if heads != facts.inputs:
        raise Refusal("handover.wrong-inputs", "the inputs do not have the roots of the facts")
    # 11
    dims = check_tensors_match(manifest.inputs, message.inputs)
    if manifest.language is not None:
        read_question(manifest, message.inputs)
    elif facts.arithmetic == "exact":
        check_dims_admitted(manifest, dims)
    return manifest


def check_given_prefix(handed: HandedOver, message: HandOverWork) -> tuple[int, ...]:
    """Check the beginning of a text that this node is to go on with (`TEXT-1`).

    Whether the tokens are right is not checked here: that takes a prefill. Nor whose the key is
    that signed them: they are computed again anyway.

    Returns:
        Its tokens; none if the text is to be begun.

    Raises:
        Refusal: `text.other-prefix`, `text.wrong-signer`, `text.bad-ids`, `encoding.*`, `dsse.*`,
            `statement.*`.
    """
    named = handed.record.prefix
    if message.prefix is None:
        if named is not None:
            raise Refusal("text.other-prefix", "the prefix that the record names is not there")
        return ()
    prefix, digest = open_prefix(message.prefix.statement)
    if named != digest.hex():
        raise Refusal("text.other-prefix", "the record names another prefix, or none")
    ids = unpack_ids(message.prefix.ids)
    check_prefix(prefix, handed.record.request_digest, message.salt, ids)
    return ids


def countersign(handed: HandedOver, signer: OperatingSigner) -> bytes:
    """Sign the giver's record as its taker; return the canonical envelope."""
    return encode_document(add_signature(handed.envelope, signer, handed.payload))
