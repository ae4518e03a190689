"""`probatum network`: networks whose ledger several validators keep together, under CometBFT.

Running one is `probatum up`, or `probatum network keep` for each validator on its own machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from probatum.cli.failures import run_process
from probatum.cli.joining import NOTHING, JoinFlags
from probatum.cli.joining import join as make_member
from probatum.cli.output import note, print_facts, print_json, print_lines, print_table
from probatum.cli.settings import DEFAULTS, Common
from probatum.errors import Refusal
from probatum.ops.engine_homes import get_node_id
from probatum.ops.folder import NetworkPlan, open_folder
from probatum.ops.homes import write_home
from probatum.ops.keeping import keep_up
from probatum.ops.upgrading import plan_upgrade, unplan_upgrade
from probatum.protocol.primitives import address_to_hex

app = App(name="network", help="Found or join a network of several validators.")
app.command("probatum.cli.founding:found", name="found", help="Make a founder's home and file.")
app.command(
    "probatum.cli.founding:gather_founders",
    name="gather",
    help="Write one genesis document of all founders' files.",
)


@app.command
def init(
    folder: Annotated[Path, Parameter(help="The new network's folder.")],
    /,
    *,
    validators: Annotated[
        int, Parameter(help="How many keep the ledger; a third of them may fail.")
    ] = 4,
    nodes: Annotated[int, Parameter(help="Inference nodes.")] = 3,
    block_ms: Annotated[int, Parameter(help="Milliseconds between two blocks.")] = 1_000,
    common: Common = DEFAULTS,
) -> None:
    """Write a new network's folder: homes, keys (mode 0600), settings, genesis. Starts nothing.

    Example: probatum network init --validators 4 ./my-network
    """
    if folder.exists() and any(folder.iterdir()):
        raise Refusal("network.exists", f"{folder} is not empty", hint="name a new folder")
    if validators < 1:
        raise Refusal("network.bad-plan", "a network of validators has at least one")
    plan = NetworkPlan(nodes=nodes, validators=validators, block_interval_ms=block_ms)
    made = open_folder(folder, plan)
    try:
        for name in made.validator_names:
            write_home(made, name, ledger=None)
        rows = [
            {
                "name": name,
                "account": address_to_hex(made.load_account(name).address),
                "engine": get_node_id(home),
                "home": str(home),
            }
            for name, home in made.validator_homes.items()
        ]
    finally:
        made.close()
    if common.json:
        print_json({"folder": str(made.path), "validators": rows, "trust": str(made.trust_path)})
        return
    print_table(
        ("validator", "account", "engine", "home"),
        ([row["name"], row["account"], row["engine"], row["home"]] for row in rows),
        empty="none",
    )
    print_lines(
        (
            "",
            f"Genesis: {made.path / 'genesis.json'}   Trust file: {made.trust_path}",
            f"Accounts' keys, for you alone: {made.path / 'accounts'}",
        )
    )
    note(f"Next: probatum up {folder}")


@app.command
def join(
    home: Annotated[Path, Parameter(help="The new full node's folder.")],
    /,
    *,
    flags: JoinFlags = NOTHING,
    common: Common = DEFAULTS,
) -> None:
    """Make the home of a full node that follows a network, and may validate once it has stake.

    It computes every block again, from the first, and believes nobody; with --snapshot-from it
    begins from the state that the trust file's header (--trust) proves. A founder's own home gets
    the genesis document that was gathered, if the founder's keys stand in it.

    Example: probatum network join ./my-validator --genesis genesis.json --peer ID@HOST:PORT
    """
    made = make_member(home, flags, common)
    facts = {"home": str(home), "engine": made.peer, "consensus key": made.key.hex()}
    facts["genesis hash"] = made.genesis_hash.hex()
    if common.json:
        print_json({name.replace(" ", "_"): value for name, value in facts.items()})
        return
    print_facts(facts)
    note(f"Next: probatum network keep {home}")


@app.command(name="upgrade-at")
def upgrade_at(
    home: Annotated[Path, Parameter(help="A full node's folder with an engine in it.")],
    height: Annotated[int, Parameter(help="The last height by the present rules.")],
    /,
    *,
    remove: Annotated[bool, Parameter(help="Take it back: no longer agreed on.")] = False,
    common: Common = DEFAULTS,
) -> None:
    """Note the height after which another app version decides; alike on all validators.

    A release that does not know the next app version stops there, and says so. With --remove a
    height is taken back whose block has not come yet; alike on all validators, too.

    Example: probatum network upgrade-at ./my-validator 500000
    """
    if remove:
        _take_back(home, height, common)
        return
    version = plan_upgrade(home, height)
    if common.json:
        print_json({"home": str(home), "last_height": height, "next_app_version": version})
        return
    print_facts({"home": home, "last height": height, "next app version": version})
    note("Next: start the node again before that height; it reads this as it starts.")


def _take_back(home: Path, height: int, common: Common) -> None:
    left = unplan_upgrade(home, height)
    if common.json:
        print_json({"home": str(home), "taken_back": height, "last_heights": list(left)})
        return
    noted = ", ".join(map(str, left)) or "none"
    print_facts({"home": home, "taken back": height, "still noted": noted})
    note("Next: start the node again before that height, if it has run since the height was noted.")


@app.command
def keep(
    home: Annotated[Path, Parameter(help="A full node's folder with an engine in it.")],
    /,
    *,
    common: Common = DEFAULTS,
) -> int:
    """Keep one full node up until Ctrl-C: its application and its engine, each started again.

    Says so when the time of the last block stands still. For a service manager.

    Example: probatum network keep ./my-validator
    """
    return run_process(lambda: keep_up(home, note), as_json=common.json, debug=common.debug)
