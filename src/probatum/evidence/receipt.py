"""Verifying a receipt, step by step: `check_bundle` is the procedure that a stranger follows.

Bytes in, trust out. The steps are those of `BUNDLE-1`, numbered alike, and each cites its clause.
A check raises; it never returns False. What was *not* checked is said as plainly as what was: see
`VerifiedBundle.checks`. Must not know clocks, files or the network: everything is an argument.
Read next: `custody`, `settlement`, `log`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from probatum.errors import Refusal
from probatum.evidence.custody import CheckedBranch, check_custody, check_release
from probatum.evidence.prices import check_receipt_price, describe_prices
from probatum.evidence.settlement import (
    CheckedSettlement,
    check_settlement,
    describe_seal,
    describe_trust,
)
from probatum.evidence.texts import check_cancelled
from probatum.protocol.bundles import Bundle, decode_bundle
from probatum.protocol.custody import Release
from probatum.protocol.dsse import Envelope, check_signatures, decode_payload
from probatum.protocol.hexes import key_from_hex
from probatum.protocol.prefixes import Cancellation
from probatum.protocol.primitives import Digest, Salt
from probatum.protocol.receipts import Receipt, read_receipt
from probatum.protocol.statements import compute_record_digest
from probatum.protocol.tensors import (
    Tensor,
    TensorHead,
    check_tensor,
    compute_salt_commitment,
    make_tensor_head,
)
from probatum.protocol.trust import HeaderCheck

__all__ = [
    "KEYS_NOT_PROVEN",
    "CheckLine",
    "CheckedRecords",
    "VerifiedBundle",
    "check_bundle",
    "check_contents",
    "check_inputs",
    "check_outputs",
    "check_pending",
    "check_receipt",
    "check_records",
]

Standing: TypeAlias = Literal["checked", "not checked", "warning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckLine:
    """One line of what a verification did, for people.

    Attributes:
        clause: The clause of the specification that it carries out.
        standing: ``checked`` (it holds, or the verification would have been refused),
            ``not checked``, or ``warning``: it does not make the receipt wrong, but matters.
        text: A sentence.
    """

    clause: str
    standing: Standing
    text: str

    def __str__(self) -> str:
        """Show it on one line."""
        return f"{self.standing}: {self.text} ({self.clause})"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedRecords:
    """The signed records of one request; signatures hold, keys are not proven yet.

    Attributes:
        receipt: None if the request failed.
        receipt_digest: SHA-256 of the receipt's payload, its log entry; None without one.
        cancellation: Why the answer is a text that has not ended; None of any other (`TEXT-1`).
    """

    branches: tuple[CheckedBranch, ...]
    release: Release
    receipt: Receipt | None
    receipt_digest: Digest | None
    cancellation: Cancellation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedBundle:
    """A bundle that passed.

    Attributes:
        receipt: What the node signed.
        receipt_digest: SHA-256 of the receipt's payload: its log entry.
        settlement: None for a pending bundle.
        checks: What was checked and what was not, in order.
        cancellation: Why the answer is a text that has not ended; None of any other (`TEXT-1`).
    """

    branches: tuple[CheckedBranch, ...]
    release: Release
    receipt: Receipt
    receipt_digest: Digest
    settlement: CheckedSettlement | None
    checks: tuple[CheckLine, ...]
    cancellation: Cancellation | None = None


def _hold(clause: str, text: str) -> CheckLine:
    return CheckLine(clause=clause, standing="checked", text=text)


def _open(clause: str, text: str) -> CheckLine:
    return CheckLine(clause=clause, standing="not checked", text=text)


def check_receipt(
    envelope: Envelope, branches: tuple[CheckedBranch, ...]
) -> tuple[Receipt, Digest]:
    """Check a receipt against the hand-overs of its request (`RECEIPT-1`, `CUSTODY-1`).

    1. It is signed by the operating key that it names.
    2. It is about the request that was handed over.
    3. It cites one of the hand-overs, which its node acknowledged before it began.
    4. It charges no more than that hand-over allows (`PAY-1`).

    Returns:
        The receipt and its digest, which is its log entry (`LOG-1`).

    Raises:
        Refusal: `dsse.*`, `encoding.*`, `statement.*`, `receipt.wrong-signer-role`,
            `receipt.wrong-request`, `receipt.unknown-branch`, `receipt.unacknowledged`,
            `receipt.wrong-node`, `receipt.overcharged`.
    """
    # 1. The key is read from the payload, then the payload is checked under it.
    payload = decode_payload(envelope)
    receipt, request_digest = read_receipt(payload)
    check_signatures(envelope, payload, (key_from_hex(receipt.node.key),))
    # 2.
    first = branches[0].record
    about = (receipt.request.request_id, request_digest.hex())
    if about != (first.request_id, first.request_digest):
        raise Refusal("receipt.wrong-request", "the receipt answers another request")
    # 3.
    cited = next((b for b in branches if b.digest.hex() == receipt.custody), None)
    if cited is None:
        raise Refusal("receipt.unknown-branch", "the receipt follows from none of the hand-overs")
    if not cited.acknowledged:
        raise Refusal("receipt.unacknowledged", "the node never accepted the hand-over it cites")
    if cited.record.taker != receipt.node:
        raise Refusal("receipt.wrong-node", "another node answered than accepted")
    # 4.
    check_receipt_price(receipt, cited.record.price_units)
    return receipt, compute_record_digest(payload)


def _check_release_matches(release: Release, receipt: Receipt, digest: Digest) -> None:
    if release.receipt != digest.hex() or release.answered_branch != receipt.custody:
        raise Refusal("receipt.wrong-release", "the release names another receipt or branch")
    if release.asked != (receipt.request.assurance,) or release.obtained != (receipt.evidence,):
        raise Refusal("receipt.wrong-release", "the release states other evidence than the receipt")


def check_records(bundle: Bundle) -> CheckedRecords:
    """Check all signed records of a request against each other; keys are taken at their word.

    Raises:
        Refusal: as `check_custody`, `check_release` and `check_receipt`;
            `receipt.wrong-release` if the release contradicts the receipt;
            `receipt.wrong-cancellation` if receipt and cancellation do not name each other.
    """
    branches = check_custody(bundle.custody)
    release = check_release(bundle.release, branches)
    if bundle.receipt is None:
        if release.outcome != "failed" or bundle.settlement is not None:
            raise Refusal("receipt.absent", "the release names a receipt that is not there")
        if bundle.cancellation is not None:
            raise Refusal("receipt.wrong-cancellation", "no receipt names this cancellation")
        return CheckedRecords(branches=branches, release=release, receipt=None, receipt_digest=None)
    if release.outcome == "failed":
        raise Refusal("receipt.wrong-release", "a receipt beside a release that says it failed")
    receipt, digest = check_receipt(bundle.receipt, branches)
    _check_release_matches(release, receipt, digest)
    return CheckedRecords(
        branches=branches,
        release=release,
        receipt=receipt,
        receipt_digest=digest,
        cancellation=check_cancelled(receipt, bundle.cancellation, branches),
    )


def _verify(bundle: Bundle) -> tuple[Envelope, VerifiedBundle]:
    records = check_records(bundle)
    receipt, digest = records.receipt, records.receipt_digest
    if bundle.receipt is None or receipt is None or digest is None:
        raise Refusal(
            "receipt.failed-request",
            f"the request failed ({records.release.reason}); there is no receipt",
            hint="`probatum blame` says who held it when it failed",
        )
    silent = sum(not branch.acknowledged for branch in records.branches)
    checks = [
        _hold("PROTO-1", "The bundle is in its one canonical encoding; nothing is left over."),
        _hold(
            "CUSTODY-1",
            f"All hand-overs ({len(records.branches)}) are about one request and signed by the "
            f"gateway {_shorten(records.release.gateway.account)}; countersigned before work "
            f"began: {len(records.branches) - silent}.",
        ),
        _hold(
            "CUSTODY-1", "The gateway's release closes exactly these hand-overs and this answer."
        ),
        _hold(
            "RECEIPT-1",
            f"The receipt is signed by the node {_shorten(receipt.node.account)}, about this "
            "request, and follows from a hand-over that it accepted.",
        ),
    ]
    prices = describe_prices(receipt, records.release)
    if prices:
        checks.append(_hold("PAY-1", f"{prices} No more than was agreed."))
    if records.cancellation is not None:
        checks.append(
            _hold(
                "TEXT-1",
                "The text breaks off because the gateway cancelled it: "
                f"{records.cancellation.reason}, after {records.cancellation.seen} token(s).",
            )
        )
    if silent:
        checks.append(
            _open(
                "CUSTODY-1",
                f"{silent} node(s) never acknowledged a hand-over: named only by the gateway.",
            )
        )
    verified = VerifiedBundle(
        branches=records.branches,
        release=records.release,
        receipt=receipt,
        receipt_digest=digest,
        settlement=None,
        checks=tuple(checks),
        cancellation=records.cancellation,
    )
    return bundle.receipt, verified


def _shorten(account: str) -> str:
    """Shorten an account for a line of text."""
    return account[:8] + "…" + account[-4:]


_HOW_TO_RECHECK: Final = " Anybody can compute it again: `probatum receipt recheck`."


def _list_unchecked(receipt: Receipt) -> tuple[CheckLine, ...]:
    lines = [
        _open(
            "CANON-6",
            f"Whether the answer is right: class {receipt.request.arithmetic}, evidence "
            f"{receipt.evidence}. The receipt shows who said it; the node cannot deny it."
            + _HOW_TO_RECHECK
            * (receipt.request.arithmetic == "exact"),
        ),
    ]
    if receipt.price_units:
        lines.append(
            _open("PAY-1", "Whether running totals are right: hold them against those before.")
        )
    return tuple(lines)


KEYS_NOT_PROVEN: Final = _open(
    "RECEIPT-1", "Whose the signing keys are: a settled bundle proves it."
)
"""The line of a pending bundle that who asks the ledger can do better than."""

_CONTENT: Final = _open("SALT-1", "The content: give request, answer and salt to compare them.")


def check_pending(data: bytes) -> VerifiedBundle:
    """Verify a bundle that need not be settled: signatures and how the records fit together.

    Args:
        data: The bundle's bytes.

    Raises:
        Refusal: as steps 1 to 4 of `check_bundle`; `receipt.failed-request`.
    """
    _, verified = _verify(decode_bundle(data))
    open_lines = (
        _open(
            "LOG-1", "That the receipt is in its node's log, and the log final: not settled yet."
        ),
        KEYS_NOT_PROVEN,
    )
    checks = verified.checks + open_lines + (_CONTENT,) + _list_unchecked(verified.receipt)
    return replace(verified, checks=checks)


def check_bundle(data: bytes, check: HeaderCheck) -> VerifiedBundle:
    """Verify a settled bundle, wholly offline, by the steps of `BUNDLE-1`.

    1. The bytes are the canonical encoding of a bundle (`PROTO-1`).
    2. The custody tree: every hand-over signed by its giver, countersigned by its taker or not at
       all; one first record; all about the same request (`CUSTODY-1`).
    3. The release: signed by the same gateway, closing exactly these hand-overs (`CUSTODY-1`).
    4. The receipt: signed by its node, about this request, following from a hand-over that this
       node accepted; the release names it (`RECEIPT-1`).
    5. The header: of the trusted chain, sealed as the trust file demands (`HEADER-1`).
    6. The header's state holds the log session, opened by this operator under the key that signed
       the receipt (`LOG-1`), and every other key that signed, as its party's, not retired before.
    7. Inclusion: the receipt's entry is at its promised index of the settled log (`LOG-1`).

    Step 8, the content, is `check_contents`.

    Absent on purpose: whether the entry was covered by its include-by height where the log was
    settled again since (only the last settlement is on record); whether the answer is right.

    Args:
        data: The bundle's bytes.
        check: Whether to believe its header: `probatum.consensus.trusting.make_header_check`.

    Raises:
        Refusal: at the first step that fails, with that step's code; `receipt.not-settled`.
    """
    # 1. to 4.
    bundle = decode_bundle(data)
    envelope, verified = _verify(bundle)
    if bundle.settlement is None:
        raise Refusal(
            "receipt.not-settled",
            "the bundle is pending: nothing proves yet that the receipt is in its node's log",
            hint="fetch it again from the gateway after the next checkpoint",
        )
    # 5. to 7.
    receipt = verified.receipt
    settled = check_settlement(bundle.settlement, envelope, receipt, verified.branches, check)
    lines = [
        _hold("LOG-1", describe_seal(settled)),
        _hold(
            "LOG-1",
            f"Session {receipt.log.session} of the node's log was opened in the ledger under the "
            f"key that signed the receipt; entry {receipt.log.index} of {settled.log.size} "
            "settled ones is this receipt.",
        ),
        _hold(
            "RECEIPT-1",
            f"The ledger knows all other signing keys ({len(settled.keys)}) as their parties' own.",
        ),
        *_list_settlement_doubts(receipt, settled),
        CheckLine(clause="LOG-1", standing="warning", text=describe_trust(settled.seal)),
    ]
    checks = verified.checks + tuple(lines) + (_CONTENT,) + _list_unchecked(receipt)
    return replace(verified, settlement=settled, checks=checks)


def _list_settlement_doubts(receipt: Receipt, settled: CheckedSettlement) -> list[CheckLine]:
    lines = []
    if settled.log.settled_at <= receipt.log.include_by:
        lines.append(
            _hold(
                "LOG-1",
                f"It was settled at height {settled.log.settled_at}, in time: promised by "
                f"{receipt.log.include_by}.",
            )
        )
    else:
        lines.append(
            CheckLine(
                clause="LOG-1",
                standing="warning",
                text=f"It was promised by height {receipt.log.include_by}; the ledger shows only "
                f"the log's last settlement, at {settled.log.settled_at}. Whether an earlier one "
                "covered it in time is not shown here; if none did, the node's promise lapsed.",
            )
        )
    lines += [
        CheckLine(
            clause="RECEIPT-1",
            standing="warning",
            text=f"The key {key.hex()[:16]}… was retired at height {record.retired_at}: from then "
            "on whoever has it could have dated records back.",
        )
        for key, record in settled.keys
        if record.retired_at is not None
    ]
    return lines


def _check_heads(
    heads: tuple[TensorHead, ...], salt: Salt, tensors: tuple[Tensor, ...], code: str, what: str
) -> None:
    for tensor in tensors:
        check_tensor(tensor)
    if heads != tuple(make_tensor_head(salt, tensor) for tensor in tensors):
        raise Refusal(code, f"these {what} are not those that the receipt commits to")


def _check_salt(receipt: Receipt, salt: Salt) -> None:
    if compute_salt_commitment(salt).hex() != receipt.request.salt_commitment:
        raise Refusal("receipt.wrong-salt", "this salt is not the one that the receipt commits to")


def check_inputs(receipt: Receipt, salt: Salt, inputs: tuple[Tensor, ...]) -> None:
    """Check a request's content against its receipt (`SALT-1`).

    Raises:
        Refusal: `receipt.wrong-salt`, `receipt.wrong-inputs`, `tensor.*`.
    """
    _check_salt(receipt, salt)
    _check_heads(receipt.request.inputs, salt, inputs, "receipt.wrong-inputs", "inputs")


def check_outputs(receipt: Receipt, salt: Salt, outputs: tuple[Tensor, ...]) -> None:
    """Check an answer's content against its receipt (`SALT-1`).

    Raises:
        Refusal: `receipt.wrong-salt`, `receipt.wrong-outputs`, `tensor.*`.
    """
    _check_salt(receipt, salt)
    _check_heads(receipt.outputs, salt, outputs, "receipt.wrong-outputs", "outputs")


def check_contents(
    verified: VerifiedBundle, salt: Salt, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]
) -> VerifiedBundle:
    """Check request and answer against a verified bundle, bit by bit (`SALT-1`).

    Returns:
        The same bundle, whose lines now say that the content was checked.

    Raises:
        Refusal: as `check_inputs` and `check_outputs`.
    """
    check_inputs(verified.receipt, salt, inputs)
    check_outputs(verified.receipt, salt, outputs)
    line = _hold("SALT-1", "Request and answer are, bit for bit, those the receipt commits to.")
    checks = tuple(line if old == _CONTENT else old for old in verified.checks)
    return replace(verified, checks=checks)
