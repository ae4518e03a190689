"""`probatum receipt`: what is kept, what it says, and whether it holds.

`verify` needs two files and no network; it imports what it needs when it runs, so that a stranger
waits for nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import App, Parameter
from cyclopts.validators import Number

from probatum.cli.bundles import ContentFiles, find_bundle, load_tensors, open_receipts, resolve
from probatum.cli.output import note, print_facts, print_json, print_lines, print_table, waiting
from probatum.cli.settings import DEFAULTS, Common
from probatum.errors import Fault, Refusal
from probatum.protocol.primitives import RequestId, check_request_id

if TYPE_CHECKING:
    from probatum.evidence.receipt import CheckedRecords, VerifiedBundle

app = App(name="receipt", help="List, show, fetch and verify receipts.")
app.command(
    "probatum.cli.accusing:accuse",
    name="accuse",
    help="Say what follows for a receipt, and hold its node to it.",
)

app.command(
    "probatum.cli.rechecking:recheck",
    name="recheck",
    help="Compute an answer of class exact again, here, and say right or wrong.",
)

app.command(
    "probatum.cli.renewing:renew",
    name="renew",
    help="Prove a receipt's settlement again, against the ledger's last header.",
)

_SAYS_NOTHING: Final = frozenset(
    {
        "light.before-trust",
        "light.expired",
        "light.from-the-future",
        # One step, without a network, does not lead past validators who have all been replaced.
        "light.too-little-trust",
    }
)
"""Refusals that are about the trust file or the clock: they tell nothing of a receipt."""

What = Annotated[str, Parameter(help="A bundle's file, the id of a request kept here, or: last")]
Id = Annotated[str, Parameter(help="The request id, or: last")]


@app.command
def verify(
    what: What,
    /,
    *,
    contents: Annotated[
        Path | None, Parameter(help="What was asked and answered, as `ask` keeps it.")
    ] = None,
    request: Annotated[
        Path | None, Parameter(help="The request as the inference protocol's JSON.")
    ] = None,
    answer: Annotated[
        Path | None, Parameter(help="The answer as the inference protocol's JSON.")
    ] = None,
    salt: Annotated[str | None, Parameter(help="The salt in hex, with --request.")] = None,
    common: Common = DEFAULTS,
) -> None:
    """Verify a receipt: needs no network, and trusts nothing but the trust file.

    Says line by line what was checked and what was not. Exit code 0 if the receipt holds, 1 if
    it does not. With the embedded engine the trust root is that engine's one key.

    Example: probatum receipt verify receipt.json --trust trust.json
    """
    from probatum.client.proofs import make_check_now  # noqa: PLC0415 - see above
    from probatum.evidence.receipt import check_bundle, check_contents  # noqa: PLC0415 - see above

    what = resolve(common, what)
    trust, data = common.get_trust(), find_bundle(common, what)
    files = ContentFiles(contents=contents, request=request, answer=answer, salt=salt)
    tensors = load_tensors(common, what, files)
    try:
        verified = check_bundle(data, make_check_now(trust))
        if tensors is not None:
            verified = check_contents(verified, *tensors)
    except Refusal as refusal:
        raise _explain(refusal, data) from None
    receipt = verified.receipt
    if common.json:
        print_json(
            {
                "holds": True,
                "request_id": receipt.request.request_id,
                "node": receipt.node.account,
                "gateway": verified.release.gateway.account,
                "package": receipt.request.model.package,
                "height": verified.settlement.header.height if verified.settlement else None,
                "checks": [
                    {"clause": line.clause, "standing": line.standing, "text": line.text}
                    for line in verified.checks
                ],
            }
        )
        return
    _print_checks(verified)
    print_lines(
        (
            "",
            f"This receipt holds: request {receipt.request.request_id} was answered by node",
            f"{receipt.node.account}.",
        )
    )
    if tensors is None:
        note("To compare the content too: --contents FILE, or --request, --answer and --salt.")


def _explain(refusal: Refusal, data: bytes) -> Refusal:
    """Say what a refusal means for who wants to rely on a receipt."""
    hint = f"{refusal.hint}. " if refusal.hint else ""
    if refusal.code == "receipt.not-settled":
        from probatum.evidence.receipt import check_records  # noqa: PLC0415 - see the top
        from probatum.protocol.bundles import decode_bundle  # noqa: PLC0415 - ditto

        request_id = check_records(decode_bundle(data)).release.request_id
        return Refusal(
            refusal.code,
            f"this receipt is not settled yet: {refusal.message}",
            hint=f"`probatum receipt settle {request_id}` waits for it; then verify again",
        )
    if refusal.code in _SAYS_NOTHING:
        return Refusal(
            refusal.code,
            f"this trust file says nothing about this receipt: {refusal.message}",
            hint=f"{hint}Until it is checked, do not rely on it.",
        )
    return Refusal(
        refusal.code,
        f"this receipt does not hold: {refusal.message}",
        hint=f"{hint}As it is, it shows nothing: do not rely on it.",
    )


@app.command
def show(what: What, /, *, common: Common = DEFAULTS) -> None:
    """Show what a bundle says. Signatures are checked; whose keys they are is not: see verify.

    Example: probatum receipt show last
    """
    from probatum.evidence.receipt import check_records  # noqa: PLC0415 - see above
    from probatum.protocol.bundles import decode_bundle  # noqa: PLC0415 - ditto

    bundle = decode_bundle(find_bundle(common, resolve(common, what)))
    records = check_records(bundle)
    facts = _describe(records, is_settled=bundle.settlement is not None)
    if common.json:
        print_json(facts)
        return
    print_facts({name.replace("_", " "): _one_line(value) for name, value in facts.items()})
    if bundle.settlement is None and records.receipt is not None:
        print_lines((f"Not settled yet: probatum receipt settle {facts['request_id']}",))


@app.command(name="list")
def list_receipts(*, common: Common = DEFAULTS) -> None:
    """List the receipts that are kept in the home folder."""
    from probatum.evidence.receipt import check_records  # noqa: PLC0415 - see above
    from probatum.protocol.bundles import decode_bundle  # noqa: PLC0415 - ditto

    store = open_receipts(common)
    rows: list[dict[str, Any]] = []
    for kept in store.list():
        row: dict[str, Any] = {"request_id": kept.request_id, "standing": kept.stand}
        try:
            bundle = decode_bundle(store.load_bundle(kept.request_id))
            facts = _describe(check_records(bundle), is_settled=bundle.settlement is not None)
            row |= {name: facts[name] for name in ("outcome", "node", "package")}
        except Refusal as refusal:
            row |= {"standing": "broken", "outcome": refusal.code}
        rows.append(row)
    if common.json:
        print_json({"receipts": rows})
        return
    print_table(
        ("request", "standing", "outcome", "node", "package"),
        (
            (
                row["request_id"],
                row["standing"],
                row.get("outcome") or "-",
                row.get("node") or "-",
                f"{row['package'][:16]}…" if row.get("package") else "-",
            )
            for row in rows
        ),
        empty="No receipts yet; `probatum ask` keeps them.",
    )


@app.command
def fetch(
    request_id: Id,
    /,
    *,
    output: Annotated[
        Path | None, Parameter(alias="-o", help="Where to write it; else the home folder.")
    ] = None,
    common: Common = DEFAULTS,
) -> None:
    """Fetch a request's bundle from the gateway, settled or not.

    Example: probatum receipt fetch last -o receipt.json
    """
    wanted = check_request_id(resolve(common, request_id))
    is_settled, data = _ask_gateway(common, wanted)
    _save(common, wanted, data, output, is_settled=is_settled)


@app.command
def settle(
    request_id: Id,
    /,
    *,
    wait_s: Annotated[
        int, Parameter(help="How long to wait, in seconds.", validator=Number(gte=0))
    ] = 60,
    output: Annotated[
        Path | None, Parameter(alias="-o", help="Where to write it; else the home folder.")
    ] = None,
    common: Common = DEFAULTS,
) -> None:
    """Wait until a receipt is settled, verify it against the trust file, and keep it.

    Example: probatum receipt settle last -o receipt.json
    """
    from probatum.client.client import Client  # noqa: PLC0415 - brings the network along

    wanted = check_request_id(resolve(common, request_id))
    trust = common.get_trust()
    store = open_receipts(common)
    if all(kept.request_id != wanted for kept in store.list()):
        # Asked by another program: what the gateway shows now must be what it settles.
        store.keep(wanted, _ask_gateway(common, wanted)[1], None)
    client = Client(
        common.get_gateway(), trust=trust, receipts=store.folder, api_key=common.api_key
    )
    with client, waiting("waiting for the node's next checkpoint …"):
        client.settle(wanted, timeout_s=wait_s)
    _save(common, wanted, store.load_bundle(wanted), output, is_settled=True)


def _ask_gateway(common: Common, request_id: RequestId) -> tuple[bool, bytes]:
    from probatum.cli.reading import take  # noqa: PLC0415 - brings the network along
    from probatum.cli.wire import exchange  # noqa: PLC0415 - ditto
    from probatum.protocol.messages import GetBundle, GotBundle  # noqa: PLC0415 - ditto

    got = take(GotBundle, exchange(common.get_gateway(), GetBundle(request_id=request_id)))
    return got.settled, got.bundle


def _save(
    common: Common, request_id: RequestId, data: bytes, output: Path | None, *, is_settled: bool
) -> None:
    if output is None:
        open_receipts(common).keep(request_id, data, None)
    else:
        try:
            output.write_bytes(data)
        except OSError as error:
            raise Fault("receipt.unwritable", f"cannot write {output}: {error.strerror}") from None
    facts = {"request_id": request_id, "is_settled": is_settled}
    if common.json:
        print_json({**facts, "file": None if output is None else str(output)})
        return
    print_facts(
        {
            "request": request_id,
            "standing": "settled" if is_settled else "not settled yet",
            "kept": output or "in the home folder",
        }
    )
    if is_settled:
        trust = common.find_trust_path() or "TRUST.json"
        print_lines((f"Next: probatum receipt verify {output or request_id} --trust {trust}",))


def _print_checks(verified: VerifiedBundle) -> None:
    print_lines(f"{line.standing:<11}  {line.clause:<9}  {line.text}" for line in verified.checks)


def _describe(records: CheckedRecords, *, is_settled: bool) -> dict[str, Any]:
    receipt, release = records.receipt, records.release
    facts: dict[str, Any] = {
        "request_id": release.request_id,
        "standing": "settled" if is_settled else "pending" if receipt else "final",
        "outcome": release.outcome,
        "reason": release.reason,
        "gateway": release.gateway.account,
        "asked_by": records.branches[0].record.accepted_from or "anybody",
        "hand_overs": len(records.branches),
        "node": None,
        "package": None,
    }
    if receipt is not None:
        request = receipt.request
        facts |= {
            "node": receipt.node.account,
            "package": request.model.package,
            "class": request.arithmetic,
            "evidence": receipt.evidence,
            "inputs": [_describe_head(head) for head in request.inputs],
            "outputs": [_describe_head(head) for head in receipt.outputs],
            "salt_by": request.salt_by,
            "nonce_by": request.nonce_by,
            "log_session": receipt.log.session,
            "log_index": receipt.log.index,
            "include_by": receipt.log.include_by,
            "node_price_units": receipt.price_units,
            "node_running_total_units": receipt.running_total_units,
            "price_units": release.price_units,
            "running_total_units": release.running_total_units,
            "escrow": release.escrow,
            "receipt_digest": records.receipt_digest.hex() if records.receipt_digest else None,
        }
    return facts


def _describe_head(head: Any) -> dict[str, Any]:
    return {
        "name": head.name,
        "dtype": head.dtype,
        "shape": list(head.shape),
        "root": head.root,
    }


def _one_line(value: object) -> object:
    if isinstance(value, list):
        return "; ".join(
            f"{head['name']} {head['dtype']} {head['shape']} root {head['root'][:16]}…"
            for head in value
        )
    return "-" if value is None else value
