"""`probatum account publisher-key`: the P-256 keys that sign model packages (`SIGN-2`).

Such a key signs packages and nothing else; the account that it is registered for says whose.
"""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from probatum.cli.accounts import DEFAULT_NAME, load_signer
from probatum.cli.output import note, print_facts, print_json, print_lines
from probatum.cli.publisher_keys import get_publisher_key_path, load_publisher_signer
from probatum.cli.reading import get_record
from probatum.cli.sending import FEE_UNITS, get_domain, send_body
from probatum.cli.settings import DEFAULTS, Common
from probatum.nodes.shell.keys import create_publisher_key
from probatum.protocol.p256 import compute_publisher_key_id, key_to_pem
from probatum.protocol.primitives import address_to_hex
from probatum.protocol.records import PublisherKeyRecord, get_publisher_key_key
from probatum.protocol.transactions.kinds import RegisterPublisherKey
from probatum.protocol.transactions.possession import sign_possession

app = App(name="publisher-key", help="Make and register the key that signs your models.")

Key = Annotated[str, Parameter(help="A publisher key's name, or the path of its file.")]


@app.command
def new(name: str = DEFAULT_NAME, /, *, common: Common = DEFAULTS) -> None:
    """Make a key to sign models with; it stays in a file that only you can read.

    Example: probatum account publisher-key new
    """
    path = get_publisher_key_path(common, name)
    signer = create_publisher_key(path)
    key_id = compute_publisher_key_id(signer.key).hex()
    if common.json:
        print_json({"name": name, "key_id": key_id, "key_file": str(path)})
        return
    print_facts({"name": name, "key id": key_id, "key file": path})
    note(f"Next: probatum account publisher-key register {name}")


@app.command
def show(
    key: Key = DEFAULT_NAME,
    /,
    *,
    pem: Annotated[
        bool, Parameter(help="Print the public key as PEM, for other people's tools.")
    ] = False,
    common: Common = DEFAULTS,
) -> None:
    """Show a key's public part; asks no network.

    Example: probatum account publisher-key show --pem
    """
    signer = load_publisher_signer(common, key)
    key_id, text = compute_publisher_key_id(signer.key).hex(), key_to_pem(signer.key)
    if common.json:
        print_json({"key_id": key_id, "key": signer.key.hex(), "pem": text})
    elif pem:
        print_lines(text.splitlines())
    else:
        print_facts({"key id": key_id, "key": signer.key.hex()})


@app.command
def register(
    key: Key = DEFAULT_NAME,
    /,
    *,
    account: Annotated[
        str | None, Parameter(help="Whose key it is to be: an account's name, or its key file.")
    ] = None,
    fee_units: Annotated[int, Parameter(help="The fee in units (10⁻⁹ tokens).")] = FEE_UNITS,
    common: Common = DEFAULTS,
) -> None:
    """Say in the ledger that this key signs the account's models; replaces the one before it.

    What was published until then stays verifiable by the old key. A key that was replaced, or is
    another account's, is refused.

    Example: probatum account publisher-key register
    """
    signer, owner = load_publisher_signer(common, key), load_signer(common, account)
    key_id = compute_publisher_key_id(signer.key)
    found, _ = get_record(common, get_publisher_key_key(key_id), PublisherKeyRecord)
    facts = {"key id": key_id.hex(), "account": address_to_hex(owner.address)}
    if found is not None and found.account == owner.address and found.retired_at is None:
        if common.json:
            print_json({**_for_programs(facts), "height": found.registered_at, "is_new": False})
            return
        print_lines((f"It is registered already, since block {found.registered_at}.",))
        print_facts(facts)
        return
    body = RegisterPublisherKey(
        key=signer.key, possession=sign_possession(get_domain(common), owner.address, signer)
    )
    outcome = send_body(common, owner, body, fee_units=fee_units)
    if common.json:
        print_json({**_for_programs(facts), "height": outcome.height, "is_new": True})
        return
    print_lines((f"Registered in block {outcome.height}.",))
    print_facts({**facts, "transaction": outcome.transaction_hash.hex()})


def _for_programs(facts: dict[str, str]) -> dict[str, str]:
    return {name.replace(" ", "_"): value for name, value in facts.items()}
