"""Checking an answer before anybody acts on it: against what was asked, and the ledger.

Pure: what was asked, what came, what the ledger proved. Must not know the network. Read next:
`probatum.evidence.receipt`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from probatum.errors import Refusal
from probatum.evidence.log import check_session
from probatum.evidence.receipt import (
    KEYS_NOT_PROVEN,
    CheckLine,
    VerifiedBundle,
    check_contents,
    check_pending,
)
from probatum.evidence.settlement import check_key_record, list_needed_keys
from probatum.protocol import limits
from probatum.protocol.encoding import LedgerValue, decode
from probatum.protocol.headers import Header
from probatum.protocol.hexes import address_from_document, digest_from_hex
from probatum.protocol.manifests import compute_package_digest, decode_manifest
from probatum.protocol.messages import Answer, Ask
from probatum.protocol.primitives import Nonce, RequestId, Salt, address_to_hex
from probatum.protocol.receipts import Receipt
from probatum.protocol.records import (
    KeyRecord,
    LogRecord,
    ModelRecord,
    get_key_key,
    get_log_key,
    get_model_key,
)
from probatum.protocol.requests import ModelRef, RequestFacts
from probatum.protocol.tensors import compute_salt_commitment, make_tensor_head

__all__ = [
    "Asked",
    "check_against_ledger",
    "check_answer",
    "check_canonical",
    "get_newest_height",
    "list_ledger_keys",
]

R = TypeVar("R", bound=LedgerValue)

_OLD_MS: Final = 60_000
"""A last header older than this is told: the ledger stands still, or an old one is shown."""

PACKAGE_NOT_PROVEN: Final = CheckLine(
    clause="RECEIPT-1",
    standing="not checked",
    text="That the receipt's package is the model that was asked for: the gateway's word. Give "
    "the client a ledger and a trust file to have it proven.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was asked, with the salt and nonce that the client drew for it (`SALT-1`)."""

    message: Ask
    request_id: RequestId
    salt: Salt
    nonce: Nonce


def check_answer(asked: Asked, answer: Answer) -> VerifiedBundle:
    """Check an answer against what was asked.

    1. It is to this request, under this salt.
    2. Its bundle verifies: custody, release, receipt, their signatures (`check_pending`).
    3. The receipt's facts are those that the client computes from its own inputs, salt and
       nonce. The package is the receipt's; `check_against_ledger` proves it.
    4. Inputs and outputs have the receipt's roots (`check_contents`).
    5. If one node was wanted, it answered, and the bundle shows that no other was asked.

    Raises:
        Refusal: `client.other-request`, `client.other-facts`, `client.other-node`; as the steps
            say.
    """
    # 1.
    if answer.request_id != asked.request_id or answer.salt != asked.salt:
        raise Refusal("client.other-request", "the answer is to another request")
    # 2.
    verified = check_pending(answer.bundle)
    # 3.
    found = verified.receipt.request
    expected = RequestFacts(
        request_id=asked.request_id,
        model=ModelRef(package=found.model.package, canonical=found.model.canonical),
        arithmetic=asked.message.arithmetic,
        assurance=asked.message.assurance,
        inputs=tuple(make_tensor_head(asked.salt, tensor) for tensor in asked.message.inputs),
        salt_commitment=compute_salt_commitment(asked.salt).hex(),
        salt_by="client",
        nonce=asked.nonce.hex(),
        nonce_by="client",
    )
    if found != expected:
        raise Refusal("client.other-facts", "the receipt is about another request than was asked")
    # 4.
    verified = check_contents(verified, asked.salt, asked.message.inputs, answer.outputs)
    # 5.
    if (wanted := asked.message.node) is not None:
        takers = {branch.record.taker.account for branch in verified.branches}
        if takers != {address_to_hex(wanted)}:
            asked_ones = ", ".join(sorted(takers))
            raise Refusal(
                "client.other-node",
                f"the gateway handed it to {asked_ones}, and not to {address_to_hex(wanted)} alone",
            )
    return replace(verified, checks=(*verified.checks, PACKAGE_NOT_PROVEN))


def check_canonical(receipt: Receipt, manifest: bytes) -> None:
    """Check that a manifest is the package's, and its meaning the receipt's in class `exact`.

    Args:
        receipt: Of an answer; `check_answer` has passed it.
        manifest: Said to be the package's; whoever said so, its digest tells.

    Raises:
        Refusal: `client.other-manifest`, `client.wrong-canonical` (`EXACT-1`), `encoding.*`,
            `manifest.bad-form`.
    """
    if compute_package_digest(manifest).hex() != receipt.request.model.package:
        raise Refusal("client.other-manifest", "this is the manifest of another package")
    if receipt.request.arithmetic != "exact":
        return
    canonical = decode_manifest(manifest).canonical
    if canonical is None or canonical.digest != receipt.request.model.canonical:
        raise Refusal(
            "client.wrong-canonical",
            "the receipt names another canonical digest than its package states",
        )


def list_ledger_keys(verified: VerifiedBundle, model: ModelRecord) -> tuple[bytes, ...]:
    """List the state keys that `check_against_ledger` needs proven.

    Args:
        verified: The answer's bundle.
        model: What the ledger says, unproven so far, of the model with the receipt's package.
    """
    receipt = verified.receipt
    node = address_from_document(receipt.node.account)
    return (
        get_model_key(model.name, model.version),
        get_log_key(node, receipt.log.session),
        *(get_key_key(key) for key, _ in list_needed_keys(receipt, verified.branches)),
    )


def get_newest_height(verified: VerifiedBundle) -> int:
    """Get the last height that the answer's hand-overs state; a proof must not be older."""
    return max(branch.record.given_at for branch in verified.branches)


def check_against_ledger(
    verified: VerifiedBundle,
    asked: Asked,
    model: ModelRecord,
    header: Header,
    values: Mapping[bytes, bytes | None],
    *,
    now_ms: int,
) -> VerifiedBundle:
    """Check an answer against proven records.

    0. The header is not older than the hand-overs: from before, a key that was retired since looks
       good. How old it is by the client's clock is said, not judged: ledgers may stand still.
    1. The receipt's package is published under the name that was asked for, and under the
       version, if one was.
    2. The log session is the node's, under the key that signed (`LOG-1`).
    3. The entry is still ahead of the settled log, or in it; its include-by height is not past.
    4. All other keys that signed are their parties', not retired before.

    Args:
        verified: What `check_answer` returned.
        asked: What was asked.
        model: The model whose record is among the values.
        header: What the values were proven against.
        values: Under the keys of `list_ledger_keys`.
        now_ms: The client's clock, Unix milliseconds.

    Raises:
        Refusal: `client.stale-ledger`, `client.wrong-model`, `receipt.unknown-log`,
            `receipt.wrong-log`, `receipt.wrong-key`, `client.late-promise`, `receipt.unknown-key`,
            `receipt.wrong-account`, `receipt.retired-key`.
    """
    receipt = verified.receipt
    keys = list_ledger_keys(verified, model)
    # 0.
    newest = get_newest_height(verified)
    if header.height < newest:
        raise Refusal(
            "client.stale-ledger",
            f"the ledger's proof is of height {header.height}, the hand-over of {newest}",
            hint="ask a full node that is not behind",
        )
    # 1.
    record = _read(values, keys[0], ModelRecord)
    wanted = asked.message.version
    if (
        record is None
        or record.package != digest_from_hex(receipt.request.model.package)
        or record.name != asked.message.model
        or wanted not in {None, record.version}
    ):
        raise Refusal(
            "client.wrong-model",
            f"the ledger publishes another package as {asked.message.model} {wanted or ''}",
        )
    # 2.
    log = _read(values, keys[1], LogRecord)
    if log is None:
        raise Refusal("receipt.unknown-log", "the node never opened the log of this receipt")
    check_session(receipt, log)
    # 3.
    if receipt.log.include_by <= header.height and receipt.log.index >= log.size:
        raise Refusal("client.late-promise", "the receipt's height of inclusion is past already")
    # 4.
    needed = list_needed_keys(receipt, verified.branches)
    for (key, party), state_key in zip(needed, keys[2:], strict=True):
        found = _read(values, state_key, KeyRecord)
        if found is None:
            raise Refusal("receipt.unknown-key", f"nobody registered the key {key.hex()[:16]}…")
        signed_at = max(
            branch.record.given_at
            for branch in verified.branches
            if party in (branch.record.giver, branch.record.taker)
        )
        check_key_record(key, found, party, signed_at)
    lines = _rewrite(verified.checks, record, header, wanted)
    age_ms = now_ms - header.time_ms
    if age_ms > _OLD_MS:
        text = f"The ledger's proof is {age_ms // 1000} s old: what changed since is not shown."
        lines += (CheckLine(clause="RECEIPT-1", standing="warning", text=text),)
    return replace(verified, checks=lines)


def _read(values: Mapping[bytes, bytes | None], key: bytes, kind: type[R]) -> R | None:
    value = values.get(key)
    if value is None:
        return None
    return decode(kind, value, limit_bytes=limits.STATE_VALUE_BYTES)


def _rewrite(
    checks: tuple[CheckLine, ...], record: ModelRecord, header: Header, wanted: str | None
) -> tuple[CheckLine, ...]:
    proven = CheckLine(
        clause="RECEIPT-1",
        standing="checked",
        text=f"The ledger proves at height {header.height} whose the signing keys are, and the "
        "log session under the node's key.",
    )
    package = CheckLine(
        clause="RECEIPT-1",
        standing="checked",
        text=f"The ledger proves that the package is {record.name} {record.version}.",
    )
    lines = [
        proven if line == KEYS_NOT_PROVEN else package if line == PACKAGE_NOT_PROVEN else line
        for line in checks
    ]
    if wanted is None:
        newest = "That no newer version was published: the gateway chose this one."
        lines.append(CheckLine(clause="RECEIPT-1", standing="not checked", text=newest))
    return tuple(lines)
