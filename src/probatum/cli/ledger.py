"""`probatum ledger`: what the network has agreed, proven wherever a trust file is named."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from cyclopts import App, Parameter

from probatum.cli.accounts import resolve_address
from probatum.cli.amounts import format_units
from probatum.cli.comparing import describe_reported, show_comparison
from probatum.cli.comparing import report as report_to_ledgers
from probatum.cli.describing import (
    describe_header,
    describe_record,
    describe_value,
    parse_state_key,
)
from probatum.cli.failures import OK
from probatum.cli.output import print_facts, print_json, print_lines, print_table
from probatum.cli.places import expand_home
from probatum.cli.reading import get_header, get_value, list_records, take
from probatum.cli.settings import DEFAULTS, Common, read_bounded
from probatum.cli.trusting import (
    describe_trust,
    make_first_trust,
    make_newer_trust,
)
from probatum.cli.wire import exchange
from probatum.client.proofs import make_check_now
from probatum.client.trust_file import save_trust
from probatum.errors import Refusal
from probatum.evidence.forks import FORK_BYTES, check_fork, decode_fork, read_fork
from probatum.protocol import limits, records
from probatum.protocol.headers import CommitSeal, KeySeal, compute_header_hash
from probatum.protocol.hexes import bytes_from_hex, digest_from_hex
from probatum.protocol.messages import GetOutcome, GetStatus, Outcome, Status, Submit
from probatum.protocol.transactions.signed import compute_transaction_hash, decode_transaction

_SEALED: Final = {
    KeySeal: "signed by the trusted key",
    CommitSeal: "sealed by validators that the trust file leads to",
}

app = App(name="ledger", help="Read the ledger, with proofs.")


@app.command
def status(*, common: Common = DEFAULTS) -> int:
    """Show how the full node is doing: its word, not proven.

    With several full nodes, hold them against each other instead: who lags, who shows a header
    that the trust file does not lead to. Exit code 1 unless all agree. Two proven headers that
    contradict each other are kept in a file: they convict whoever sealed both.

    Example: probatum ledger status --ledger http://a:8080 --ledger http://b:8080
    """
    if len(common.list_ledgers()) > 1:
        return show_comparison(common)
    found = take(Status, exchange(common.get_ledger(), GetStatus()))
    facts: dict[str, Any] = describe_value(found)
    if common.json:
        print_json(facts)
    else:  # validators have keys of their own: there is none of the whole chain
        known = {name: value for name, value in facts.items() if value is not None}
        print_facts({name.replace("_", " "): value for name, value in known.items()})
    return OK


@app.command
def header(
    height: Annotated[int, Parameter(help="Which block; the last one if absent.")] = 0,
    /,
    *,
    common: Common = DEFAULTS,
) -> None:
    """Show a signed header, checked if a trust file is named.

    Example: probatum ledger header 120
    """
    signed = get_header(common, height)
    is_proven = common.find_trust_path() is not None
    facts = describe_header(signed)
    if common.json:
        print_json({**facts, "is_proven": is_proven})
        return
    print_facts({name.replace("_", " "): value for name, value in facts.items()})
    print_lines(
        (
            _SEALED[type(signed.seal)]
            if is_proven
            else "not checked: no trust file says whose signature to believe",
        )
    )


@app.command(name="trust")
def show_trust(
    *,
    output: Annotated[
        Path | None, Parameter(alias="-o", help="Write it to this file, for a stranger.")
    ] = None,
    renew: Annotated[
        bool,
        Parameter(
            help="Make a newer one of it, by any full node; in place without -o.", negative=""
        ),
    ] = False,
    genesis: Annotated[
        Path | None, Parameter(help="Make the first one of a genesis document instead.")
    ] = None,
    common: Common = DEFAULTS,
) -> None:
    """Show, copy, renew or make a trust file: all that somebody needs to verify receipts.

    Whom to have the first one from is for each to decide; a network cannot vouch for itself. One
    that names validators has to be renewed before its trusting period is over; nobody has to be
    believed for that, and several full nodes (--ledger, again and again) are held against each
    other first.

    Example: probatum ledger trust -o trust.json
    """
    if genesis is not None:
        trust = make_first_trust(genesis)
    elif renew:
        trust = make_newer_trust(common)
        output = output or common.find_trust_path()
    else:
        trust = common.get_trust()
    if output is not None:
        save_trust(expand_home(output), trust)
    if common.json:
        print_json(trust)
    else:
        facts = describe_trust(trust)
        print_facts({name.replace("_", " "): value for name, value in facts.items()})


@app.command
def fork(
    file: Annotated[Path, Parameter(help="What was kept of two pasts.")],
    /,
    *,
    report: Annotated[
        bool,
        Parameter(help="Report it to the full nodes (--ledger), to have it convict.", negative=""),
    ] = False,
    common: Common = DEFAULTS,
) -> None:
    """Check evidence of two pasts against a trust file, and say who sealed both; needs no network.

    `ledger status` keeps such files, and nodes and gateways that stop for it, in `evidence` of
    their home. With --report the full nodes that are named are asked to have it convict.

    Example: probatum ledger fork fork-0a1b2c3d4e5f6071.json --trust trust.json
    """
    trust = common.get_trust()
    evidence = decode_fork(read_bounded(file, FORK_BYTES))
    signers = check_fork(evidence, make_check_now(trust))
    found = read_fork(evidence)
    reported = report_to_ledgers(common, found, trust) if report else ()
    rows = [(signed.header.height, compute_header_hash(signed.header).hex()) for signed in found]
    if common.json:
        facts: dict[str, Any] = {
            "heights": [height for height, _ in rows],
            "hashes": [found for _, found in rows],
            "sealed_both": list(signers),
        }
        print_json(facts | {"reported": [asdict(told) for told in reported]} if report else facts)
        return
    print_lines(
        (
            *(f"a sealed header of height {height}: {found}" for height, found in rows),
            *(f"sealed both: {signer}" for signer in signers),
            *map(describe_reported, reported),
        )
    )


@app.command
def account(
    who: Annotated[str, Parameter(help="An address (0x…), or the name of an account here.")],
    /,
    *,
    common: Common = DEFAULTS,
) -> None:
    """Show an account's record.

    Example: probatum ledger account operator
    """
    address = resolve_address(common, who)
    _show_state(common, records.get_account_key(address), prove=False)


@app.command
def nodes(*, common: Common = DEFAULTS) -> None:
    """List registered nodes."""
    found = _list(common, records.NODE)
    if common.json:
        print_json({"nodes": found})
        return
    print_table(
        ("account", "roles", "endpoint", "heartbeat at", "log sessions"),
        (
            (n["account"], ", ".join(n["roles"]), n["endpoint"], n["heartbeat_at"], n["sessions"])
            for n in found
        ),
        empty="No nodes are registered.",
    )


@app.command
def models(*, common: Common = DEFAULTS) -> None:
    """List published models."""
    found = _list(common, records.MODEL)
    if common.json:
        print_json({"models": found})
        return
    print_table(
        ("name", "version", "bytes", "publisher", "package"),
        ((m["name"], m["version"], m["size_bytes"], m["publisher"], m["package"]) for m in found),
        empty="No models are published; `probatum model publish` does it.",
    )


@app.command
def offers(*, common: Common = DEFAULTS) -> None:
    """List who offers to run what, at which price."""
    found = _list(common, records.OFFER)
    if common.json:
        print_json({"offers": found})
        return
    print_table(
        ("operator", "package", "class", "evidence", "price"),
        (
            (
                offer["operator"],
                offer["package"],
                offer["arithmetic"],
                offer["evidence"],
                f"{format_units(offer['price_units'])} tokens",
            )
            for offer in found
        ),
        empty="Nobody offers anything.",
    )


@app.command
def logs(
    operator: Annotated[
        str | None, Parameter(help="Of this operator alone: an address or a name.")
    ] = None,
    /,
    *,
    common: Common = DEFAULTS,
) -> None:
    """List log sessions and what of them is settled.

    Example: probatum ledger logs operator
    """
    prefix = records.LOG + (resolve_address(common, operator) if operator else b"")
    found = _list(common, prefix)
    if common.json:
        print_json({"logs": found})
        return
    print_table(
        ("operator", "session", "entries settled", "settled at", "opened at"),
        (
            (log["operator"], log["session"], log["size"], log["settled_at"], log["opened_at"])
            for log in found
        ),
        empty="No log was opened.",
    )


@app.command
def state(
    key: Annotated[
        str, Parameter(help="params, supply, account/0x…, node/0x…, model/NAME/VERSION, …, 0x…")
    ],
    /,
    *,
    prove: Annotated[bool, Parameter(help="Show the proof too.")] = False,
    common: Common = DEFAULTS,
) -> None:
    """Show what the state holds under a key.

    Example: probatum ledger state params
    """
    _show_state(common, parse_state_key(key), prove=prove)


@app.command
def tx(
    hash: Annotated[str, Parameter(help="The transaction's hash, in hex.")],  # noqa: A002
    /,
    *,
    common: Common = DEFAULTS,
) -> None:
    """Show what became of a transaction.

    Example: probatum ledger tx HASH
    """
    wanted = GetOutcome(transaction_hash=digest_from_hex(hash.lower().removeprefix("0x")))
    _print_outcome(common, take(Outcome, exchange(common.get_ledger(), wanted)))


@app.command
def send(
    file: Annotated[Path, Parameter(help="Holds the signed transaction, in hex.")],
    /,
    *,
    common: Common = DEFAULTS,
) -> int:
    """Submit a transaction that was signed elsewhere, and wait for its outcome.

    Repeating it is safe: the ledger commits a transaction once.

    Example: probatum ledger send signed.hex
    """
    text = read_bounded(file, 2 * limits.TRANSACTION_BYTES + 16).strip().removeprefix(b"0x")
    data = bytes_from_hex(text.decode("ascii", "replace"))
    decode_transaction(data)
    outcome = take(Outcome, exchange(common.get_ledger(), Submit(transaction=data)))
    if outcome.transaction_hash != compute_transaction_hash(data):
        raise Refusal("reading.other-value", "the full node told of another transaction")
    _print_outcome(common, outcome)
    return 0 if outcome.code == "ok" else 1


def _print_outcome(common: Common, outcome: Outcome) -> None:
    facts: dict[str, Any] = describe_value(outcome)
    if common.json:
        print_json(facts)
    else:
        print_facts({name.replace("_", " "): value for name, value in facts.items()})


def _list(common: Common, prefix: bytes) -> list[dict[str, Any]]:
    return [
        describe_record(item.key, item.value)
        for item in list_records(common, prefix)
        if item.value is not None
    ]


def _show_state(common: Common, key: bytes, *, prove: bool) -> None:
    got = get_value(common, key, prove=prove)
    record = None if got.value is None else describe_record(key, got.value)
    if common.json:
        document: dict[str, Any] = {
            "key": key.hex(),
            "value": record,
            "height": got.header.header.height,
            "is_proven": got.is_proven,
        }
        if prove:
            # Without its white space these are the canonical bytes that a stranger checks.
            document["proof"] = msgspec.Raw(got.proof)
            document["header"] = describe_header(got.header)
        print_json(document)
        return
    if isinstance(record, dict):
        print_facts({name.replace("_", " "): value for name, value in record.items()})
    else:
        print_lines(("the state holds nothing under this key" if record is None else record,))
    print_lines((got.describe_standing(),))
    if prove:
        print_lines((got.proof.decode(),))
