"""`probatum network found` and `gather`: a network of parties who share no machine (`FOUND-1`).

Must not know what runs afterwards. Read next: `probatum.ops.founding`.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from probatum.cli.accounts import find_key_path
from probatum.cli.output import note, print_facts, print_json, print_lines, print_table
from probatum.cli.settings import DEFAULTS, Common
from probatum.consensus.trust_files import make_trust
from probatum.errors import Fault, Refusal
from probatum.ledger.genesis import Genesis, compute_genesis_hash, encode_genesis
from probatum.nodes.shell.keys import load_account_key
from probatum.ops.folder import CHAIN_ID
from probatum.ops.founding import FOUNDER, found_home, gather, is_here_alone, load_founder
from probatum.ops.joining import name_home
from probatum.protocol.trust import encode_trust

__all__ = ["describe_genesis", "found", "gather_founders"]

_STAKE: Final = 1_000
_BALANCE: Final = 1_000


def found(
    home: Annotated[Path, Parameter(help="The founder's new folder.")],
    /,
    *,
    host: Annotated[
        str, Parameter(help="The address at which other engines reach this one.")
    ] = "127.0.0.1",
    p2p_port: Annotated[
        int, Parameter(help="Port for other engines; the next one is for this machine's questions.")
    ] = 26_656,
    account: Annotated[
        str | None,
        Parameter(
            help="Whose stake it will be: an account's name, or its key file; else your own, me."
        ),
    ] = None,
    common: Common = DEFAULTS,
) -> None:
    """Make a founder's home on its own machine, and the file that the other founders need.

    Nothing in that file is secret; it is signed by the account and by the consensus key.

    Example: probatum network found ./my-validator --host validator.example.org
    """
    key_path = find_key_path(common, account, is_lasting=True)
    signer = load_account_key(key_path)
    made = found_home(home, signer, name=name_home(home), host=host, port=p2p_port)
    facts = {
        "home": str(home),
        "account": made.account,
        "account file": str(key_path),
        "consensus key": made.key,
        "engine": made.peer,
        "founder file": str(home / FOUNDER),
    }
    if common.json:
        print_json({name.replace(" ", "_"): value for name, value in facts.items()})
        return
    print_facts(facts)
    if is_here_alone(host):
        note(f"Only this machine reaches {host}: founders on others need --host ADDRESS.")
    note(f"Next: give {home / FOUNDER} to whoever gathers; it holds no secret.")


def gather_founders(
    files: Annotated[tuple[Path, ...], Parameter(help="The founders' files, yours too.")],
    /,
    *,
    output: Annotated[
        Path, Parameter(alias="-o", help="New folder for genesis.json, trust.json, peers.txt.")
    ],
    stake: Annotated[int, Parameter(help="Each founder's consensus stake, in tokens.")] = _STAKE,
    balance: Annotated[
        int, Parameter(help="What each founder's account holds beside it, in tokens.")
    ] = _BALANCE,
    chain_id: Annotated[int, Parameter(help="The number that wallets show.")] = CHAIN_ID,
    common: Common = DEFAULTS,
) -> None:
    """Write one genesis document of all founders' files; each founder then installs and checks it.

    Example: probatum network gather alice.json bob.json carol.json dave.json -o ./founding
    """
    founders = tuple(load_founder(path) for path in files)
    genesis = gather(
        founders,
        chain_id=chain_id,
        time_ms=time.time_ns() // 1_000_000,
        stake_tokens=stake,
        balance_tokens=balance,
    )
    _write(
        output,
        {
            "genesis.json": encode_genesis(genesis) + b"\n",
            "trust.json": encode_trust(make_trust(genesis)) + b"\n",
            "peers.txt": ",".join(founder.peer for founder in founders).encode() + b"\n",
        },
    )
    facts = describe_genesis(genesis)
    if common.json:
        rows = [{"name": one.name, "account": one.account, "engine": one.peer} for one in founders]
        print_json({"folder": str(output), "founders": rows, **facts})
        return
    print_table(
        ("founder", "account", "engine"),
        ([one.name, one.account, one.peer] for one in founders),
        empty="none",
    )
    print_lines(("",))
    print_facts({name.replace("_", " "): value for name, value in facts.items()})
    note(f"Next: send {output} to every founder; each: probatum network join HOME --genesis …")


def describe_genesis(genesis: Genesis) -> dict[str, str]:
    """Say what founders compare before the first block: the same hash is the same document."""
    altered = [
        name
        for params in (genesis.params, genesis.consensus)
        if params is not None
        for name in params.__struct_fields__
        if getattr(params, name) != getattr(type(params)(), name)
    ]
    return {
        "genesis_hash": compute_genesis_hash(genesis).hex(),
        "validators": str(len(genesis.validators)),
        "accounts": str(len(genesis.balances)),
        "parameters": ", ".join(altered) if altered else "the defaults",
    }


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Write a new folder, whole or not at all."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise Refusal("network.exists", f"{folder} is there already") from None
    except OSError as error:
        raise Fault("network.disk", f"cannot make {folder}: {error.strerror}") from None
    try:
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if not isinstance(error, OSError):
            raise
        raise Fault("network.disk", f"cannot write in {folder}: {error.strerror}") from None
