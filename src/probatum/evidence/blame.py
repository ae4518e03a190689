"""Blame: who held the duty when a promise lapsed, as a pure function of the records (`CUSTODY-1`).

At most one party is named, and only one that signed: the gateway, whose every hand-over is its
own, or a taker that countersigned. What cannot be told from the records is `undetermined`, with
the reason. The height is one that the ledger has proven; while it stands still no deadline
passes.

Each branch by itself:

    answered        the receipt cites it, or another branch to the same taker
    unacknowledged  the taker never countersigned: no duty moved
    open            acknowledged, unanswered, height <= answer-by
    contested       acknowledged, unanswered, but a receipt that cites it was handed in besides
    lapsed          acknowledged, unanswered, height > answer-by

and the request as a whole, first row that fits:

    release   branches                      status        party
    --------  ----------------------------  ------------  -----------------------------------
    answered  one lapsed, or more           covered       taker of the last one that lapsed
    answered  else one open                 open          -
    answered  else                          kept          -
    failed    one open                      open          -
    failed    one contested                 undetermined  -  (answered; was it delivered?)
    failed    one lapsed, or more           lost          taker of the last one that lapsed
    failed    none acknowledged             undetermined  -  (no duty moved)
    none      height <= every answer-by     open          -
    none      else                          lost          the gateway

The last row blames the gateway whatever its nodes did: it can always sign a release, even one
that says that everybody failed it, and without one nothing shows that its nodes did not answer.
A failed release with an open branch waits for that branch's height: the gateway may give up
early, which takes nothing from the time that the node was promised.

What the records do not show: whether an answer reached the gateway that says it had none. A node
blamed for that shows its receipt (`answers`), and the branch is contested. Nor whose the keys
are: anybody can sign with a key of his own in another's name. The ledger knows (`owners`); a
verdict without it holds for the keys alone, and says so. Must not know incidents, which are
opened by these verdicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, assert_never

from probatum.errors import Refusal
from probatum.evidence.custody import CheckedBranch, check_custody, check_release
from probatum.evidence.receipt import check_receipt, check_records
from probatum.evidence.settlement import check_key_record
from probatum.protocol.bundles import Bundle, decode_bundle
from probatum.protocol.custody import Release
from probatum.protocol.dsse import Envelope
from probatum.protocol.hexes import key_from_hex
from probatum.protocol.parties import Party
from probatum.protocol.primitives import OperatingKey
from probatum.protocol.records import KeyRecord

__all__ = [
    "Blame",
    "BranchFinding",
    "assign_blame",
    "assign_blame_to_records",
    "judge_branches",
    "list_signers",
]

BranchStatus: TypeAlias = Literal["answered", "unacknowledged", "open", "contested", "lapsed"]
Status: TypeAlias = Literal["kept", "covered", "lost", "open", "undetermined"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchFinding:
    """What became of one hand-over."""

    branch: int
    taker: Party
    status: BranchStatus
    answer_by: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Blame:
    """The verdict on one request.

    Attributes:
        status: ``kept``: answered, and nobody lapsed; ``covered``: answered, though somebody
            lapsed; ``lost``: not answered; ``open``: a deadline is still to come;
            ``undetermined``: not answered, and no party can be named.
        party: Who is accountable; there is one exactly if covered or lost.
        reason: In a sentence.
        height: The height that deadlines were held against.
        proven: Whether the keys that signed were held against the ledger. If not, the account of
            `party` is what the records say of it, and anybody can have written that.
    """

    status: Status
    party: Party | None
    reason: str
    branches: tuple[BranchFinding, ...]
    height: int
    proven: bool = False


def _find(
    branch: CheckedBranch, answered_by: Party | None, contested: frozenset[str], height: int
) -> BranchFinding:
    digest = branch.digest.hex()
    status: BranchStatus
    if branch.acknowledged and branch.record.taker == answered_by:
        status = "answered"
    elif not branch.acknowledged:
        status = "unacknowledged"
    elif digest in contested:
        status = "contested"
    else:
        status = "lapsed" if height > branch.record.answer_by else "open"
    return BranchFinding(
        branch=branch.record.branch,
        taker=branch.record.taker,
        status=status,
        answer_by=branch.record.answer_by,
    )


def judge_branches(
    branches: tuple[CheckedBranch, ...],
    release: Release | None,
    height: int,
    *,
    contested: frozenset[str] = frozenset(),
) -> Blame:
    """Judge checked records; see the module for the table.

    Args:
        branches: All hand-overs, in order.
        release: The gateway's last record, None if it never came.
        height: A proven ledger height.
        contested: Digests (hex) of hand-overs for which a receipt was handed in besides.
    """
    answered = release.answered_branch if release else None
    answered_by = next((b.record.taker for b in branches if b.digest.hex() == answered), None)
    findings = tuple(_find(branch, answered_by, contested, height) for branch in branches)
    status, party, reason = _judge(findings, branches[0].record.giver, release, height)
    return Blame(status=status, party=party, reason=reason, branches=findings, height=height)


def _judge(
    findings: tuple[BranchFinding, ...], gateway: Party, release: Release | None, height: int
) -> tuple[Status, Party | None, str]:
    if release is None:
        return _judge_unreleased(findings, gateway, height)
    lapsed = [finding for finding in findings if finding.status == "lapsed"]
    open_until = [finding.answer_by for finding in findings if finding.status == "open"]
    match release.outcome:
        case "answered":
            if lapsed:
                return "covered", lapsed[-1].taker, _say_lapse(lapsed[-1]) + "; another answered"
            if open_until:
                return "open", None, f"answered; another branch has until height {max(open_until)}"
            return "kept", None, "answered, and nobody who accepted lapsed"
        case "failed":
            return _judge_failed(findings, lapsed, open_until)
        case _:
            assert_never(release.outcome)


def _judge_failed(
    findings: tuple[BranchFinding, ...], lapsed: list[BranchFinding], open_until: list[int]
) -> tuple[Status, Party | None, str]:
    if open_until:
        return "open", None, f"a node that accepted has until height {max(open_until)}"
    if any(finding.status == "contested" for finding in findings):
        return (
            "undetermined",
            None,
            "a node shows an answer that it signed; nothing shows whether the gateway had it",
        )
    if lapsed:
        return "lost", lapsed[-1].taker, _say_lapse(lapsed[-1]) + "; nobody else answered"
    return "undetermined", None, "no node acknowledged the request, so no duty moved to one"


def _judge_unreleased(
    findings: tuple[BranchFinding, ...], gateway: Party, height: int
) -> tuple[Status, Party | None, str]:
    last = max(finding.answer_by for finding in findings)
    if height <= last:
        return "open", None, f"no release yet; the last deadline is height {last}"
    return (
        "lost",
        gateway,
        f"the gateway signed no release, and the last deadline passed at height {last}",
    )


def _say_lapse(finding: BranchFinding) -> str:
    return (
        f"the taker of branch {finding.branch} accepted and did not answer by height "
        f"{finding.answer_by}"
    )


def _list_contested(
    answers: tuple[Envelope, ...], branches: tuple[CheckedBranch, ...]
) -> frozenset[str]:
    return frozenset(check_receipt(answer, branches)[0].custody for answer in answers)


def list_signers(
    branches: tuple[CheckedBranch, ...],
) -> tuple[tuple[OperatingKey, Party, int], ...]:
    """List who signed hand-overs: key, party, and the height that the record states.

    Those are the gateway, and of the takers those that countersigned. A caller that wants to
    name somebody has the ledger's `KeyRecord` of each key proven, and hands them over as `owners`.
    """
    signers = []
    for branch in branches:
        record = branch.record
        parties = (record.giver, record.taker) if branch.acknowledged else (record.giver,)
        signers += [(key_from_hex(party.key), party, record.given_at) for party in parties]
    return tuple(signers)


def _check_owners(
    branches: tuple[CheckedBranch, ...], owners: Mapping[OperatingKey, KeyRecord]
) -> None:
    for key, party, signed_at in list_signers(branches):
        record = owners.get(key)
        if record is None:
            raise Refusal("receipt.unknown-key", f"nobody registered the key {key.hex()[:16]}…")
        check_key_record(key, record, party, signed_at)


def assign_blame(
    bundle: Bundle | bytes,
    height: int,
    *,
    answers: tuple[Envelope, ...] = (),
    owners: Mapping[OperatingKey, KeyRecord] | None = None,
) -> Blame:
    """Judge a bundle, of an answered request or a failed one.

    Args:
        bundle: The bundle or its bytes.
        height: A proven ledger height.
        answers: Receipts that are not in the bundle, handed in by whoever is blamed.
        owners: What the ledger says of the keys that `list_signers` lists, proven; without it
            the verdict is not `Blame.proven`.

    Raises:
        Refusal: as `probatum.evidence.receipt.check_records`; a record that does not hold blames
            nobody. With `owners` also `receipt.unknown-key`, `receipt.wrong-account`,
            `receipt.retired-key`.
    """
    if isinstance(bundle, bytes):
        bundle = decode_bundle(bundle)
    records = check_records(bundle)
    return _assign(records.branches, records.release, height, answers, owners)


def assign_blame_to_records(
    custody: tuple[Envelope, ...],
    height: int,
    *,
    release: Envelope | None = None,
    answers: tuple[Envelope, ...] = (),
    owners: Mapping[OperatingKey, KeyRecord] | None = None,
) -> Blame:
    """Judge loose records, for a holder that never got a bundle; see `assign_blame`.

    Raises:
        Refusal: as `check_custody` and `check_release`; `blame.no-receipt` for a release that
            names a receipt, which only a bundle can show; with `owners` as `assign_blame`.
    """
    branches = check_custody(custody)
    checked = check_release(release, branches) if release else None
    if checked is not None and checked.outcome == "answered":
        raise Refusal("blame.no-receipt", "an answered release is judged with its receipt")
    return _assign(branches, checked, height, answers, owners)


def _assign(
    branches: tuple[CheckedBranch, ...],
    release: Release | None,
    height: int,
    answers: tuple[Envelope, ...],
    owners: Mapping[OperatingKey, KeyRecord] | None,
) -> Blame:
    if owners is not None:
        _check_owners(branches, owners)
    contested = _list_contested(answers, branches)
    verdict = judge_branches(branches, release, height, contested=contested)
    return replace(verdict, proven=owners is not None)
