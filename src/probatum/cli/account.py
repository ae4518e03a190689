"""`probatum account`: keys in the home folder, balances in the ledger.

A key never leaves its file, except by `account export --yes`.
"""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from probatum.cli.accounts import (
    DEFAULT_NAME,
    find_key_path,
    get_account_folder,
    get_key_path,
    load_signer,
    resolve_address,
)
from probatum.cli.amounts import format_units, parse_tokens
from probatum.cli.output import note, print_facts, print_json, print_lines, print_table
from probatum.cli.reading import get_record
from probatum.cli.sending import FEE_UNITS, send_body
from probatum.cli.settings import DEFAULTS, Common
from probatum.errors import Refusal
from probatum.nodes.shell.keys import create_account_key, load_account_key
from probatum.protocol.primitives import address_to_hex
from probatum.protocol.records import Account, StakeRecord, get_account_key, get_stake_key
from probatum.protocol.transactions.kinds import Body, Stake, Transfer, Unstake, Withdraw

app = App(name="account", help="Make accounts, see balances, send tokens.")
app.command(
    "probatum.cli.publisher:app",
    name="publisher-key",
    help="Make and register the key that signs your models.",
)

Who = Annotated[str | None, Parameter(help="An account's name, or an address (0x…).")]
Payer = Annotated[
    str | None, Parameter(help="Which account pays: its name, or the path of its key file.")
]
Tokens = Annotated[str, Parameter(help="How many tokens, in decimals: 1.5")]
Fee = Annotated[int, Parameter(help="The fee in units (10⁻⁹ tokens).")]


@app.command
def new(name: str = DEFAULT_NAME, /, *, common: Common = DEFAULTS) -> None:
    """Make an account; its key stays in a file that only you can read.

    Example: probatum account new savings
    """
    path = get_key_path(common, name)
    signer = create_account_key(path)
    address = address_to_hex(signer.address)
    if common.json:
        print_json({"name": name, "address": address, "key_file": str(path)})
        return
    print_facts({"name": name, "address": address, "key file": path})
    note("Keep a copy of the key file: whoever has it has the account; without it, nobody has.")
    if name == DEFAULT_NAME and (giver := common.get_giver()) is not None:
        note("It pays from now on where no --account is named, and holds nothing yet. Next:")
        note(f"  probatum account send {name} --amount 10 --account {giver}")


@app.command(name="list")
def list_accounts(*, common: Common = DEFAULTS) -> None:
    """List the accounts whose keys are here, and the one of the network that runs here."""
    paths = sorted(get_account_folder(common).glob("*.json"))
    pointer = common.get_pointer()
    rows = [
        {
            "name": path.stem,
            "address": address_to_hex(load_account_key(path).address),
            "key_file": str(path),
        }
        for path in paths
    ]
    if pointer is not None and pointer.account is not None:
        path = find_key_path(common, pointer.account)
        address = address_to_hex(load_account_key(path).address)
        rows.append({"name": "(this network's)", "address": address, "key_file": str(path)})
    if common.json:
        print_json({"accounts": rows})
        return
    print_table(
        ("name", "address", "key file"),
        (tuple(row.values()) for row in rows),
        empty="No accounts yet; `probatum account new` makes one.",
    )


@app.command
def show(who: Who = None, /, *, common: Common = DEFAULTS) -> None:
    """Show the address of an account whose key is here; asks no network.

    Example: probatum account show operator
    """
    address = address_to_hex(resolve_address(common, who))
    if common.json:
        print_json({"address": address})
    else:
        print_lines((address,))


@app.command
def balance(who: Who = None, /, *, common: Common = DEFAULTS) -> None:
    """Show what an account holds and has staked.

    Example: probatum account balance 0x52908400098527886e0f7030069857d2e4169ee7
    """
    address = resolve_address(common, who)
    found, proven = get_record(common, get_account_key(address), Account)
    staked, _ = get_record(common, get_stake_key(address), StakeRecord)
    account = found or Account(balance=0, nonce=0)
    stake_record = staked or StakeRecord(bonded=0, unbonding=())
    unbonding = sum(entry.amount for entry in stake_record.unbonding)
    if common.json:
        print_json(
            {
                "address": address_to_hex(address),
                "balance_units": account.balance,
                "bonded_units": stake_record.bonded,
                "unbonding_units": unbonding,
                "nonce": account.nonce,
                "height": proven.header.header.height,
                "is_proven": proven.is_proven,
            }
        )
        return
    print_facts(
        {
            "address": address_to_hex(address),
            "balance": f"{format_units(account.balance)} tokens",
            "bonded": f"{format_units(stake_record.bonded)} tokens",
            "unbonding": f"{format_units(unbonding)} tokens",
            "standing": proven.describe_standing(),
        }
    )


@app.command
def send(
    to: Annotated[str, Parameter(help="An address (0x…), or the name of an account here.")],
    /,
    *,
    amount: Tokens,
    account: Payer = None,
    fee_units: Fee = FEE_UNITS,
    common: Common = DEFAULTS,
) -> None:
    """Send tokens.

    Example: probatum account send savings --amount 1.5
    """
    body = Transfer(to=resolve_address(common, to), amount=parse_tokens(amount))
    _send(common, account, body, fee_units, f"{amount} tokens to {address_to_hex(body.to)}")


@app.command
def stake(
    *,
    amount: Tokens,
    account: Payer = None,
    fee_units: Fee = FEE_UNITS,
    common: Common = DEFAULTS,
) -> None:
    """Bond tokens: without stake no node acts.

    Example: probatum account stake --amount 10
    """
    _send(common, account, Stake(amount=parse_tokens(amount)), fee_units, f"{amount} tokens bonded")


@app.command
def unstake(
    *,
    amount: Tokens,
    account: Payer = None,
    fee_units: Fee = FEE_UNITS,
    common: Common = DEFAULTS,
) -> None:
    """Begin to unbond tokens; `account withdraw` returns them once they have matured.

    Example: probatum account unstake --amount 10
    """
    body = Unstake(amount=parse_tokens(amount))
    _send(common, account, body, fee_units, f"{amount} tokens unbonding")


@app.command
def withdraw(
    *, account: Payer = None, fee_units: Fee = FEE_UNITS, common: Common = DEFAULTS
) -> None:
    """Return all matured tokens to the balance.

    Example: probatum account withdraw --account operator
    """
    _send(common, account, Withdraw(), fee_units, "matured tokens returned")


@app.command
def export(
    name: str = DEFAULT_NAME,
    /,
    *,
    yes: Annotated[bool, Parameter(help="Yes, print the secret.")] = False,
    common: Common = DEFAULTS,
) -> None:
    """Print an account's secret key, for a wallet; needs --yes.

    Example: probatum account export savings --yes
    """
    if not yes:
        raise Refusal(
            "account.not-confirmed",
            "whoever sees the secret has the account",
            hint="make sure that nobody looks, then add --yes",
        )
    signer = load_signer(common, name)
    if common.json:
        print_json({"address": address_to_hex(signer.address), "secret": signer.secret.hex()})
    else:
        print_lines((signer.secret.hex(),))


def _send(common: Common, account: str | None, body: Body, fee_units: int, what: str) -> None:
    signer = load_signer(common, account)
    outcome = send_body(common, signer, body, fee_units=fee_units)
    facts: dict[str, Any] = {
        "sender": address_to_hex(signer.address),
        "transaction": outcome.transaction_hash.hex(),
        "height": outcome.height,
        "fee_units": fee_units,
    }
    if common.json:
        print_json(facts)
        return
    print_lines((f"Done in block {outcome.height}: {what}.",))
    print_facts({"transaction": facts["transaction"], "fee": f"{format_units(fee_units)} tokens"})
