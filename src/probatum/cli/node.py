"""`probatum node`: a node's home folder, its registration, its process.

The process itself is `probatum.nodes.<role>.run`.
"""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Annotated, Literal, assert_never, overload

import msgspec
from cyclopts import App, Parameter

from probatum.cli import api_key
from probatum.cli.accounts import load_signer
from probatum.cli.amounts import parse_tokens
from probatum.cli.describing import describe_value
from probatum.cli.failures import run_process
from probatum.cli.joining import NOTHING, JoinFlags, join
from probatum.cli.output import note, print_facts, print_json, print_lines
from probatum.cli.reading import get_header, get_record
from probatum.cli.registering import NodePlan, register_node
from probatum.cli.settings import DEFAULTS, Common
from probatum.errors import Fault, Refusal
from probatum.nodes.shell.config import (
    AnyConfig,
    FullConfig,
    GatewayConfig,
    InferenceConfig,
    change_config,
    load_any_config,
    load_config,
    load_node_key,
    load_payer_key,
    write_config,
)
from probatum.nodes.shell.keys import create_account_key, create_operating_key
from probatum.nodes.shell.undoing import undo_last_block
from probatum.ops.engine_homes import is_engine_home
from probatum.ops.joining import load_network
from probatum.ops.keeping import keep_up
from probatum.ops.ports import draw_ports
from probatum.protocol.hexes import address_from_document
from probatum.protocol.parties import Role
from probatum.protocol.primitives import address_to_hex
from probatum.protocol.records import NodeRecord, get_node_key

app = App(name="node", help="Set up, register and run a node.")
app.command(api_key.app)
app.command(
    "probatum.cli.offences:offences",
    name="offences",
    help="List convictions, open challenges and lost logs.",
)

Home = Annotated[Path, Parameter(help="The node's home folder.")]
Owner = Annotated[str | None, Parameter(help="The operator's account: a name or a key file.")]


@app.command
def init(
    home: Home,
    /,
    *,
    role: Annotated[Literal["inference", "gateway"], Parameter(help="What the node is for.")],
    host: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen on; a free one is drawn once.")] = 0,
    endpoint: Annotated[
        str | None, Parameter(help="How others reach it, if not at host and port.")
    ] = None,
    account: Owner = None,
    common: Common = DEFAULTS,
) -> None:
    """Make a node's home: its keys, its configuration, the trust file.

    Example: probatum node init ./my-node --role inference
    """
    if (home / "node.toml").exists():
        raise Refusal("node.exists", f"{home} is a node's home already", hint="name a new folder")
    operator = address_to_hex(load_signer(common, account).address)
    ledger = common.get_ledger()
    common.get_trust()
    trust_path = common.find_trust_path()
    assert trust_path is not None, "a trust file that was loaded has a path"
    drawn = port or _draw_port(host)
    config = (
        InferenceConfig(host=host, port=drawn, endpoint=endpoint, operator=operator, ledger=ledger)
        if role == "inference"
        else GatewayConfig(
            host=host, port=drawn, endpoint=endpoint, operator=operator, ledger=ledger
        )
    )
    signer = create_operating_key(home / "keys" / "operating.json")
    payer = create_account_key(home / "keys" / "account.json")
    try:
        shutil.copyfile(trust_path, home / "trust.json")
        if role == "inference":
            (home / "packages").mkdir(exist_ok=True)
    except OSError as error:
        raise Fault("node.unwritable", f"cannot write {home}: {error.strerror}") from None
    write_config(home, config)
    facts = {
        "home": str(home),
        "role": role,
        "operator": operator,
        "operating_key": signer.key.hex(),
        "payer": address_to_hex(payer.address),
        "endpoint": _get_endpoint(config),
    }
    if common.json:
        print_json(facts)
        return
    print_facts({name.replace("_", " "): value for name, value in facts.items()})
    note(f"Every setting is explained in {home / 'node.toml'}.")
    if role == "inference":
        note(f"Next: probatum node add-model {home} PACKAGE")
    note(f"Next: probatum node register {home}")


@app.command(name="add-model")
def add_model(
    home: Home,
    package: Annotated[Path, Parameter(help="The package's folder.")],
    /,
    *,
    common: Common = DEFAULTS,
) -> None:
    """Give an inference node a package to run; it offers it from its next start.

    Example: probatum node add-model ./my-node ./my-model
    """
    from probatum.hub.package import load_package  # noqa: PLC0415 - costs start-up
    from probatum.hub.store import PackageStore  # noqa: PLC0415 - ditto
    from probatum.hub.verdicts import VerdictShelf  # noqa: PLC0415 - ditto
    from probatum.nodes.inference.examining import examine_packages  # noqa: PLC0415 - ditto

    config = load_config(home, InferenceConfig)
    examine_packages([load_package(package)], VerdictShelf(home / "verdicts"))
    digest = PackageStore(home / "packages").add(package).hex()
    if config.serve is not None and digest not in config.serve:
        change_config(home, msgspec.structs.replace(config, serve=(*config.serve, digest)))
    if common.json:
        print_json({"package": digest, "home": str(home)})
        return
    print_facts({"package": digest, "in": home / "packages"})
    note("The node offers it once it is started again.")


@app.command
def register(
    home: Home,
    /,
    *,
    fund: Annotated[
        str, Parameter(help="Tokens for the node's own account, which pays its fees.")
    ] = "1",
    replace_key: Annotated[
        bool, Parameter(help="Retire the key that this node had before, for ever.")
    ] = False,
    account: Owner = None,
    common: Common = DEFAULTS,
) -> None:
    """Register a node: bond the stake that its role needs, register its key, fund its fees.

    What is done already is left as it is, so it can be repeated. Before a key is replaced, stop
    the node in order: what its log has not settled by then is settled late or not at all.

    Example: probatum node register ./my-node
    """
    config = load_any_config(home)
    if isinstance(config, FullConfig):
        raise Refusal("node.no-registration", "a full node needs no registration")
    operator = load_signer(common, account)
    if address_to_hex(operator.address) != config.operator:
        raise Refusal(
            "node.other-operator",
            f"this node's operator is {config.operator}",
            hint="name the operator's account: --account",
        )
    plan = NodePlan(
        operator=operator,
        operating=load_node_key(home),
        payer=load_payer_key(home).address,
        endpoint=_get_endpoint(config),
        role=_get_role(config),
        fund_units=parse_tokens(fund),
        replaces_key=replace_key,
    )
    steps = register_node(common, plan)
    if common.json:
        print_json({"operator": config.operator, "endpoint": plan.endpoint, "done": steps})
        return
    print_lines(steps)
    note(f"Next: probatum node run {home}")


@app.command
def run(
    home: Home,
    /,
    *,
    role: Annotated[
        Literal["full"] | None, Parameter(help="Join a network, where there is no home yet.")
    ] = None,
    flags: JoinFlags = NOTHING,
    common: Common = DEFAULTS,
) -> int:
    """Run a node until Ctrl-C; its log goes to standard error, one JSON object a line.

    A full node beside an engine of its own is run with it, as `probatum network keep` does. With
    --role full the home is made first, if it is not there, as `probatum network join` does:
    --genesis and --peer, and --trust and --snapshot-from to begin from a snapshot.

    Example: probatum node run ./my-node
    """

    def run_role() -> int:
        if role == "full":
            _settle(home, flags, common)
        found = _get_role(load_any_config(home))
        if role is not None and found != role:
            raise Refusal("node.other-role", f"{home} is the home of a node of role {found}")
        if found == "full" and is_engine_home(home):
            return keep_up(home, note)
        page = importlib.import_module(f"probatum.nodes.{found}.run")
        code: int = page.main(["--home", str(home)])
        return code

    return run_process(run_role, as_json=common.json, debug=common.debug)


def _settle(home: Path, flags: JoinFlags, common: Common) -> None:
    """Make a full node's home, or see that the one that is there is of the network that is meant.

    So the same command line can be run again and again by who keeps services up.
    """
    if not home.exists():
        note(f"made {home}; its engine is {join(home, flags, common).peer}")
    elif flags.genesis is not None:
        wanted, has = load_network(flags.genesis), load_network(home / "genesis.json")
        if wanted != has:
            raise Refusal(
                "network.other-chain",
                f"{home} is of another chain than {flags.genesis}",
                hint="name another folder, or the network's own genesis document",
            )


@app.command
def undo(home: Home, /, *, common: Common = DEFAULTS) -> None:
    """Take the last block of a stopped full node back, when it went astray under validators.

    Its engine is taken back by cometbft rollback; both are then given that block again.

    Example: probatum node undo ./my-full-node
    """
    height, app_hash = undo_last_block(home)
    if common.json:
        print_json({"height": height, "app_hash": app_hash.hex()})
        return
    print_facts({"height": height, "app hash": app_hash.hex()})
    note("Next: cometbft rollback, in this home with --home engine; then start both.")


@app.command
def status(home: Home, /, *, common: Common = DEFAULTS) -> None:
    """Show what the ledger knows of a node.

    Example: probatum node status ./my-node
    """
    config = load_any_config(home)
    if isinstance(config, FullConfig):
        raise Refusal(
            "node.no-registration",
            "the ledger knows nothing of full nodes",
            hint="probatum ledger status",
        )
    key = get_node_key(address_from_document(config.operator))
    record, proven = get_record(common, key, NodeRecord)
    height = get_header(common).header.height
    facts = {
        "role": _get_role(config),
        "is_registered": record is not None and record.operating_key == load_node_key(home).key,
        "height": height,
        "is_proven": proven.is_proven,
        "record": None if record is None else describe_value(record),
    }
    if common.json:
        print_json(facts)
        return
    if record is None:
        print_lines((f"Not registered. Next: probatum node register {home}",))
        return
    print_facts(
        {
            "operator": config.operator,
            "roles": ", ".join(record.roles),
            "registered": "with this key" if facts["is_registered"] else "WITH ANOTHER KEY",
            "endpoint": record.endpoint,
            "heartbeat": f"{max(0, height - record.heartbeat_at)} blocks ago",
            "log sessions": record.sessions,
            "standing": proven.describe_standing(),
        }
    )


@overload
def _get_role(config: GatewayConfig | InferenceConfig) -> Role: ...
@overload
def _get_role(config: FullConfig) -> Literal["full"]: ...
def _get_role(config: AnyConfig) -> Literal["full", "gateway", "inference"]:
    match config:
        case FullConfig():
            return "full"
        case GatewayConfig():
            return "gateway"
        case InferenceConfig():
            return "inference"
        case _:
            assert_never(config)


def _get_endpoint(config: InferenceConfig | GatewayConfig) -> str:
    if config.endpoint is not None:
        return config.endpoint
    if config.port == 0:
        raise Refusal(
            "node.no-port",
            "the node takes another port at each start, so it has no address to register",
            hint="set port in its node.toml",
        )
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"http://{host}:{config.port}"


def _draw_port(host: str) -> int:
    """Find a free port, which the node keeps from then on."""
    try:
        return draw_ports(1, host=host)[0]
    except OSError as error:
        raise Fault("node.no-port", f"cannot listen on {host}: {error.strerror}") from None
