"""`probatum pay`: escrows towards gateways and nodes, what was signed from them, and their end.

A voucher is signed by `probatum ask --max-price`; the money behind it is put aside, shown and
taken back here. Must not know how answers are paid for (`probatum.client.paying`).
"""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from probatum.cli.accounts import load_signer, resolve_address
from probatum.cli.amounts import format_units, parse_tokens
from probatum.cli.bundles import find_bundle, resolve
from probatum.cli.output import print_facts, print_json, print_lines, print_table
from probatum.cli.reading import get_record, list_records
from probatum.cli.sending import FEE_UNITS, get_domain, send_body
from probatum.cli.settings import DEFAULTS, Common
from probatum.client.purse_file import PurseState, list_purses
from probatum.errors import Refusal
from probatum.evidence.double_charges import find_double_charge
from probatum.protocol import limits
from probatum.protocol.bundles import decode_bundle
from probatum.protocol.encoding import decode
from probatum.protocol.hexes import digest_from_hex
from probatum.protocol.primitives import Address, Digest, address_to_hex
from probatum.protocol.records import ESCROW, NODE, EscrowRecord, NodeRecord, get_escrow_key
from probatum.protocol.transactions.kinds import (
    Body,
    CloseEscrow,
    FundEscrow,
    WithdrawEscrow,
)
from probatum.protocol.vouchers import compute_escrow_id

app = App(
    name="pay", help="Put tokens aside for a gateway, see what was spent, take the rest back."
)

To = Annotated[
    str | None,
    Parameter(help="Whom the escrow pays: an address (0x…); by default the gateway's operator."),
]
Payer = Annotated[
    str | None, Parameter(help="Which account pays: its name, or the path of its key file.")
]
Tokens = Annotated[str, Parameter(help="How many tokens, in decimals: 1.5")]
Fee = Annotated[int, Parameter(help="The fee in units (10⁻⁹ tokens).")]


@app.command
def fund(
    *,
    amount: Tokens,
    to: To = None,
    account: Payer = None,
    fee_units: Fee = FEE_UNITS,
    common: Common = DEFAULTS,
) -> None:
    """Open an escrow towards a gateway, or put more into it.

    Example: probatum pay fund --amount 2
    """
    payee = _find_payee(common, to)
    body = FundEscrow(payee=payee, amount=parse_tokens(amount))
    what = f"{amount} tokens put aside for {address_to_hex(payee)}"
    _send(common, account, payee, body, fee_units, what)


@app.command
def status(
    who: Annotated[str | None, Parameter(help="An account's name, or an address (0x…).")] = None,
    /,
    *,
    common: Common = DEFAULTS,
) -> None:
    """Show an account's escrows: the ledger's part, and what was signed from this folder.

    Example: probatum pay status
    """
    address = resolve_address(common, who)
    purses = {
        digest_from_hex(purse.escrow): purse for purse in list_purses(common.folder / "receipts")
    }
    domain = get_domain(common)
    rows = []
    for record in _list_escrows(common):
        if address not in (record.payer, record.payee):
            continue
        escrow = compute_escrow_id(domain, record.payer, record.payee)
        purse = purses.get(escrow) if record.payer == address else None
        rows.append(_describe(escrow, record, purse))
    if common.json:
        print_json({"account": address_to_hex(address), "escrows": rows})
        return
    print_table(
        ("from", "to", "deposited", "collected", "signed", "charged", "closing"),
        (_make_row(row) for row in rows),
        empty="No escrows; `probatum pay fund` opens one.",
    )


@app.command
def close(
    *,
    to: To = None,
    account: Payer = None,
    fee_units: Fee = FEE_UNITS,
    common: Common = DEFAULTS,
) -> None:
    """Announce that the rest is taken back: the other side collects what it is owed first.

    Example: probatum pay close
    """
    payee = _find_payee(common, to)
    body = CloseEscrow(payee=payee)
    _send(common, account, payee, body, fee_units, "the escrow is closing")


@app.command
def withdraw(
    *,
    to: To = None,
    account: Payer = None,
    fee_units: Fee = FEE_UNITS,
    common: Common = DEFAULTS,
) -> None:
    """Take back what nobody collected from a closed escrow, once its span is over.

    Example: probatum pay withdraw
    """
    payee = _find_payee(common, to)
    body = WithdrawEscrow(payee=payee)
    _send(common, account, payee, body, fee_units, "the rest is yours again")


@app.command
def accuse(
    first: Annotated[str, Parameter(help="A bundle's file, or the id of a request kept here.")],
    second: Annotated[str, Parameter(help="Another one, of the same request.")],
    /,
    *,
    send: Annotated[bool, Parameter(help="Send the report; else only say what it is.")] = False,
    account: Payer = None,
    fee_units: Fee = FEE_UNITS,
    common: Common = DEFAULTS,
) -> None:
    """Find a double charge in two bundles of one request, and convict who charged twice.

    Two releases that both charge for one request convict the gateway, two receipts that both
    charge for one hand-over the node.

    Example: probatum pay accuse one.json other.json --send
    """
    bundles = [decode_bundle(find_bundle(common, resolve(common, one))) for one in (first, second)]
    report = find_double_charge(*bundles)
    kind = type(report).__name__
    facts: dict[str, Any] = {"report": kind, "operator": address_to_hex(report.operator)}
    if send:
        outcome = send_body(common, load_signer(common, account), report, fee_units=fee_units)
        facts |= {"transaction": outcome.transaction_hash.hex(), "height": outcome.height}
    if common.json:
        print_json(facts)
        return
    print_facts(facts)
    if not send:
        print_lines(("Nothing was sent; --send convicts.",))


def _find_payee(common: Common, to: str | None) -> Address:
    """Find whom the escrow pays: by address, or the operator of the gateway in use.

    Raises:
        Refusal: `payment.unknown-gateway`.
    """
    if to is not None:
        return resolve_address(common, to)
    gateway = common.get_gateway()
    for item in list_records(common, NODE):
        if item.value is None:
            continue
        node = decode(NodeRecord, item.value, limit_bytes=limits.STATE_VALUE_BYTES)
        if "gateway" in node.roles and node.endpoint.rstrip("/") == gateway:
            return node.account
    raise Refusal(
        "payment.unknown-gateway",
        f"the ledger knows no gateway at {gateway}",
        hint="name its operator's account: --to 0x…",
    )


def _list_escrows(common: Common) -> list[EscrowRecord]:
    return [
        decode(EscrowRecord, item.value, limit_bytes=limits.STATE_VALUE_BYTES)
        for item in list_records(common, ESCROW)
        if item.value is not None
    ]


def _describe(escrow: Digest, record: EscrowRecord, purse: PurseState | None) -> dict[str, Any]:
    return {
        "escrow": escrow.hex(),
        "payer": address_to_hex(record.payer),
        "payee": address_to_hex(record.payee),
        "deposited_units": record.deposited_units,
        "collected_units": record.collected_units,
        "signed_units": purse.signed_units if purse else None,
        "charged_units": purse.charged_units if purse else None,
        "closing_at": record.closing_at,
    }


def _make_row(row: dict[str, Any]) -> tuple[str, ...]:
    def show(name: str) -> str:
        return "-" if row[name] is None else format_units(row[name])

    closing = "-" if row["closing_at"] is None else f"after height {row['closing_at']}"
    amounts = (
        show(name)
        for name in ("deposited_units", "collected_units", "signed_units", "charged_units")
    )
    return (row["payer"], row["payee"], *amounts, closing)


def _send(
    common: Common, account: str | None, payee: Address, body: Body, fee_units: int, what: str
) -> None:
    signer = load_signer(common, account)
    outcome = send_body(common, signer, body, fee_units=fee_units)
    escrow = compute_escrow_id(get_domain(common), signer.address, payee)
    record, proven = get_record(common, get_escrow_key(escrow), EscrowRecord)
    facts: dict[str, Any] = {
        "payer": address_to_hex(signer.address),
        "payee": address_to_hex(payee),
        "transaction": outcome.transaction_hash.hex(),
        "height": outcome.height,
        "fee_units": fee_units,
    }
    if common.json:
        print_json(facts | ({"escrow": _describe(escrow, record, None)} if record else {}))
        return
    print_lines((f"Done in block {outcome.height}: {what}.",))
    if record is None:
        return
    shown: dict[str, object] = {
        "escrow": escrow.hex(),
        "to": address_to_hex(payee),
        "in it": f"{format_units(record.deposited_units - record.collected_units)} tokens",
    }
    if record.closing_at is not None:
        shown["closing"] = f"it can be withdrawn after height {record.closing_at}"
    print_facts(shown | {"standing": proven.describe_standing()})
