"""`probatum node offences`: what a node was convicted of, and what is still open (`LOG-1`)."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from probatum.cli.accounts import resolve_address
from probatum.cli.amounts import format_units
from probatum.cli.describing import describe_record
from probatum.cli.output import print_json, print_lines, print_table
from probatum.cli.reading import list_records
from probatum.cli.settings import DEFAULTS, Common
from probatum.protocol import records

__all__ = ["offences"]


def offences(
    operator: Annotated[
        str | None, Parameter(help="Of this operator alone: an address or an account's name.")
    ] = None,
    /,
    *,
    common: Common = DEFAULTS,
) -> None:
    """List convictions, open challenges and lost logs.

    Example: probatum node offences 0x1234…
    """
    whose = resolve_address(common, operator) if operator else b""
    found = {
        name: _list(common, prefix + whose)
        for name, prefix in (
            ("convictions", records.OFFENCE),
            ("challenges", records.CHALLENGE),
            ("losses", records.LOSS),
            ("returned", records.RETURNED),
        )
    }
    if common.json:
        print_json(found)
        return
    print_table(
        ("operator", "convicted of", "session", "entry", "at height", "tokens taken"),
        (
            (
                case["operator"],
                case["kind"],
                case["session"],
                case["index"],
                case["convicted_at"],
                format_units(case["slashed_units"]),
            )
            for case in found["convictions"]
        ),
        empty="No convictions.",
    )
    print_table(
        ("operator", "challenged for session", "entry", "since", "until", "by"),
        (
            (
                case["operator"],
                case["session"],
                case["index"],
                case["opened_at"],
                case["deadline_at"],
                case["challenger"],
            )
            for case in found["challenges"]
        ),
        empty="No open challenges.",
    )
    print_lines(
        f"{case['operator']} declared its log lost up to session {case['session']} "
        f"at height {case['declared_at']}, loss number {case['losses']}"
        for case in found["losses"]
    )
    if found["returned"]:
        print_lines((f"{len(found['returned'])} lost receipts were handed back.",))


def _list(common: Common, prefix: bytes) -> list[dict[str, Any]]:
    return [
        describe_record(item.key, item.value)
        for item in list_records(common, prefix)
        if item.value is not None
    ]
