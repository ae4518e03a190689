"""`probatum validator`: take part in deciding blocks, on networks whose engine has validators.

Consensus stake is another slice than a node's stake (`VAL-1`). The consensus key stays in the file
that CometBFT reads; here it signs once, to prove that it is there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from probatum.cli.accounts import load_signer, resolve_address
from probatum.cli.amounts import format_units, parse_tokens
from probatum.cli.output import print_facts, print_json, print_lines, print_table
from probatum.cli.reading import get_record, list_records
from probatum.cli.sending import FEE_UNITS, get_domain, send_body
from probatum.cli.settings import DEFAULTS, Common
from probatum.consensus.cometbft.keys import decode_validator_key
from probatum.errors import Refusal
from probatum.ledger.consensus_params import ConsensusParams
from probatum.nodes.shell.keys import read_private
from probatum.protocol import limits
from probatum.protocol.encoding import decode
from probatum.protocol.primitives import (
    Address,
    address_to_hex,
    make_consensus_key,
)
from probatum.protocol.transactions.kinds import Body
from probatum.protocol.transactions.possession import sign_consensus_possession
from probatum.protocol.transactions.validators import (
    RegisterValidator,
    StakeConsensus,
    Unjail,
    UnstakeConsensus,
    WithdrawConsensus,
)
from probatum.protocol.validators import (
    CONSENSUS_PARAMS_KEY,
    INFRACTION,
    VALIDATOR,
    VALIDATOR_SET_KEY,
    InfractionRecord,
    MissedRecord,
    ValidatorRecord,
    ValidatorSet,
    compute_consensus_address,
    get_missed_key,
    get_validator_key,
)

app = App(name="validator", help="Take part in deciding blocks.")

Who = Annotated[str | None, Parameter(help="An account's name, or an address (0x…).")]
Payer = Annotated[
    str | None, Parameter(help="Which account: its name, or the path of its key file.")
]
Tokens = Annotated[str, Parameter(help="How many tokens, in decimals: 1.5")]
Fee = Annotated[int, Parameter(help="The fee in units (10⁻⁹ tokens).")]


@app.command
def register(
    key_file: Annotated[
        Path, Parameter(help="CometBFT's priv_validator_key.json, by which the validator votes.")
    ],
    /,
    *,
    account: Payer = None,
    fee_units: Fee = FEE_UNITS,
    common: Common = DEFAULTS,
) -> None:
    """Register the key that the account votes by, or another in its place.

    It counts once the account has stake enough; a key serves one account, for ever.

    Example: probatum validator register engine/config/priv_validator_key.json
    """
    voter, owner = decode_validator_key(read_private(key_file)), load_signer(common, account)
    body = RegisterValidator(
        key=make_consensus_key(voter.key),
        possession=sign_consensus_possession(get_domain(common), owner.address, voter),
    )
    address = compute_consensus_address(body.key).hex().upper()
    _send(common, account, body, fee_units, f"the key votes for the account, as {address}")


@app.command
def stake(
    *, amount: Tokens, account: Payer = None, fee_units: Fee = FEE_UNITS, common: Common = DEFAULTS
) -> None:
    """Bond tokens as consensus stake: whole ones are the validator's power.

    Example: probatum validator stake --amount 100
    """
    body = StakeConsensus(amount=parse_tokens(amount))
    _send(common, account, body, fee_units, f"{amount} tokens bonded")


@app.command
def unstake(
    *, amount: Tokens, account: Payer = None, fee_units: Fee = FEE_UNITS, common: Common = DEFAULTS
) -> None:
    """Begin to unbond consensus stake; `validator withdraw` returns it once it has matured.

    Example: probatum validator unstake --amount 100
    """
    body = UnstakeConsensus(amount=parse_tokens(amount))
    _send(common, account, body, fee_units, f"{amount} tokens unbonding")


@app.command
def withdraw(
    *, account: Payer = None, fee_units: Fee = FEE_UNITS, common: Common = DEFAULTS
) -> None:
    """Return all consensus stake that has matured to the balance.

    Example: probatum validator withdraw
    """
    _send(common, account, WithdrawConsensus(), fee_units, "matured tokens returned")


@app.command
def unjail(*, account: Payer = None, fee_units: Fee = FEE_UNITS, common: Common = DEFAULTS) -> None:
    """Leave jail, once its time is over and the validator runs again.

    Example: probatum validator unjail --account operator
    """
    _send(common, account, Unjail(), fee_units, "out of jail")


@app.command(name="list")
def list_validators(*, common: Common = DEFAULTS) -> None:
    """List who has a seat, who waits for one, and who has none, and why.

    The set is proven where there is a trust file; who has no seat is the full node's word.
    """
    found, proven = get_record(common, VALIDATOR_SET_KEY, ValidatorSet)
    if found is None:
        raise Refusal("ledger.no-validators", "one key signs this chain: it has no validators")
    records = [
        decode(ValidatorRecord, item.value, limit_bytes=limits.STATE_VALUE_BYTES)
        for item in list_records(common, VALIDATOR)
        if item.value is not None
    ]
    places = _place(found)
    records.sort(key=lambda record: (places.get(record.account, len(places)), record.account))
    rows = [_describe(record, found) for record in records]
    if common.json:
        height = proven.header.header.height
        print_json({"validators": rows, "height": height, "is_proven": proven.is_proven})
        return
    print_table(
        ("account", "power", "bonded", "standing"),
        (
            (
                row["account"],
                str(row["power"]),
                format_units(row["bonded_units"]),
                row["standing"],
            )
            for row in rows
        ),
        empty="Nobody validates.",
    )
    print_facts({"the set is": proven.describe_standing()})


@app.command
def show(who: Who = None, /, *, common: Common = DEFAULTS) -> None:
    """Show one validator: key, stake, seat, missed votes, convictions.

    Example: probatum validator show 0x52908400098527886e0f7030069857d2e4169ee7
    """
    address = resolve_address(common, who)
    record, proven = get_record(common, get_validator_key(address), ValidatorRecord)
    found, _ = get_record(common, VALIDATOR_SET_KEY, ValidatorSet)
    if record is None or found is None:
        raise Refusal(
            "ledger.no-such-validator",
            "the account has registered no consensus key",
            hint="probatum validator register",
        )
    missed, _ = get_record(common, get_missed_key(address), MissedRecord)
    params, _ = get_record(common, CONSENSUS_PARAMS_KEY, ConsensusParams)
    facts = _describe(record, found) | {
        "consensus_address": compute_consensus_address(record.key).hex().upper(),
        "key": record.key.hex(),
        "unbonding": [
            {
                "units": entry.amount,
                "free_at_height": entry.matures_at,
                "free_at_ms": entry.matures_ms,
            }
            for entry in record.unbonding
        ],
        "missed_votes": missed.missed if missed else 0,
        "missed_in_window": missed.window if missed else None,
        "convictions": [_describe_infraction(one) for one in _list_infractions(common, address)],
        "height": proven.header.header.height,
        "is_proven": proven.is_proven,
    }
    if common.json:
        print_json(facts)
        return
    unbonding = sum(entry.amount for entry in record.unbonding)
    print_facts(
        {
            "account": facts["account"],
            "consensus address": facts["consensus_address"],
            "power": facts["power"],
            "bonded": f"{format_units(record.bonded)} tokens",
            "unbonding": f"{format_units(unbonding)} tokens",
            "standing": facts["standing"],
            "missed votes": _tell_missed(missed, params, proven.header.header.height),
            "convictions": len(facts["convictions"]),
            "believed": proven.describe_standing(),
        }
    )


def _tell_missed(missed: MissedRecord | None, params: ConsensusParams | None, height: int) -> str:
    """Say how near to jail a validator is: votes missed in this window, and how many may be."""
    if params is None:
        return "not counted"
    blocks = params.vote_window_blocks
    count = missed.missed if missed is not None and missed.window == height // blocks else 0
    most = blocks - -(-blocks * params.least_signed_permille // 1_000)
    begin = height // blocks * blocks
    return f"{count} of at most {most} in the {blocks} blocks from {begin} on"


def _place(found: ValidatorSet) -> dict[Address, int]:
    return {seat.account: place for place, seat in enumerate((*found.seats, *found.waiting))}


def _describe(record: ValidatorRecord, found: ValidatorSet) -> dict[str, Any]:
    place = _place(found).get(record.account)
    seated = place is not None and place < len(found.seats)
    if seated:
        standing = "has a seat"
    elif record.tombstoned_at is not None:
        standing = f"convicted at height {record.tombstoned_at}, never again"
    elif record.jailed_until is not None:
        standing = f"in jail until height {record.jailed_until}"
    elif place is not None:
        standing = "waits for a seat"
    else:
        standing = "too little stake"
    return {
        "account": address_to_hex(record.account),
        "power": next((s.power for s in found.seats if s.account == record.account), 0),
        "bonded_units": record.bonded,
        "standing": standing,
        "jailed_until": record.jailed_until,
        "tombstoned_at": record.tombstoned_at,
    }


def _list_infractions(common: Common, address: Address) -> list[InfractionRecord]:
    return [
        decode(InfractionRecord, item.value, limit_bytes=limits.STATE_VALUE_BYTES)
        for item in list_records(common, INFRACTION + address)
        if item.value is not None
    ]


def _describe_infraction(record: InfractionRecord) -> dict[str, Any]:
    return {
        "kind": record.kind,
        "height": record.height,
        "burned_units": record.slashed_units,
        "convicted_at": record.convicted_at,
    }


def _send(common: Common, account: str | None, body: Body, fee_units: int, what: str) -> None:
    signer = load_signer(common, account)
    outcome = send_body(common, signer, body, fee_units=fee_units)
    facts: dict[str, Any] = {
        "account": address_to_hex(signer.address),
        "transaction": outcome.transaction_hash.hex(),
        "height": outcome.height,
        "fee_units": fee_units,
    }
    if common.json:
        print_json(facts)
        return
    print_lines((f"Done in block {outcome.height}: {what}.",))
    print_facts({"transaction": facts["transaction"], "fee": f"{format_units(fee_units)} tokens"})
