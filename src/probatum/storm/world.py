"""A whole network in memory, from a plan and a seed: real machines, real keys, toy model.

One full node with the embedded engine; inference nodes and gateways, each of its own operator;
customers. Everybody is registered through the ledger, by transactions that travel the simulated
network. Must not know faults or promises (`faults`, `checkers`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec

from probatum.client.wallet import TransactionSender
from probatum.consensus.embedded.engine import EmbeddedEngine
from probatum.ledger.genesis import Genesis, compute_genesis_hash, get_domain, make_genesis
from probatum.machine.machine import Machine
from probatum.nodes.full.machine import FullNode, FullSettings
from probatum.nodes.gateway.machine import Gateway
from probatum.nodes.gateway.settings import GatewaySettings
from probatum.nodes.inference.machine import InferenceNode
from probatum.nodes.inference.settings import InferenceSettings
from probatum.protocol.manifests import Manifest
from probatum.protocol.parties import Role
from probatum.protocol.primitives import (
    UNITS_PER_TOKEN,
    Address,
    Digest,
    make_operating_signature,
)
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.transactions.kinds import (
    Body,
    FundEscrow,
    PublishModel,
    RegisterNode,
    Stake,
    Transfer,
)
from probatum.protocol.transactions.signed import sign_authority
from probatum.protocol.trust import KeyTrust, Trust
from probatum.protocol.vouchers import compute_escrow_id
from probatum.storm import model, text_model
from probatum.storm.cast.customer import Customer, Notebook, Purse
from probatum.storm.cast.scribblers import PENS
from probatum.storm.cast.spender import Spender, Statement
from probatum.storm.cast.taker import Taker
from probatum.storm.cast.tamperer import Tamperer
from probatum.storm.disk import Disk
from probatum.storm.docket import Docket
from probatum.storm.kernel import START_MS, Kernel
from probatum.storm.loop import derive_chance
from probatum.storm.people import derive_account, derive_operating
from probatum.storm.plan import CALM, Plan
from probatum.storm.scribe import Pen
from probatum.storm.witness import Witness

__all__ = [
    "COLLECT_UNITS",
    "LEDGER",
    "RICH",
    "STAKE",
    "World",
    "add_customers",
    "build_world",
    "get_exposure",
    "get_manifest",
]

LEDGER: Final = "http://full"
_CHAIN_ID: Final = 4_711
STAKE: Final = 10 * UNITS_PER_TOKEN
"""What every operator bonds."""
RICH: Final = 1_000 * UNITS_PER_TOKEN
"""What everybody has in the beginning."""
COLLECT_UNITS: Final = 20_000
"""Gateways collect what is worth so much."""
_EXPOSED_ANSWERS: Final = 12
_UNSIGNED: Final = make_operating_signature(bytes(64))


@dataclass(slots=True, kw_only=True)
class World:
    """A network and everything outside it that outlives its machines.

    Attributes:
        roles: Role of each party that may crash, by name.
        statements: What senders of transactions were told, by name.
        notebooks: What customers asked and got, by name.
        docket: Who cheats, and what is held against whom.
    """

    plan: Plan
    kernel: Kernel
    genesis: Genesis
    trust: Trust
    witness: Witness
    roles: dict[str, Role | str] = field(default_factory=dict)
    statements: dict[str, Statement] = field(default_factory=dict)
    notebooks: dict[str, Notebook] = field(default_factory=dict)
    docket: Docket = field(default_factory=Docket)


def _list_holders(plan: Plan) -> list[str]:
    nodes = [f"node-{at}" for at in range(plan.inference_nodes)]
    return [
        *(f"operator of gateway-{at}" for at in range(plan.gateways)),
        *(f"operator of {name}" for name in nodes),
        *(f"payer of {name}" for name in nodes),
        *(f"spender-{at}" for at in range(plan.spenders)),
        *(f"prosecutor-{at}" for at in range(plan.prosecutors)),
        *(f"griefer-{at}" for at in range(plan.griefers)),
        "publisher",
        *(f"payer of gateway-{at}" for at in range(plan.gateways) if plan.price_units),
        *(f"client-{at}" for at in range(plan.clients) if plan.price_units),
    ]


def get_manifest(plan: Plan) -> tuple[Digest, Manifest]:
    """Get the model that a storm's nodes serve: its package's digest, and its manifest."""
    if plan.texts:
        return text_model.PACKAGE, text_model.MANIFEST
    return model.PACKAGE, model.MANIFEST


def get_exposure(plan: Plan) -> int:
    """Get how far a gateway's vouchers for one node may run ahead of its answers."""
    return _EXPOSED_ANSWERS * plan.price_units


def build_world(seed: int, plan: Plan) -> World:
    """Build a network whose parties are all down; `World.kernel.start` brings each up."""
    engine_key = derive_operating(seed, "full")
    accounts = {name: derive_account(seed, name) for name in _list_holders(plan)}
    genesis = make_genesis(
        chain_id=_CHAIN_ID,
        time_ms=START_MS - 1_000,
        key=engine_key.key,
        balances={signer.address: RICH for signer in accounts.values()},
        params=plan.params,
    )
    trust = KeyTrust(
        format="probatum-trust/1",
        chain_id=_CHAIN_ID,
        genesis_hash=compute_genesis_hash(genesis).hex(),
        engine="embedded",
        key=engine_key.key.hex(),
    )
    kernel = Kernel(seed=seed, weather=CALM, pace=plan.pace)
    world = World(
        plan=plan,
        kernel=kernel,
        genesis=genesis,
        trust=trust,
        witness=Witness(kernel.trace),
    )
    kernel.network.taps.append(world.witness.hear)
    _add_ledger(world)
    for at in range(plan.inference_nodes):
        _add_inference(world, at, accounts)
    for at in range(plan.gateways):
        _add_gateway(world, f"gateway-{at}", accounts)
    package, manifest = get_manifest(plan)
    publish = PublishModel(
        name=manifest.name,
        version=manifest.version,
        package=package,
        size_bytes=sum(entry.size for entry in manifest.files),
    )
    _add_spender(world, "publisher", accounts["publisher"], (publish,), pause_ms=0)
    for at in range(plan.clients if plan.price_units else 0):
        fund = FundEscrow(payee=_get_seller(world, at).address, amount=STAKE)
        name = f"client-{at}"
        _add_spender(world, f"funder-of-{name}", accounts[name], (fund,), pause_ms=0)
    return world


def _get_seller(world: World, at: int) -> AccountSigner:
    """Get the operator of the gateway that a customer asks."""
    return derive_account(world.kernel.seed, f"operator of gateway-{at % world.plan.gateways}")


def _make_purse(world: World, at: int) -> Purse | None:
    plan, domain = world.plan, get_domain(world.genesis)
    if not plan.price_units:
        return None
    signer = derive_account(world.kernel.seed, f"client-{at}")
    return Purse(
        domain=domain,
        signer=signer,
        escrow=compute_escrow_id(domain, signer.address, _get_seller(world, at).address),
        price_units=plan.price_units + plan.margin_units,
    )


def add_customers(world: World) -> None:
    """Add those who ask and those who pay: they begin when the network stands."""
    plan = world.plan
    for at in range(plan.clients):
        name, gateway = f"client-{at}", f"http://gateway-{at % plan.gateways}"
        notebook, purse = Notebook(), _make_purse(world, at)
        world.notebooks[name] = notebook

        def build(
            _: Disk,
            to: str = gateway,
            notebook: Notebook = notebook,
            purse: Purse | None = purse,
        ) -> Machine:
            return Customer(to, plan, world.trust, notebook, world.kernel.trace, purse)

        world.kernel.add(name, f"http://{name}", build)
    for at in range(plan.spenders):
        name = f"spender-{at}"
        to = derive_account(world.kernel.seed, "publisher").address
        bodies = tuple(Transfer(to=to, amount=n + 1) for n in range(plan.transfers_per_spender))
        signer = derive_account(world.kernel.seed, name)
        pause_ms = plan.storm_ms // (1 + plan.transfers_per_spender)
        _add_spender(world, name, signer, bodies, pause_ms=pause_ms)


def _draw_skew(world: World, name: str) -> int:
    skew_ms = world.plan.skew_ms
    return derive_chance(world.kernel.seed, f"skew/{name}").randint(-skew_ms, skew_ms)


def _add_ledger(world: World) -> None:
    signer = derive_operating(world.kernel.seed, "full")
    settings = FullSettings(block_interval_ms=world.plan.block_interval_ms)

    def build(disk: Disk) -> Machine:
        engine = EmbeddedEngine.open(store=disk.store, genesis=world.genesis, signer=signer)
        return FullNode(engine, settings)

    world.kernel.add("full", LEDGER, build)
    world.roles["full"] = "full"


def _add_inference(world: World, at: int, accounts: dict[str, AccountSigner]) -> None:
    name = f"node-{at}"
    signer = derive_operating(world.kernel.seed, name)
    operator = accounts[f"operator of {name}"]
    settings = InferenceSettings(
        operator=operator.address,
        signer=signer,
        payer=accounts[f"payer of {name}"],
        trust=world.trust,
        ledger=LEDGER,
        packages={get_manifest(world.plan)[0]: get_manifest(world.plan)[1]},
        price_units=world.plan.price_units,
        settle_every_blocks=world.plan.settle_every_blocks,
    )

    def build(disk: Disk) -> Machine:
        node = InferenceNode(settings, tuple(disk.journal))
        if at < world.plan.tamperers:
            return Tamperer(node, world.kernel.trace)
        return Taker(node, world.kernel.trace) if at < world.plan.takers else node

    world.kernel.add(
        name,
        f"http://{name}",
        build,
        engine=model.compute,
        pen=_get_pen(world.plan, at),
        clock_skew_ms=_draw_skew(world, name),
    )
    world.roles[name] = "inference"
    _add_registration(world, name, operator, "inference")


def _get_pen(plan: Plan, at: int) -> Pen:
    """Get what writes for a node."""
    return PENS[plan.scribblers[at]] if at < len(plan.scribblers) else text_model.write


def _add_gateway(world: World, name: str, accounts: dict[str, AccountSigner]) -> None:
    operator = accounts[f"operator of {name}"]
    settings = GatewaySettings(
        operator=operator.address,
        signer=derive_operating(world.kernel.seed, name),
        trust=world.trust,
        ledger=LEDGER,
        payer=accounts.get(f"payer of {name}"),
        margin_units=world.plan.margin_units,
        collect_units=COLLECT_UNITS,
        exposure_units=get_exposure(world.plan),
    )

    def build(disk: Disk) -> Machine:
        return Gateway(settings, tuple(disk.journal))

    world.kernel.add(name, f"http://{name}", build, clock_skew_ms=_draw_skew(world, name))
    world.roles[name] = "gateway"
    _add_registration(world, name, operator, "gateway")


def _add_registration(world: World, name: str, operator: AccountSigner, role: Role) -> None:
    signer = derive_operating(world.kernel.seed, name)
    unsigned = RegisterNode(
        operating_key=signer.key,
        endpoint=f"http://{name}",
        roles=(role,),
        authority=_UNSIGNED,
    )
    domain = get_domain(world.genesis)
    sender: Address = operator.address
    authority = sign_authority(domain, signer, sender, unsigned)
    register = msgspec.structs.replace(unsigned, authority=authority)
    bodies = (Stake(amount=STAKE), register)
    _add_spender(world, f"operator-of-{name}", operator, bodies, pause_ms=0)


def _add_spender(
    world: World, name: str, signer: AccountSigner, bodies: tuple[Body, ...], *, pause_ms: int
) -> None:
    statement = world.statements[name] = Statement(account=signer.address, due=len(bodies))
    fee_units = world.plan.params.min_fee_units

    def build(_: Disk) -> Machine:
        sender = TransactionSender(LEDGER, get_domain(world.genesis), signer, fee_units)
        return Spender(sender, bodies, statement, pause_ms=pause_ms)

    world.kernel.add(name, f"http://{name}", build)
