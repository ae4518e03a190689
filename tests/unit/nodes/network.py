"""A network for tests of nodes: a real full node, registered operators, the doubling test model."""

from __future__ import annotations

from probatum.consensus.chain.memory_store import MemoryStore
from probatum.consensus.embedded.engine import EmbeddedEngine
from probatum.consensus.trusting import make_header_check
from probatum.ledger.genesis import compute_genesis_hash, get_domain, make_genesis
from probatum.ledger.params import Params
from probatum.nodes.full.machine import FullNode, FullSettings
from probatum.nodes.gateway.machine import Gateway
from probatum.nodes.gateway.settings import GatewaySettings
from probatum.nodes.inference.machine import InferenceNode
from probatum.nodes.inference.settings import InferenceSettings
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.encoding import encode
from probatum.protocol.hashing import hash_tagged
from probatum.protocol.manifests import (
    FileEntry,
    Manifest,
    TensorSpec,
    compute_package_digest,
    encode_manifest,
)
from probatum.protocol.messages import GetState, Outcome, Submit
from probatum.protocol.primitives import UNITS_PER_TOKEN, make_operating_signature
from probatum.protocol.records import get_node_key
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.tensors import Tensor
from probatum.protocol.transactions.kinds import PublishModel, RegisterNode, Stake
from probatum.protocol.transactions.signed import sign_authority, sign_transaction
from probatum.protocol.trust import KeyTrust
from tests.unit.nodes.world import World

CHAIN_ID = 4242
BLOCK_MS = 100
LEDGER = "http://ledger"
GATEWAY = "http://gateway"
MANIFEST = Manifest(
    format="probatum-package/1",
    name="doubler",
    version="1",
    task="test",
    licence="Apache-2.0",
    description="A test model: doubles every byte.",
    model="model.onnx",
    files=(FileEntry(path="model.onnx", size=1, sha256="00" * 32),),
    inputs=(TensorSpec(name="x", dtype="uint8", shape=("n",)),),
    outputs=(TensorSpec(name="y", dtype="uint8", shape=("n",)),),
    parents=(),
)
PACKAGE = compute_package_digest(encode_manifest(MANIFEST))


def account(name):
    return AccountSigner(hash_tagged("test/account", name.encode()))


def operating(name):
    return OperatingSigner(hash_tagged("test/operating", name.encode()))


def endpoint(name):
    return f"http://{name}"


def tensor(data, name="x"):
    return Tensor(name=name, dtype="uint8", shape=(len(data),), data=data)


class Network:
    """A world with a ledger; nodes are started by name."""

    def __init__(self, nodes=("a", "b", "c"), *, params=None, manifest=MANIFEST):
        self.manifest = manifest
        self.package = compute_package_digest(encode_manifest(manifest))
        self.world = World()
        self.names = nodes
        self.nonces = {}
        key = operating("engine")
        payers = (f"{name} payer" for name in (*nodes, "gateway"))
        people = [*nodes, *payers, "gateway", "publisher", "client"]
        genesis = make_genesis(
            chain_id=CHAIN_ID,
            time_ms=self.world.now_ms - 1,
            key=key.key,
            balances={account(name).address: 100 * UNITS_PER_TOKEN for name in people},
            params=params or Params(),
        )
        self.genesis = genesis
        self.domain = get_domain(genesis)
        self.trust = KeyTrust(
            format="probatum-trust/1",
            chain_id=CHAIN_ID,
            genesis_hash=compute_genesis_hash(genesis).hex(),
            engine="embedded",
            key=key.key.hex(),
        )
        self.check = make_header_check(self.trust, now_ms=0)
        self.store = MemoryStore()
        engine = EmbeddedEngine.open(store=self.store, genesis=genesis, signer=key)
        full = FullNode(engine, FullSettings(block_interval_ms=BLOCK_MS))
        self.world.start(LEDGER, full, store=self.store)
        self.journals = {name: [] for name in (*nodes, "gateway")}
        self.submit(
            "publisher",
            PublishModel(name=manifest.name, version="1", package=self.package, size_bytes=1),
        )

    def submit(self, who, body, *, code="ok"):
        signer = account(who)
        nonce = self.nonces.get(who, 0)
        self.nonces[who] = nonce + 1
        signed = sign_transaction(self.domain, signer, nonce=nonce, fee_units=1_000, body=body)
        outcome = self.world.wait(self.world.ask(LEDGER, Submit(transaction=encode(signed))))
        assert isinstance(outcome, Outcome), outcome
        assert outcome.code == code
        return outcome

    def register(self, name, role, *, at=None, key=None):
        """Register a node, under the key of that name or its own."""
        self.submit(name, Stake(amount=10 * UNITS_PER_TOKEN))
        signer = operating(key or name)
        body = RegisterNode(
            operating_key=signer.key,
            endpoint=at or endpoint(name),
            roles=(role,),
            authority=make_operating_signature(bytes(64)),
        )
        operator = account(name).address
        authority = sign_authority(self.domain, signer, operator, body)
        self.submit(
            name,
            RegisterNode(
                operating_key=body.operating_key,
                endpoint=body.endpoint,
                roles=body.roles,
                authority=authority,
            ),
        )

    def node_settings(self, name, **more):
        return InferenceSettings(
            operator=account(name).address,
            signer=operating(name),
            payer=account(f"{name} payer"),
            trust=self.trust,
            ledger=LEDGER,
            packages={self.package: self.manifest},
            **more,
        )

    def start_node(self, name, *, compute=None, compute_ms=5, pen=None, **more):
        node = InferenceNode(self.node_settings(name, **more), tuple(self.journals[name]))
        engine = {"compute": compute} if compute else {}
        engine |= {"pen": pen} if pen else {}
        return self.world.start(
            endpoint(name), node, journal=self.journals[name], compute_ms=compute_ms, **engine
        )

    def start_ready_node(self, name, **more):
        self.register(name, "inference")
        party = self.start_node(name, **more)
        self.world.run_until(lambda: party.machine.is_ready)
        return party

    def gateway_settings(self, **more):
        return GatewaySettings(
            operator=account("gateway").address,
            signer=operating("gateway"),
            trust=self.trust,
            ledger=LEDGER,
            **more,
        )

    def start_gateway(self, *, budgets=None, **more):
        gateway = Gateway(self.gateway_settings(**more), tuple(self.journals["gateway"]), budgets)
        party = self.world.start(GATEWAY, gateway, journal=self.journals["gateway"])
        self.world.run_until(lambda: party.machine.is_ready)
        return party

    def get_state(self, key):
        item = self.world.wait(self.world.ask(LEDGER, GetState(keys=(key,), prove=False))).items[0]
        return item.value

    def get_node_bytes(self, name):
        return self.get_state(get_node_key(account(name).address))

    def codes(self, name):
        return [report.code for report in self.world.parties[endpoint(name)].reports]
