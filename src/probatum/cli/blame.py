"""`probatum blame`: who held a request when a promise lapsed.

A pure function of the signed records and a height (`CUSTODY-1`); this page finds both and prints
the verdict.
"""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from probatum.cli.bundles import find_bundle, is_request_id, resolve
from probatum.cli.output import print_json, print_lines
from probatum.cli.reading import get_header, take
from probatum.cli.settings import DEFAULTS, Common
from probatum.cli.wire import exchange
from probatum.errors import Refusal
from probatum.evidence.blame import Blame, assign_blame
from probatum.evidence.receipt import CheckedRecords, check_records
from probatum.protocol.bundles import decode_bundle
from probatum.protocol.messages import GetBundle, GotBundle
from probatum.protocol.primitives import check_request_id

app = App(name="blame", help="Say who held a request when it failed.")

_VERDICTS = {
    "kept": "Every promise was kept.",
    "covered": "The request was answered, though a node that accepted it was not the one.",
    "lost": "The request was lost.",
    "open": "Nothing has lapsed yet.",
    "undetermined": "Nobody can be named.",
}


@app.default
def blame(
    what: Annotated[str, Parameter(help="A bundle's file, a request id, or: last")],
    /,
    *,
    height: Annotated[
        int | None, Parameter(help="Judge as of this height; else as of the ledger's last one.")
    ] = None,
    common: Common = DEFAULTS,
) -> None:
    """Say who held a request when a promise lapsed, from the signed records alone.

    Deadlines are heights of the ledger. The height comes from the ledger's last header, proven if
    a trust file is named; with --height no network is needed.

    Example: probatum blame receipt.json --height 120
    """
    bundle = decode_bundle(_load(common, resolve(common, what)))
    records = check_records(bundle)
    at, how = _find_height(common, height)
    verdict = assign_blame(bundle, at)
    if common.json:
        print_json(_describe(records, verdict, how))
    else:
        print_lines(_tell(records, verdict, how))


def _load(common: Common, what: str) -> bytes:
    """Take a file or a kept bundle; else ask the gateway, which keeps failed requests' too."""
    try:
        return find_bundle(common, what)
    except Refusal as refusal:
        if refusal.code != "store.unknown-request" or not is_request_id(what):
            raise
    wanted = GetBundle(request_id=check_request_id(what))
    return take(GotBundle, exchange(common.get_gateway(), wanted)).bundle


def _find_height(common: Common, height: int | None) -> tuple[int, str]:
    if height is not None:
        return height, "given, not proven"
    signed = get_header(common)
    if common.find_trust_path() is None:
        return signed.header.height, "the full node's word, not proven (no trust file)"
    return signed.header.height, "proven by the ledger's last header"


def _describe(records: CheckedRecords, verdict: Blame, how: str) -> dict[str, Any]:
    return {
        "request_id": records.release.request_id,
        "status": verdict.status,
        "party": verdict.party,
        "reason": verdict.reason,
        "height": verdict.height,
        "height_standing": how,
        "outcome": records.release.outcome,
        "gateway": records.release.gateway,
        "branches": [
            {
                "branch": finding.branch,
                "taker": finding.taker,
                "status": finding.status,
                "answer_by": finding.answer_by,
            }
            for finding in verdict.branches
        ],
    }


def _tell(records: CheckedRecords, verdict: Blame, how: str) -> list[str]:
    release = records.release
    lines = [
        f"request {release.request_id}",
        f"└─ gateway {release.gateway.account} accepted it",
    ]
    for finding, branch in zip(verdict.branches, records.branches, strict=True):
        lines.append(
            f"   ├─ {finding.branch}: node {finding.taker.account}: {finding.status} "
            f"(handed over at height {branch.record.given_at}, due by {finding.answer_by})"
        )
    outcome = f"{release.outcome}: {release.reason}" if release.reason else release.outcome
    lines.append(f"   └─ released at height {release.released_at}, {outcome}")
    lines += ["", f"{verdict.status}: {_VERDICTS[verdict.status]} {verdict.reason}."]
    if verdict.party is None:
        lines.append("named: nobody")
    else:
        lines.append(f"named: {verdict.party.role} {verdict.party.account}")
    lines.append(f"judged at height {verdict.height} ({how})")
    return lines
