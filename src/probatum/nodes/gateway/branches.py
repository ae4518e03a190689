"""One hand-over of a request to one node, and what a gateway checks of what comes back.

Must not know what follows from a branch's failure (`request_desk` does).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from probatum.client.ledger_view import LedgerView
from probatum.errors import Refusal
from probatum.evidence.custody import CheckedBranch
from probatum.evidence.receipt import check_outputs, check_receipt
from probatum.nodes.gateway.settings import GatewaySettings
from probatum.protocol import limits
from probatum.protocol.custody import HandOver, encode_handover
from probatum.protocol.dsse import Envelope, check_added_signature, sign_envelope
from probatum.protocol.encoding import decode_document
from probatum.protocol.manifests import Manifest, check_tensors_match
from probatum.protocol.messages import Accepted, Answered
from probatum.protocol.parties import Party
from probatum.protocol.primitives import Digest, Salt, address_to_hex
from probatum.protocol.receipts import Receipt
from probatum.protocol.records import NodeRecord
from probatum.protocol.requests import RequestFacts, compute_request_digest
from probatum.protocol.statements import compute_record_digest

__all__ = [
    "Branch",
    "CheckedAnswer",
    "Terms",
    "check_accepted",
    "check_answered",
    "find_cited",
    "open_branch",
]

State = Literal["sent", "accepted", "overdue", "ended"]


class Branch(msgspec.Struct, kw_only=True):
    """A hand-over that this gateway opened.

    Attributes:
        name: Names the branch among all of all requests.
        node: The taker as the ledger knew it.
        envelope: With the taker's countersignature once it has acknowledged.
        state: ``overdue`` ones may still answer; ``ended`` ones cannot.
        parked: An answer from a log session that this gateway's view does not show yet.
        replies: How many replies came.
    """

    name: str
    number: int
    node: NodeRecord
    record: HandOver
    digest: Digest
    envelope: Envelope
    sent_ms: int
    acknowledged: bool = False
    state: State = "sent"
    parked: Answered | None = None
    replies: int = 0

    @property
    def checked(self) -> CheckedBranch:
        """The branch as evidence takes it; this gateway made it, or has checked it."""
        return CheckedBranch(digest=self.digest, record=self.record, acknowledged=self.acknowledged)


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway says of a request beside its facts.

    Attributes:
        price_units: What the node may charge for the answer (`PAY-1`).
        opener: What this life of the gateway drew, if who asked will be charged: no other life
            signs the same first record.
        caller: Who asked, as the door established; said in the record that accepts the request.
        prefix: Statement of the signed beginning of a text that the taker goes on with.
    """

    price_units: int = 0
    opener: Digest | None = None
    caller: str = ""
    prefix: Digest | None = None


class CheckedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A node's answer that passed every check; `entry` is the receipt's digest, in its log."""

    envelope: Envelope
    receipt: Receipt
    entry: Digest
    message: Answered


def open_branch(
    facts: RequestFacts,
    node: NodeRecord,
    earlier: list[Branch],
    settings: GatewaySettings,
    *,
    height: int,
    window_blocks: int,
    now_ms: int,
    terms: Terms | None = None,
) -> Branch:
    """Sign the next hand-over of a request; the first one also accepts it (`CUSTODY-1`).

    Args:
        facts: The request.
        node: Who is to answer.
        earlier: The hand-overs of this request so far.
        settings: The gateway's.
        height: The gateway's view of the ledger.
        window_blocks: Blocks that the ledger's parameters give a taker.
        now_ms: Now, for measuring.
        terms: What else is said, if anything.
    """
    terms = terms or Terms()
    record = HandOver(
        request_id=facts.request_id,
        request_digest=compute_request_digest(facts).hex(),
        branch=len(earlier),
        giver=settings.party,
        taker=Party(
            role="inference",
            account=address_to_hex(node.account),
            key=node.operating_key.hex(),
        ),
        accepts=not earlier,
        promise="answer",
        given_at=height,
        answer_by=height + window_blocks,
        previous=earlier[0].digest.hex() if earlier else None,
        accepted_from=terms.caller if terms.caller and not earlier else None,
        price_units=terms.price_units,
        opener=terms.opener.hex() if terms.opener and not earlier else None,
        prefix=terms.prefix.hex() if terms.prefix and earlier else None,
    )
    payload = encode_handover(record)
    return Branch(
        name=f"{facts.request_id}:{record.branch}",
        number=record.branch,
        node=node,
        record=record,
        digest=compute_record_digest(payload),
        envelope=sign_envelope(payload, (settings.signer,)),
        sent_ms=now_ms,
    )


def check_accepted(message: Accepted, branch: Branch, branches: list[Branch]) -> Branch:
    """Check a countersignature and note it on the branch that it acknowledges.

    That is the branch that asked, or an earlier one to the same node: a node that has answered a
    request says so with the record that it accepted first (`LOG-1`). The record and the first
    signature are this gateway's own, so the second one alone is checked, and once.

    Raises:
        Refusal: `encoding.*`, `dsse.*`, `gateway.other-acceptance`.
    """
    envelope = decode_document(Envelope, message.record, limit_bytes=limits.ENVELOPE_BYTES)
    for known in branches:
        if envelope == known.envelope and known.acknowledged:
            return known
        same_taker = known.record.taker == branch.record.taker
        if same_taker and envelope.payload == known.envelope.payload and not known.acknowledged:
            check_added_signature(known.envelope, envelope, known.node.operating_key)
            known.envelope = envelope
            known.acknowledged = True
            return known
    raise Refusal("gateway.other-acceptance", "the node did not countersign what it was handed")


def find_cited(branches: list[Branch], receipt: Receipt) -> Branch:
    """Find the hand-over that a receipt cites; `check_receipt` has seen that there is one."""
    return next(known for known in branches if known.digest.hex() == receipt.custody)


def check_answered(
    message: Answered,
    branch: Branch,
    branches: list[Branch],
    facts: RequestFacts,
    salt: Salt,
    view: LedgerView,
    settings: GatewaySettings,
    manifest: Manifest,
) -> CheckedAnswer:
    """Check a node's answer.

    1. The envelope is canonical; the receipt is signed by the node that it names, about this
       request, and cites a hand-over that this node has acknowledged (`check_receipt`).
    2. The node is the one that was asked.
    3. Facts and evidence are those that were asked for.
    4. The log session is the node's in the ledger, and under the signing key. It is the newest, or
       the hand-over was there before the next one was opened: a node that started again tells its
       answer again, with the same bytes (`LOG-1`).
    5. The height of inclusion is ahead, and no farther than the ledger's parameters say.
    6. The outputs are no larger than an answer may be, and have the receipt's roots under the
       request's salt (`SALT-1`).
    7. The outputs are those that the model's manifest declares.

    Raises:
        Refusal: `encoding.*`, `dsse.*`, `receipt.*`, `gateway.wrong-answer`,
            `gateway.unknown-session` where the view may be behind.
    """
    # 1
    envelope = decode_document(Envelope, message.receipt, limit_bytes=limits.ENVELOPE_BYTES)
    receipt, entry = check_receipt(envelope, tuple([known.checked for known in branches]))
    # 2
    if receipt.node != branch.record.taker:
        raise Refusal("gateway.wrong-answer", "the receipt is by another node than was asked")
    # 3
    if receipt.request != facts or receipt.evidence != facts.assurance:
        raise Refusal("gateway.wrong-answer", "the receipt is about another request")
    # 4
    node = view.get_node(branch.node.account)
    log = view.get_log(branch.node.account, receipt.log.session)
    if node is None or log is None or receipt.log.session >= node.sessions:
        raise Refusal("gateway.unknown-session", "the ledger has no such log session yet")
    if log.operating_key.hex() != receipt.node.key:
        raise Refusal("gateway.wrong-answer", "the receipt's log session is under another key")
    if receipt.log.opener != log.opener.hex():
        raise Refusal("gateway.wrong-answer", "the receipt does not name who opened its session")
    newer = view.get_log(branch.node.account, receipt.log.session + 1)
    if newer is not None and find_cited(branches, receipt).record.given_at > newer.opened_at:
        raise Refusal("gateway.wrong-answer", "the receipt's log session ended before it was asked")
    # 5
    params = view.get_params()
    window = params.include_window_blocks if params else 0
    farthest = view.height + window + settings.height_slack_blocks
    if not view.height < receipt.log.include_by <= farthest:
        raise Refusal("gateway.wrong-answer", "the receipt's height of inclusion is out of range")
    # 6
    if sum([len(tensor.data) for tensor in message.outputs]) > limits.ANSWER_BYTES:
        raise Refusal("gateway.wrong-answer", "the outputs are larger than an answer may be")
    check_outputs(receipt, salt, message.outputs)
    # 7
    try:
        check_tensors_match(manifest.outputs, message.outputs)
    except Refusal as refusal:
        why = f"the outputs are not the model's: {refusal.message}"
        raise Refusal("gateway.wrong-answer", why) from None
    return CheckedAnswer(envelope=envelope, receipt=receipt, entry=entry, message=message)
