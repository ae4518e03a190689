"""Which account a command acts for: a name in the home folder, a key file, or the network's own.

Must not print; must not keep a secret longer than a command.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from probatum.cli.places import expand_home
from probatum.cli.settings import Common
from probatum.errors import Refusal
from probatum.nodes.shell.keys import load_account_key
from probatum.protocol.primitives import Address, address_from_hex
from probatum.protocol.secp256k1 import AccountSigner

__all__ = [
    "check_key_name",
    "find_key_path",
    "get_account_folder",
    "get_key_path",
    "load_signer",
    "resolve_address",
]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
DEFAULT_NAME: Final = "me"


def get_account_folder(common: Common) -> Path:
    """Get the folder of the accounts' key files."""
    return common.folder / "accounts"


def get_key_path(common: Common, name: str) -> Path:
    """Get where the key of a named account lies. Raises Refusal `account.bad-name`."""
    return get_account_folder(common) / f"{check_key_name(name)}.json"


def check_key_name(name: str) -> str:
    """Check what a key file is to be named. Raises Refusal `account.bad-name`."""
    if _NAME.fullmatch(name) is None:
        raise Refusal(
            "account.bad-name",
            f"{name[:60]!r} cannot name an account or a key",
            hint="letters, digits, - and _; at most 64",
        )
    return name


def find_key_path(common: Common, account: str | None, *, is_lasting: bool = False) -> Path:
    """Find a key file.

    Args:
        common: Where to look.
        account: A name, or the path of a key file (it has a slash or ends in ``.json``). None
            takes the account ``me``, else the funded one of the network that `probatum up` runs.
        is_lasting: The account is bound for good, so that of a network here is never meant.

    Raises:
        Refusal: `account.unknown`, `account.bad-name`.
    """
    if account is not None:
        is_path = "/" in account or account.endswith(".json")
        path = expand_home(Path(account)) if is_path else get_key_path(common, account)
        if not path.is_file():
            raise Refusal(
                "account.unknown",
                f"no account {account[:200]!r}: there is no file {path}",
                hint="`probatum account list` shows yours, `probatum account new` makes one",
            )
        return path
    mine = get_key_path(common, DEFAULT_NAME)
    if mine.is_file():
        return mine
    pointer = None if is_lasting else common.get_pointer()
    if pointer is not None and pointer.account is not None:
        return Path(pointer.account)
    raise Refusal(
        "account.unknown",
        "you have no account here yet",
        hint="`probatum account new`, or name a key file: --account FILE",
    )


def load_signer(common: Common, account: str | None) -> AccountSigner:
    """Load the key to sign with; see `find_key_path`. Raises Refusal `key.*` besides."""
    return load_account_key(find_key_path(common, account))


def resolve_address(common: Common, who: str | None) -> Address:
    """Turn an address or an account's name into an address."""
    if who is not None and who.lower().startswith("0x"):
        return address_from_hex(who)
    return load_signer(common, who).address
