"""`probatum doctor`: what is well, what is not, and what to do about it.

The examination itself is `probatum.ops.doctor`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from probatum.cli.failures import OK, REFUSED, WARNED
from probatum.cli.output import print_json, print_lines
from probatum.cli.settings import DEFAULTS, Common
from probatum.ops.doctor import examine

app = App(name="doctor", help="Examine this machine, a node's folder or a network.")

_MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL", "skip": "skip"}


@app.default
def doctor(
    node: Annotated[Path | None, Parameter(help="A node's home folder.")] = None,
    /,
    *,
    common: Common = DEFAULTS,
) -> int:
    """Examine this machine, a node's folder or a network; nothing is changed.

    The exit code says the worst that was found: 0 all well, 4 a warning, 1 a failure.

    Example: probatum doctor ./my-node
    """
    pointer = common.get_pointer()
    ledger = common.get_ledger() if common.ledger or pointer else None
    findings = examine(node, ledger, common.find_trust_path())
    found = {finding.status for finding in findings}
    code = REFUSED if "fail" in found else WARNED if "warn" in found else OK
    if common.json:
        rows = [dataclasses.asdict(finding) for finding in findings]
        worst = {REFUSED: "fail", WARNED: "warn", OK: "ok"}[code]
        print_json({"well": "fail" not in found, "worst": worst, "findings": rows})
        return code
    for finding in findings:
        print_lines((f"{_MARKS[finding.status]}  {finding.check}: {finding.detail}",))
        if finding.advice and finding.status in {"warn", "fail"}:
            print_lines((f"      -> {finding.advice}",))
    return code
