"""What parties say to each other: one tagged union, framed or as the body of one HTTP exchange.

Every message is a ledger value (strict MessagePack). A *conversation* is one request message and
one or more replies; the last reply ends it. Front doors (`oip`) translate other people's formats
to these. Must not know transport (`frames` cuts streams, shells carry them).
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from probatum.protocol import limits
from probatum.protocol.blocks import BlockView, StateKey, StateValue
from probatum.protocol.encoding import LedgerValue, decode
from probatum.protocol.headers import SignedHeader
from probatum.protocol.logprobs import TopLogprobs
from probatum.protocol.parties import ArithmeticClass, EvidenceClass, ModelName, ModelVersion
from probatum.protocol.primitives import (
    Address,
    Amount,
    Code,
    Digest,
    Height,
    Index,
    Millis,
    Nonce,
    OperatingKey,
    RequestId,
    Salt,
)
from probatum.protocol.tensors import Tensor
from probatum.protocol.vouchers import SignedVoucher

__all__ = [
    "Accepted",
    "Answer",
    "Answered",
    "Ask",
    "AskLogprobs",
    "CancelText",
    "CancelWork",
    "Follow",
    "Followed",
    "GetBlock",
    "GetBundle",
    "GetHeader",
    "GetLogFile",
    "GetManifest",
    "GetOutcome",
    "GetState",
    "GetStatus",
    "GetTab",
    "GivenPrefix",
    "GotBlock",
    "GotBundle",
    "GotHeader",
    "GotLogFile",
    "GotManifest",
    "GotState",
    "HandOverLogprobs",
    "HandOverWork",
    "ListState",
    "ListedState",
    "Message",
    "Noted",
    "Outcome",
    "Payment",
    "Produced",
    "ProducedLogprobs",
    "Refused",
    "ReportAttack",
    "StateItem",
    "Status",
    "Submit",
    "Tab",
    "decode_message",
]

Tensors = Annotated[tuple[Tensor, ...], Meta(max_length=limits.TENSORS_PER_REQUEST)]
DocumentBytes = Annotated[bytes, Meta(max_length=limits.ENVELOPE_BYTES)]
TokenBytes = Annotated[bytes, Meta(max_length=4 * limits.TEXT_TOKENS)]
LogprobBytes = Annotated[bytes, Meta(max_length=limits.LOGPROBS_BYTES)]


class Refused(LedgerValue, frozen=True, kw_only=True, tag=1):
    """No, with a stable code. Ends any conversation.

    `retryable`: the world failed, not the asker. `request_id` is there once a gateway has signed
    anything about the request, so that its records can be asked for.
    """

    code: Code
    message: Annotated[str, Meta(max_length=2000)]
    hint: Annotated[str, Meta(max_length=2000)] = ""
    retryable: bool = False
    request_id: RequestId | None = None


# Client ↔ gateway


class Payment(LedgerValue, frozen=True, kw_only=True):
    """How a request with a price is paid (`PAY-1`).

    Attributes:
        voucher: Of the payer's escrow for the gateway's operator. Its total covers what was
            charged before and what this request may cost.
        max_price_units: The most that this request may cost.
    """

    voucher: SignedVoucher
    max_price_units: Amount


class Ask(LedgerValue, frozen=True, kw_only=True, tag=10):
    """A client's request at the front door. Without salt or nonce the gateway draws them.

    `request_id` is set by who may repeat the request: the same id under the same salt gets the
    same answer. Without a salt of the client's own nothing can be repeated. Without `payment`
    only models that cost nothing answer. With `node`, an operator, the request is handed to
    nobody else. With `stream`, the tokens of a text come as they are chosen (`Produced`).
    """

    model: ModelName
    version: ModelVersion | None
    inputs: Tensors
    assurance: EvidenceClass
    salt: Salt | None
    nonce: Nonce | None
    request_id: RequestId | None
    timeout_ms: Millis
    payment: Payment | None = None
    arithmetic: ArithmeticClass = "float"
    node: Address | None = None
    stream: bool = False


class AskLogprobs(Ask, frozen=True, kw_only=True, tag=15):
    """An `Ask` for a text whose tokens shall come with logprobs (`TEXT-1`).

    A later form, with a tag of its own: the earlier one stays as it is, byte for byte, and who
    does not know this one refuses it. Logprobs come with `Produced` alone: ask with `stream`.

    Attributes:
        top_logprobs: How many of the likeliest tokens are wanted beside each token.
    """

    top_logprobs: TopLogprobs


class Answer(LedgerValue, frozen=True, kw_only=True, tag=11):
    """The gateway's answer: outputs, the salt that opens the roots, and the pending bundle."""

    request_id: RequestId
    outputs: Tensors
    salt: Salt
    bundle: Annotated[bytes, Meta(max_length=limits.BUNDLE_BYTES)]


class GetBundle(LedgerValue, frozen=True, kw_only=True, tag=12):
    """Ask a gateway for the bundle of a request."""

    request_id: RequestId


class GotBundle(LedgerValue, frozen=True, kw_only=True, tag=13):
    """A bundle: settled (inclusion proven) or still pending."""

    settled: bool
    bundle: Annotated[bytes, Meta(max_length=limits.BUNDLE_BYTES)]


class CancelText(LedgerValue, frozen=True, kw_only=True, tag=14):
    """Who asked for a text has enough of it; the salt shows that it is who asked (`TEXT-1`)."""

    request_id: RequestId
    salt: Salt


# Gateway ↔ inference node


class GivenPrefix(LedgerValue, frozen=True, kw_only=True):
    """The beginning of a text that another node signed (`TEXT-1`).

    Attributes:
        statement: DSSE envelope of a `prefixes.Prefix`.
        ids: Its tokens, packed (`texts.pack_ids`).
    """

    statement: DocumentBytes
    ids: TokenBytes


class HandOverWork(LedgerValue, frozen=True, kw_only=True, tag=20):
    """A hand-over with the work itself: the giver's signed record, facts, salt, inputs.

    `record` is a DSSE envelope (`custody.HandOver`) with the giver's signature; `facts` the
    canonical `requests.RequestFacts` whose digest the record names. `voucher` is there iff the
    record lets the taker charge: of the giver's escrow for the taker's operator (`PAY-1`).
    `prefix` is there iff the record names one: the taker goes on with that text.
    """

    record: DocumentBytes
    facts: Annotated[bytes, Meta(max_length=limits.STATEMENT_BYTES)]
    salt: Salt
    inputs: Tensors
    time_left_ms: Millis
    voucher: SignedVoucher | None = None
    prefix: GivenPrefix | None = None


class HandOverLogprobs(HandOverWork, frozen=True, kw_only=True, tag=26):
    """A `HandOverWork` of a text whose tokens are to be told with logprobs (`TEXT-1`).

    Not a fact of the request: it changes neither record nor receipt.

    Attributes:
        top_logprobs: How many of the likeliest tokens are wanted beside each token.
    """

    top_logprobs: TopLogprobs


class Accepted(LedgerValue, frozen=True, kw_only=True, tag=21):
    """The taker's countersigned record, sent before work begins. Not the last reply."""

    record: DocumentBytes


class Answered(LedgerValue, frozen=True, kw_only=True, tag=22):
    """The node's answer: outputs and signed receipt. The last reply."""

    receipt: DocumentBytes
    outputs: Tensors


class Produced(LedgerValue, frozen=True, kw_only=True, tag=23):
    """More tokens of a text (`TEXT-1`); from node to gateway, and on to who asked. Never last.

    Tokens alone are no promise; what is signed is.

    Attributes:
        start: Place of the first token in the answer.
        ids: The tokens, packed (`texts.pack_ids`).
        prefix: DSSE envelope of a `prefixes.Prefix`, of some or all tokens so far; or empty.
    """

    start: Index
    ids: TokenBytes
    prefix: DocumentBytes = b""


class ProducedLogprobs(Produced, frozen=True, kw_only=True, tag=27):
    """More tokens of a text and how likely the model held them, to who asked for that.

    Attributes:
        logprobs: Of each of `ids`, packed (`logprobs.pack_logprobs`).
    """

    logprobs: LogprobBytes


class CancelWork(LedgerValue, frozen=True, kw_only=True, tag=24):
    """End a text early: the canonical envelope of a `prefixes.Cancellation`."""

    custody: Digest
    cancellation: DocumentBytes


class Noted(LedgerValue, frozen=True, kw_only=True, tag=25):
    """Heard; there is nothing else to say."""


# Anybody ↔ inference node's log


class GetLogFile(LedgerValue, frozen=True, kw_only=True, tag=30):
    """Ask for a file of a log session: ``checkpoint`` or a tile path."""

    session: Index
    path: Annotated[str, Meta(max_length=200)]


class GotLogFile(LedgerValue, frozen=True, kw_only=True, tag=31):
    """The file's bytes."""

    data: Annotated[bytes, Meta(max_length=limits.MIB)]


# Anybody ↔ gateway or inference node


class GetManifest(LedgerValue, frozen=True, kw_only=True, tag=32):
    """Ask for the manifest of a package; a gateway that has not got it yet gets it first."""

    package: Digest


class GotManifest(LedgerValue, frozen=True, kw_only=True, tag=33):
    """The bytes of `probatum.json`, whose SHA-256 is the package's digest."""

    manifest: Annotated[bytes, Meta(max_length=limits.MANIFEST_BYTES)]


# Payer ↔ payee


class GetTab(LedgerValue, frozen=True, kw_only=True, tag=34):
    """Ask a payee what it has charged to an escrow: for a payer that lost its own count."""

    escrow: Digest


class Tab(LedgerValue, frozen=True, kw_only=True, tag=35):
    """What a payee has charged to an escrow (`PAY-1`).

    Attributes:
        charged_units: All that was charged.
        reserved_units: What open requests may still cost.
        statement: DSSE envelope of the last receipt or release, whose running total is what was
            charged; empty if nothing was. Without it the number is worth nothing.
    """

    escrow: Digest
    charged_units: Amount
    reserved_units: Amount
    statement: DocumentBytes


# Anybody ↔ full node


class Submit(LedgerValue, frozen=True, kw_only=True, tag=40):
    """Submit a transaction and wait for its outcome. Repeating it is safe."""

    transaction: Annotated[bytes, Meta(max_length=limits.TRANSACTION_BYTES)]


class Outcome(LedgerValue, frozen=True, kw_only=True, tag=41):
    """A committed transaction's outcome: ``ok`` or a refusal's code."""

    transaction_hash: Digest
    height: Height
    code: Code


class GetOutcome(LedgerValue, frozen=True, kw_only=True, tag=42):
    """Ask what became of a transaction."""

    transaction_hash: Digest


class GetState(LedgerValue, frozen=True, kw_only=True, tag=43):
    """Ask for records with proofs against the last header."""

    keys: Annotated[tuple[StateKey, ...], Meta(min_length=1, max_length=limits.QUERY_KEYS)]
    prove: bool


class StateItem(LedgerValue, frozen=True, kw_only=True):
    """One record; `proof` is the canonical JSON of a `mapproof.StateProof`, empty if not asked."""

    key: StateKey
    value: StateValue | None
    proof: bytes


class GotState(LedgerValue, frozen=True, kw_only=True, tag=44):
    """Records, all at the state of one header."""

    header: SignedHeader
    items: Annotated[tuple[StateItem, ...], Meta(max_length=limits.QUERY_KEYS)]


class ListState(LedgerValue, frozen=True, kw_only=True, tag=45):
    """List records under a prefix in key order, after a key; not proven."""

    prefix: StateKey
    after: bytes
    limit: Annotated[int, Meta(ge=1, le=limits.LISTED_RECORDS)]


class ListedState(LedgerValue, frozen=True, kw_only=True, tag=46):
    """A page of records; `more` tells whether the listing goes on."""

    height: Height
    items: Annotated[tuple[StateItem, ...], Meta(max_length=limits.LISTED_RECORDS)]
    more: bool


class GetHeader(LedgerValue, frozen=True, kw_only=True, tag=47):
    """Ask for a signed header; height 0 means the last."""

    height: Height


class GotHeader(LedgerValue, frozen=True, kw_only=True, tag=48):
    """A signed header."""

    header: SignedHeader


class GetStatus(LedgerValue, frozen=True, kw_only=True, tag=49):
    """Ask how the full node is doing."""


class Status(LedgerValue, frozen=True, kw_only=True, tag=50):
    """A full node's view of itself; nothing here is proven."""

    chain_id: int
    genesis_hash: Digest
    engine: str
    key: OperatingKey | None
    height: Height
    time_ms: Millis
    block_interval_ms: Millis
    pending_transactions: Index


class Follow(LedgerValue, frozen=True, kw_only=True, tag=51):
    """Follow the chain: changes under prefixes in blocks after a height.

    Replies at once if there are any blocks, else when the next comes or `wait_ms` is over.

    Attributes:
        escrows_of: Accounts whose escrows are followed, too, those that they pay into and those
            that they are paid from: anybody may open escrows for others, and nobody shall have to
            know all of them.
    """

    after: Height
    prefixes: Annotated[tuple[StateKey, ...], Meta(max_length=16)]
    wait_ms: Millis
    escrows_of: Annotated[tuple[Address, ...], Meta(max_length=4)] = ()


class Followed(LedgerValue, frozen=True, kw_only=True, tag=52):
    """Blocks in order. With `snapshot`, the first view holds *all* records, not changes."""

    snapshot: bool
    blocks: Annotated[tuple[BlockView, ...], Meta(max_length=256)]


class GetBlock(LedgerValue, frozen=True, kw_only=True, tag=53):
    """Ask for a whole block (replay, audit)."""

    height: Height


class GotBlock(LedgerValue, frozen=True, kw_only=True, tag=54):
    """An encoded `blocks.Block` with its signed header."""

    header: SignedHeader
    block: Annotated[bytes, Meta(max_length=limits.BLOCK_BYTES)]


class ReportAttack(LedgerValue, frozen=True, kw_only=True, tag=55):
    """Show a full node a sealed header that is not its chain's: evidence against who sealed it.

    `Noted` once the engine has taken it (`LIGHT-1`).

    Attributes:
        header: What somebody showed, and the trust file led to.
        common: A height of the engine that whoever tells this believes, below the header's: there
            those who signed it had power. The trust file's will do.
    """

    header: SignedHeader
    common: Height


Message: TypeAlias = (
    Refused
    | Ask
    | AskLogprobs
    | Answer
    | GetBundle
    | GotBundle
    | CancelText
    | HandOverWork
    | HandOverLogprobs
    | Accepted
    | Answered
    | Produced
    | ProducedLogprobs
    | CancelWork
    | Noted
    | GetLogFile
    | GotLogFile
    | GetManifest
    | GotManifest
    | GetTab
    | Tab
    | Submit
    | Outcome
    | GetOutcome
    | GetState
    | GotState
    | ListState
    | ListedState
    | GetHeader
    | GotHeader
    | GetStatus
    | Status
    | Follow
    | Followed
    | GetBlock
    | GotBlock
    | ReportAttack
)
"""Everything that a party may say."""


_LARGE: Final = (Ask, AskLogprobs, Answer, HandOverWork, HandOverLogprobs, Answered)
"""What carries tensors: few pieces however long it is."""
_LARGE_HEADS: Final = frozenset(
    bytes((0x90 | (len(kind.__struct_fields__) + 1), int(kind.__struct_config__.tag or 0)))
    for kind in _LARGE
)
"""How they begin: an array's head, then the tag."""


def decode_message(data: bytes) -> Message:
    """Decode one message, strictly.

    Many small records cost a hundred times the memory of their bytes, so what carries no tensors
    is held to a lower limit before it is parsed.

    Raises:
        Refusal: `encoding.*`.
    """
    large = data[:2] in _LARGE_HEADS
    limit_bytes = limits.FRAME_BYTES if large else limits.LEDGER_FRAME_BYTES
    message: Message = decode(Message, data, limit_bytes=limit_bytes)  # type: ignore[arg-type]
    return message
