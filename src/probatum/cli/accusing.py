"""`probatum receipt accuse`: hold a node to a receipt, step by step or to the end (`LOG-1`)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any, assert_never

from cyclopts import Parameter
from cyclopts.validators import Number

from probatum.cli.accounts import load_signer
from probatum.cli.amounts import format_units
from probatum.cli.bundles import find_bundle, open_receipts, resolve
from probatum.cli.output import print_facts, print_json, print_lines, waiting
from probatum.cli.prosecuting import AskedFacts, Prosecution, Standing
from probatum.cli.sending import FEE_UNITS
from probatum.cli.settings import DEFAULTS, Common, read_bounded
from probatum.errors import Refusal
from probatum.evidence.accusing import HeldReceipt, hold_bundle
from probatum.evidence.prosecution import Accuse, Done, Wait, find_rivals
from probatum.ledger.fees import count_shares
from probatum.ledger.params import Params, get_slash
from probatum.protocol import limits
from probatum.protocol.bundles import decode_bundle
from probatum.protocol.primitives import address_to_hex
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.transactions.kinds import (
    ChallengeReceipt,
    CloseChallenge,
    ConvictOmission,
    ReportNoPrefix,
    ReportTwoReceipts,
    ReportWrongEntry,
)

__all__ = ["accuse"]


def accuse(
    what: Annotated[
        str, Parameter(help="A bundle's file, the id of a request kept here, or: last")
    ],
    /,
    *,
    against: Annotated[
        Path | None, Parameter(help="A bundle with another receipt for the same place.")
    ] = None,
    send: Annotated[bool, Parameter(help="Send what is due now; else only say it.")] = False,
    wait: Annotated[bool, Parameter(help="Send, and go on until it is decided.")] = False,
    wait_s: Annotated[
        int, Parameter(help="How long to go on, in seconds.", validator=Number(gte=0))
    ] = 600,
    patience: Annotated[
        int, Parameter(help="Blocks to wait after a receipt is due before it is challenged.")
    ] = 3,
    account: Annotated[str | None, Parameter(help="Who pays: a name or a key file.")] = None,
    common: Common = DEFAULTS,
) -> None:
    """Say what follows for a receipt, and with --send or --wait hold its node to it.

    A receipt that its node left out of its log is challenged under a bond, which comes back;
    what is still left out afterwards convicts. Two receipts for one place, or another entry there,
    convict at once. Without --send nothing is sent.

    Example: probatum receipt accuse last --wait
    """
    held = hold_bundle(decode_bundle(find_bundle(common, resolve(common, what))))
    signer = load_signer(common, account) if send or wait else None
    case = Prosecution(
        common=common,
        held=held,
        rival=_find_rival(common, held, against),
        params=AskedFacts(common).get_params(),
        patience_blocks=max(0, patience),
        sender=None if signer is None else signer.address,
    )
    steps: list[dict[str, Any]] = []
    standing, height = case.decide()
    if signer is not None:
        with waiting("holding the node to its receipt …"):
            standing, height = _act(case, signer, steps, wait_s if wait else None)
    _show(common, case, steps, standing, height)


def _find_rival(common: Common, held: HeldReceipt, against: Path | None) -> HeldReceipt | None:
    """Find another receipt for the same place: the one that is named, or one that is kept."""
    others: list[HeldReceipt] = []
    if against is not None:
        data = read_bounded(against, limits.BUNDLE_BYTES)
        others.append(hold_bundle(decode_bundle(data)))
    else:
        store = open_receipts(common)
        for kept in store.list():
            try:
                others.append(hold_bundle(decode_bundle(store.load_bundle(kept.request_id))))
            except Refusal:
                continue
    pairs = [find_rivals((held, other)) for other in others]
    return next((pair[0][1] for pair in pairs if pair), None)


def _act(
    case: Prosecution, signer: AccountSigner, steps: list[dict[str, Any]], wait_s: int | None
) -> tuple[Standing, int]:
    """Send what is due; with a time to wait, go on until nothing more follows."""
    until = time.monotonic() + (wait_s or 0)
    while True:
        standing, height = case.decide()
        match standing:
            case Accuse(body=body):
                outcome = case.send(signer, standing)
                if outcome is not None:
                    steps.append(
                        {
                            "sent": type(body).__name__,
                            "why": standing.why,
                            "height": outcome.height,
                            "transaction": outcome.transaction_hash.hex(),
                        }
                    )
                    if wait_s is None:
                        return case.decide()
                elif wait_s is None or time.monotonic() >= until:
                    return standing, height
            case Wait(until=due):
                if wait_s is None or not case.wait(due, until):
                    return standing, height
            case Done():
                return standing, height
            case _:
                assert_never(standing)


def _show(
    common: Common,
    case: Prosecution,
    steps: list[dict[str, Any]],
    standing: Standing,
    height: int,
) -> None:
    place = case.held.place
    facts: dict[str, Any] = {
        "request_id": case.held.receipt.request.request_id,
        "node": address_to_hex(case.held.operator),
        "session": place.session,
        "index": place.index,
        "include_by": place.include_by,
        "height": height,
    }
    follows = _describe(standing, case.params)
    if common.json:
        print_json({**facts, "steps": steps, **follows})
        return
    print_facts({name.replace("_", " "): value for name, value in facts.items()})
    print_lines(f"sent  {step['sent']} in block {step['height']}: {step['why']}" for step in steps)
    print_lines(_tell(standing, follows))


def _describe(standing: Standing, params: Params) -> dict[str, Any]:
    match standing:
        case Done(convicted=convicted, why=why):
            return {"standing": "convicted" if convicted else "done", "why": why}
        case Wait(until=until, why=why):
            return {"standing": "waiting", "why": why, "until": until}
        case Accuse(body=body, why=why):
            return {
                "standing": "due",
                "why": why,
                "next": type(body).__name__,
                **_weigh(standing, params),
            }
        case _:
            assert_never(standing)


def _weigh(accusation: Accuse, params: Params) -> dict[str, int]:
    """Say in units what an accusation costs its sender and its node, and what it may bring."""
    fee_units = FEE_UNITS * count_shares(accusation.body)
    match accusation.body:
        case ChallengeReceipt():
            slash = get_slash(params, "omission")
            costs = {
                "bond_units": params.challenge_bond_units,
                "window_blocks": min(params.challenge_window_blocks, params.unbonding_blocks),
            }
        case CloseChallenge():
            return {"fee_units": fee_units, "node_pays_units": params.late_fee_units}
        case ConvictOmission():
            slash, costs = get_slash(params, "omission"), {}
        case ReportTwoReceipts() | ReportWrongEntry():
            slash, costs = get_slash(params, "entry"), {}
        case ReportNoPrefix():
            slash, costs = get_slash(params, "fork"), {}
        case _:
            assert_never(accusation.body)
    reward = slash * params.reporter_share_permille // 1000
    return {"fee_units": fee_units, **costs, "node_loses_units": slash, "reward_units": reward}


def _tell(standing: Standing, follows: dict[str, Any]) -> list[str]:
    lines = [f"{follows['standing']}: {standing.why}"]
    if isinstance(standing, Wait):
        lines.append(f"Nothing to do before height {standing.until}.")
    if not isinstance(standing, Accuse):
        return lines
    name = type(standing.body).__name__
    lines.append(f"Next: {name}, for a fee of {format_units(follows['fee_units'])} tokens.")
    if "bond_units" in follows:
        lines.append(
            f"It needs a bond of {format_units(follows['bond_units'])} tokens, which comes back "
            f"when it ends; the node then has {follows['window_blocks']} blocks."
        )
    if "node_loses_units" in follows:
        loses, reward = follows["node_loses_units"], follows["reward_units"]
        lines.append(
            f"A conviction takes up to {format_units(loses)} tokens of the node's stake, of which "
            f"the accuser gets up to {format_units(reward)}; the rest is burned."
        )
    if "node_pays_units" in follows:
        lines.append(
            f"It ends the challenge: the bond comes back, and the node pays "
            f"{format_units(follows['node_pays_units'])} tokens for being late."
        )
    lines.append("Send it with --send; --wait goes on to the end.")
    return lines
