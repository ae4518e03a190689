"""A whole network on this machine: ledger, some inference nodes, one gateway, as processes.

The ledger is one full node, or validators under CometBFT, each an application and its engine.

`Network.open` makes or opens a folder, `start` brings the processes up and tells the ledger what
it must know before the gateway can answer, `stop` ends them in order. A folder that is started
again goes on with the same chain: same keys, same ledger, same logs' past. Everything here blocks
its thread and is for one thread, outside any event loop. Must not know terminals. Read next:
`folder`, `children`, `onboarding`, `homes`.
"""

from __future__ import annotations

import asyncio
import signal
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from probatum.client.transport import HttpTransport
from probatum.errors import Fault
from probatum.hub.package import Package, load_package
from probatum.hub.store import PackageStore
from probatum.nodes.inference.examining import examine_package
from probatum.nodes.shell.keys import load_operating_key
from probatum.ops.asking import is_good
from probatum.ops.children import Children, Death, read_log_tail
from probatum.ops.folder import GATEWAY, LEDGER, USER, NetworkFolder, NetworkPlan, open_folder
from probatum.ops.homes import list_classes, write_home
from probatum.ops.onboarding import LedgerDesk, NewNode, make_publication
from probatum.ops.ports import is_free, load_ports, save_ports
from probatum.ops.prepared import prepare_validators
from probatum.ops.tables import shorten
from probatum.ops.validators import Validators
from probatum.protocol.parties import Role
from probatum.protocol.primitives import Address

__all__ = ["GATEWAY", "LEDGER", "Death", "Endpoints", "Network", "NetworkPlan"]

START_S: Final = 60.0
"""How long processes may take to be ready: a busy machine imports slowly."""
SERVE_S: Final = 60.0
STOP_S: Final = 8.0
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where the parties of a running network are reached; nodes in order of their names."""

    gateway: str
    ledger: str
    nodes: tuple[str, ...]


def _say_nothing(_: str) -> None:
    """Be the progress of who wants none."""


class Network:
    """One network; a context manager that stops it."""

    def __init__(
        self,
        folder: NetworkFolder,
        say: Callable[[str], None] = _say_nothing,
        price_units: int = 0,
    ) -> None:
        """Take an open folder; see `open`."""
        self._price_units = price_units
        self._folder = folder
        self._say = say
        self._children = Children(folder.logs, inherited=(folder.lock,))
        self._validators: Validators | None = None
        self._ports = load_ports(folder.path)
        self._endpoints: dict[str, str] = {}
        self._sessions: dict[str, int] = {}
        self._store = PackageStore(folder.packages)
        self._packages: tuple[Package, ...] = ()
        self._closed = False

    @classmethod
    def open(
        cls, path: Path, plan: NetworkPlan, say: Callable[[str], None] = _say_nothing
    ) -> Network:
        """Open a network's folder, making it if need be, and take the plan's models into it.

        Args:
            path: The folder.
            plan: What a new network is to be.
            say: Is told of progress, a line at a time.

        Raises:
            Refusal: As `open_folder`; `package.*` for a model that is no sound package, and those
                of `PUB-1` for one that is not admitted.
            Fault: As `open_folder`; `hub.disk`, `sandbox.broken`.
        """
        network = cls(open_folder(path, plan), say, plan.price_units)
        try:
            for model in plan.models:
                # Here and not only as nodes start: there it would be a process that died.
                examine_package(load_package(model))
                network._store.add(model)
        except BaseException:
            network.stop()
            raise
        return network

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    # -------------------------------------------------------------------------------- what it is

    @property
    def path(self) -> Path:
        """The network's folder."""
        return self._folder.path

    @property
    def trust_path(self) -> Path:
        """The trust file that strangers verify receipts with."""
        return self._folder.trust_path

    @property
    def account_path(self) -> Path:
        """Key file of the funded account of whoever runs this network."""
        return self._folder.get_account_path(USER)

    @property
    def node_names(self) -> tuple[str, ...]:
        """Names of the inference nodes."""
        return self._folder.node_names

    @property
    def validator_names(self) -> tuple[str, ...]:
        """Names of the validators; none if one full node is the ledger."""
        return self._folder.validator_names

    @property
    def validators(self) -> Validators:
        """The validators, from `start` on; only of a network that has some."""
        assert self._validators is not None, "a network with validators that was started"
        return self._validators

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all parties."""
        return (*(self.validator_names or (LEDGER,)), *self.node_names, GATEWAY)

    @property
    def packages(self) -> tuple[Package, ...]:
        """The models that it hosts; known from `start` on."""
        return self._packages

    @property
    def endpoints(self) -> Endpoints:
        """Where everybody is; known from `start` on."""
        return Endpoints(
            gateway=self._endpoints[GATEWAY],
            ledger=self._endpoints[LEDGER],
            nodes=tuple(self._endpoints[name] for name in self.node_names),
        )

    def list_ledger(self) -> tuple[tuple[str, str, str, str], ...]:
        """List who keeps the ledger: name, operator, endpoint, process (and the engine's)."""
        if not self.validator_names:
            return ((LEDGER, "-", self._endpoints[LEDGER], str(self.get_pid(LEDGER))),)
        rows = []
        for name in self.validator_names:
            processes = f"{self.get_pid(name)}, {self.validators.get_pid(name, 'engine')}"
            operator = shorten(self.get_operator(name))
            rows.append((name, operator, self._endpoints[name], processes))
        return tuple(rows)

    def get_operator(self, name: str) -> str:
        """Address of the operator of a node or of the gateway."""
        return "0x" + self._folder.load_account(name).address.hex()

    def get_home(self, name: str) -> Path:
        """Home folder of a process."""
        return self._folder.get_home(name)

    def get_log(self, name: str) -> Path:
        """Log file of a process."""
        return self._folder.logs / f"{name}.jsonl"

    def get_pid(self, name: str) -> int:
        """Process id of a process that was started."""
        if name in self.validator_names:
            return self.validators.get_pid(name) or 0
        return self._children.get_pid(name)

    def is_running(self, name: str) -> bool:
        """Whether a process runs."""
        if name in self.validator_names:
            return self.validators.get_pid(name) is not None
        return self._children.is_running(name)

    # ------------------------------------------------------------------------------ what it does

    def start(self) -> None:
        """Start everything and return when the gateway can answer for every model.

        Raises:
            Refusal: What the ledger refuses; `network.model-taken`, `package.*`.
            Fault: `children.*` with the last words of who failed, `network.not-serving`,
                `validators.not-moving`.
        """
        self._packages = tuple(self._store.open(digest) for digest in self._store.list())
        self._start_ledger()
        self._say(f"ledger at {self._endpoints[LEDGER]}")
        others = (*self.node_names, GATEWAY)
        asyncio.run(self._note_sessions(self.node_names))
        for name in others:
            self._prepare(name)
            self._spawn(name)
        asyncio.run(self._fund())
        self._await_ready(others)
        asyncio.run(self._register(others))
        self.wait_serving(self.node_names)

    def restart(self, name: str) -> None:
        """Start a process that was killed or has died again, and wait until it serves.

        Raises:
            Refusal: As `start`.
            Fault: As `start`; `network.ledger-moved` if somebody took the ledger's port, which
                the others know it by: stop the network and start it again.
        """
        before = self._endpoints[name]
        if name in self.node_names:
            asyncio.run(self._note_sessions((name,)))
        self._prepare(name)
        self._spawn(name)
        self._await_ready((name,))
        if name != LEDGER:
            asyncio.run(self._register((name,)))
        elif self._endpoints[name] != before:
            raise Fault("network.ledger-moved", f"somebody else listens at {before}")
        if name != LEDGER:
            self.wait_serving((name,) if name in self.node_names else ())

    def kill(self, name: str) -> None:
        """End a process at once (SIGKILL), as if its machine had failed."""
        self._children.kill(name)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process."""
        self._children.signal(name, number)

    def find_dead(self) -> tuple[Death, ...]:
        """List the processes that ended of themselves, each once."""
        return self._children.find_dead()

    def stop(self) -> None:
        """End everything: nodes and gateway first, the ledger that they settle with last.

        Who does not end in time is killed. May be called twice, and after a failed `start`.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._children.stop((*self.node_names, GATEWAY), STOP_S)
            self._children.stop((LEDGER,), STOP_S)
            if self._validators is not None:
                self._validators.stop()
        finally:
            self._children.close()
            if self._validators is not None:
                self._validators.close()
            self._folder.close()

    def wait_serving(self, names: tuple[str, ...], timeout_s: float = SERVE_S) -> None:
        """Wait until nodes have offered every model and the gateway has seen it.

        Raises:
            Fault: `network.not-serving`, or the death of a process on the way.
        """
        deadline = time.monotonic() + timeout_s
        asyncio.run(self._await_offers(names, deadline))
        for package in self._packages:
            path = f"/v2/models/{urllib.parse.quote(package.manifest.name)}/ready"
            while not is_good(self._endpoints[GATEWAY], path):
                self._check_alive(deadline, f"the gateway does not see {package.manifest.name}")
                time.sleep(_POLL_S)

    # ----------------------------------------------------------------------------------- the way

    def _start_ledger(self) -> None:
        if not self.validator_names:
            write_home(self._folder, LEDGER, ledger=None)
            self._spawn(LEDGER)
            self._await_ready((LEDGER,))
            return
        self._say(f"starting {len(self.validator_names)} validators under CometBFT")
        self._validators = prepare_validators(self._folder, self._say)
        self._ports = load_ports(self.path)
        # Twice as many processes again, and the first blocks come after all of them.
        self._validators.start(time.monotonic() + 2 * START_S)
        for name in self.validator_names:
            endpoint = self._validators.get_endpoint(name)
            self._endpoints[name] = endpoint
            self._ports[name] = urllib.parse.urlsplit(endpoint).port or 0
        self._endpoints[LEDGER] = self._endpoints[self.validator_names[0]]

    def _get_ledger(self, name: str) -> str:
        """Get the full node that a party follows: with validators not all the same one."""
        if not self.validator_names or name == GATEWAY:
            return self._endpoints[LEDGER]
        place = self.node_names.index(name) % len(self.validator_names)
        return self._endpoints[self.validator_names[place]]

    def _prepare(self, name: str) -> None:
        ledger = None if name == LEDGER else self._get_ledger(name)
        if name in self.node_names:
            store = PackageStore(self.get_home(name) / "packages")
            for package in self._packages:
                if not store.has(package.digest):
                    store.add(package.folder)
        write_home(self._folder, name, ledger=ledger, price_units=self._price_units)

    def _spawn(self, name: str) -> None:
        role = {LEDGER: "full", GATEWAY: "gateway"}.get(name, "inference")
        port = self._ports.get(name, 0)
        port = port if is_free(port) else 0
        home = str(self.get_home(name))
        arguments = ("--home", home, "--host", "127.0.0.1", "--port", str(port))
        self._children.spawn(name, f"probatum.nodes.{role}.run", arguments)

    def _await_ready(self, names: tuple[str, ...]) -> None:
        deadline = time.monotonic() + START_S
        for name in names:
            endpoint = str(self._children.wait_ready(name, deadline)["endpoint"])
            self._endpoints[name] = endpoint
            self._ports[name] = urllib.parse.urlsplit(endpoint).port or 0
        save_ports(self.path, self._ports)

    def _make_desk(self, transport: HttpTransport) -> LedgerDesk:
        return LedgerDesk(
            converse=transport.converse,
            endpoint=self._endpoints[LEDGER],
            domain=self._folder.domain,
        )

    async def _note_sessions(self, names: tuple[str, ...]) -> None:
        """Note which log sessions there were, to know the one that a start opens (`LOG-1`)."""
        async with HttpTransport() as transport:
            desk = self._make_desk(transport)
            for name in names:
                node = await desk.get_node(self._folder.load_account(name).address)
                self._sessions[name] = node.sessions if node else 0

    async def _fund(self) -> None:
        user = self._folder.load_account(USER)

        async def publish(desk: LedgerDesk) -> None:
            for package in self._packages:
                await desk.ensure_model(user, make_publication(package))

        async with HttpTransport() as transport:
            desk = self._make_desk(transport)
            operators = (*self.node_names, GATEWAY)
            stakes = (desk.ensure_stake(self._folder.load_account(name)) for name in operators)
            await asyncio.gather(publish(desk), *stakes)

    async def _register(self, names: tuple[str, ...]) -> None:
        async with HttpTransport() as transport:
            desk = self._make_desk(transport)
            await asyncio.gather(*(desk.ensure_node(self._describe(name)) for name in names))

    def _describe(self, name: str) -> NewNode:
        role: Role = "gateway" if name == GATEWAY else "inference"
        return NewNode(
            operator=self._folder.load_account(name),
            signer=load_operating_key(self.get_home(name) / "keys" / "operating.json"),
            endpoint=self._endpoints[name],
            role=role,
        )

    async def _await_offers(self, names: tuple[str, ...], deadline: float) -> None:
        """Wait until each node has opened a new log session and offers every model."""
        async with HttpTransport() as transport:
            desk = self._make_desk(transport)
            for name in names:
                address = self._folder.load_account(name).address
                while not await self._is_offering(desk, name, address):
                    words = "".join(f"\n    {line}" for line in read_log_tail(self.get_log(name)))
                    self._check_alive(deadline, f"{name} does not offer its models{words}")
                    await asyncio.sleep(_POLL_S)

    async def _is_offering(self, desk: LedgerDesk, name: str, address: Address) -> bool:
        node = await desk.get_node(address)
        if node is None or node.sessions <= self._sessions.get(name, 0):
            return False
        for package in self._packages:
            offers = await desk.list_offers(package.digest)
            offered = {offer.arithmetic for offer in offers if offer.operator == address}
            if not offered.issuperset(list_classes(self.get_home(name), package.manifest)):
                return False
        return True

    def _check_alive(self, deadline: float, what: str) -> None:
        dead = self.find_dead()
        if dead:
            raise Fault("children.died", str(dead[0]), hint=f"logs are in {self._folder.logs}")
        if time.monotonic() > deadline:
            raise Fault("network.not-serving", what, hint=f"logs are in {self._folder.logs}")
