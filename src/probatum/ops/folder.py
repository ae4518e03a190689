"""A network's folder: its layout, how a new one is made, and who holds it.

    network.json    how many nodes, how fast blocks come          lock     held while it runs
    genesis.json    what the ledger starts from                   trust.json  what strangers need
    accounts/       keys of accounts: user, gateway, node-1 …     logs/    a file for each process
    packages/       models that this network hosts                homes/   a home for each process

With validators the ledger is theirs: each has a home with an engine's folder in it (`engines`).
It is made beside its place and renamed into it, so there is a whole network or none. Must not
know processes. Read next: `homes`, `network`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta

from probatum.consensus.trust_files import make_trust
from probatum.errors import Fault, Refusal
from probatum.ledger.consensus_params import ConsensusParams
from probatum.ledger.genesis import (
    Genesis,
    encode_genesis,
    get_domain,
    make_genesis,
    make_validator_genesis,
)
from probatum.ledger.params import Params
from probatum.nodes.shell.genesis_file import load_genesis
from probatum.nodes.shell.keys import (
    create_account_key,
    create_operating_key,
    load_account_key,
)
from probatum.ops.engine_homes import create_engine_keys
from probatum.ops.engines import make_engine_homes, name_validators
from probatum.protocol.eip712 import Domain
from probatum.protocol.encoding import Document, decode_document, encode_document
from probatum.protocol.primitives import (
    UNITS_PER_TOKEN,
    Address,
    ConsensusKey,
    make_consensus_key,
)
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.trust import encode_trust

__all__ = [
    "GATEWAY",
    "LEDGER",
    "NETWORK_NAME",
    "USER",
    "NetworkFolder",
    "NetworkPlan",
    "open_folder",
]

LEDGER: Final = "ledger"
GATEWAY: Final = "gateway"
USER: Final = "user"
CHAIN_ID: Final = 0x50524F42
"""The number of networks on one machine; the genesis hash tells them apart."""
ACCOUNT_UNITS: Final = 1_000 * UNITS_PER_TOKEN
USER_UNITS: Final = 1_000_000 * UNITS_PER_TOKEN
VALIDATOR_UNITS: Final = 1_000 * UNITS_PER_TOKEN
"""Consensus stake of each of the first validators: their powers are equal."""
NODES_LIMIT: Final = 64
VALIDATORS_LIMIT: Final = 16
"""On one machine; each is two processes."""
NETWORK_NAME: Final = "network.json"
"""The file by which a folder is a network."""
_FILE_BYTES: Final = 4_096
_LOCK_WAIT_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPlan:
    """What a new network is to be; an existing folder keeps what it was made with.

    Attributes:
        nodes: Inference nodes, each of an operator of its own.
        models: Folders of packages to host; they are added to an existing network too.
        block_interval_ms: Time between two blocks.
        params: The ledger's parameters.
        price_units: What each of a new network's nodes asks for an answer (`PAY-1`).
        validators: How many keep the ledger together, under CometBFT; 0 for one process that keeps
            it alone.
        consensus: The parameters of validators.
    """

    nodes: int = 3
    models: tuple[Path, ...] = ()
    block_interval_ms: int = 1_000
    params: Params = field(default_factory=Params)
    price_units: int = 0
    validators: int = 0
    consensus: ConsensusParams = field(default_factory=ConsensusParams)


class _NetworkFile(Document, frozen=True, kw_only=True):
    format: Literal["probatum-network/1"]
    nodes: Annotated[int, Meta(ge=1, le=NODES_LIMIT)]
    block_interval_ms: Annotated[int, Meta(ge=10, le=600_000)]
    validators: Annotated[int, Meta(ge=0, le=VALIDATORS_LIMIT)] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFolder:
    """An open network folder; nobody else may run it until `close`."""

    path: Path
    node_names: tuple[str, ...]
    validator_names: tuple[str, ...] = ()
    block_interval_ms: int
    genesis: Genesis
    lock: int

    @property
    def domain(self) -> Domain:
        """The domain that this network's signatures are for."""
        return get_domain(self.genesis)

    @property
    def trust_path(self) -> Path:
        """Where the trust file lies."""
        return self.path / "trust.json"

    @property
    def logs(self) -> Path:
        """Where the processes' logs lie."""
        return self.path / "logs"

    @property
    def packages(self) -> Path:
        """Where the packages that this network hosts lie."""
        return self.path / "packages"

    def get_home(self, name: str) -> Path:
        """Home of a process."""
        return self.path / "homes" / name

    def get_account_path(self, name: str) -> Path:
        """Key file of an account: the operator of a process by its name, or `USER`."""
        return self.path / "accounts" / f"{name}.json"

    @property
    def validator_homes(self) -> dict[str, Path]:
        """Homes of the validators by name."""
        return {name: self.get_home(name) for name in self.validator_names}

    def load_account(self, name: str) -> AccountSigner:
        """Load an account's key. Raises Refusal `key.*`."""
        return load_account_key(self.get_account_path(name))

    def close(self) -> None:
        """Let others have it, once the processes that inherited the lock are gone too."""
        os.close(self.lock)


def open_folder(path: Path, plan: NetworkPlan) -> NetworkFolder:
    """Open a network's folder, making it if it does not exist or is empty.

    Raises:
        Refusal: `network.not-a-network`, `network.in-use`, `network.bad-plan`, `encoding.*`.
        Fault: `network.disk`.
    """
    try:
        path = path.absolute()
        if not (path / NETWORK_NAME).exists():
            _create(path, plan)
        lock = _take_lock(path)
    except OSError as error:
        raise Fault("network.disk", f"cannot use {path}: {error.strerror}") from None
    try:
        file = decode_document(
            _NetworkFile,
            (path / NETWORK_NAME).read_bytes()[: _FILE_BYTES + 1].strip(),
            limit_bytes=_FILE_BYTES,
        )
        genesis = load_genesis(path / "genesis.json")
    except OSError as error:
        os.close(lock)
        raise Fault("network.disk", f"cannot read {path}: {error.strerror}") from None
    except BaseException:
        os.close(lock)
        raise
    return NetworkFolder(
        path=path,
        node_names=_name_nodes(file.nodes),
        validator_names=name_validators(file.validators),
        block_interval_ms=file.block_interval_ms,
        genesis=genesis,
        lock=lock,
    )


def _name_nodes(count: int) -> tuple[str, ...]:
    return tuple(f"node-{number}" for number in range(1, count + 1))


def _create(path: Path, plan: NetworkPlan) -> None:
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise Refusal(
            "network.not-a-network",
            f"{path} is not empty and holds no network",
            hint="name a new folder, an empty one, or one that `probatum up` made",
        )
    if not 1 <= plan.nodes <= NODES_LIMIT:
        raise Refusal("network.bad-plan", f"a network here has 1 to {NODES_LIMIT} nodes")
    if not 0 <= plan.validators <= VALIDATORS_LIMIT:
        raise Refusal(
            "network.bad-plan", f"a network here has at most {VALIDATORS_LIMIT} validators"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".probatum-", dir=path.parent))
    try:
        _fill(fresh, plan)
        try:
            fresh.rename(path)
        except OSError as error:
            # Another process was faster: its network is the one.
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _fill(fresh: Path, plan: NetworkPlan) -> None:
    """Draw all keys, and write down what they are the beginning of."""
    homes = fresh / "homes"
    balances: dict[Address, int] = {}
    for name in (*_name_nodes(plan.nodes), GATEWAY):
        create_operating_key(homes / name / "keys" / "operating.json")
        operator = create_account_key(fresh / "accounts" / f"{name}.json")
        # A hot account on the node's machine pays its fees; the operator's key stays outside.
        payer = create_account_key(homes / name / "keys" / "account.json")
        balances[operator.address] = balances[payer.address] = ACCOUNT_UNITS
    balances[create_account_key(fresh / "accounts" / f"{USER}.json").address] = USER_UNITS
    genesis = _found(fresh, plan, balances)
    trust = make_trust(genesis)
    (fresh / "genesis.json").write_bytes(encode_genesis(genesis) + b"\n")
    (fresh / "trust.json").write_bytes(encode_trust(trust) + b"\n")
    for name in name_validators(plan.validators) or (LEDGER,):
        (homes / name / "genesis.json").write_bytes(encode_genesis(genesis) + b"\n")
    for name in (*_name_nodes(plan.nodes), GATEWAY):
        (homes / name / "trust.json").write_bytes(encode_trust(trust) + b"\n")
    for made in ("logs", "packages"):
        (fresh / made).mkdir()
    file = _NetworkFile(
        format="probatum-network/1",
        nodes=plan.nodes,
        block_interval_ms=plan.block_interval_ms,
        validators=plan.validators,
    )
    (fresh / NETWORK_NAME).write_bytes(encode_document(file) + b"\n")


def _found(fresh: Path, plan: NetworkPlan, balances: dict[Address, int]) -> Genesis:
    """Make the keys that the ledger begins with, and its genesis."""
    time_ms = time.time_ns() // 1_000_000
    if not plan.validators:
        engine = create_operating_key(fresh / "homes" / LEDGER / "keys" / "operating.json")
        return make_genesis(
            chain_id=CHAIN_ID,
            time_ms=time_ms,
            key=engine.key,
            balances=balances,
            params=plan.params,
        )
    homes = {name: fresh / "homes" / name for name in name_validators(plan.validators)}
    stakes: dict[Address, tuple[ConsensusKey, int]] = {}
    for name, home in homes.items():
        create_operating_key(home / "keys" / "operating.json")
        account = create_account_key(fresh / "accounts" / f"{name}.json").address
        stakes[account] = (make_consensus_key(create_engine_keys(home).key), VALIDATOR_UNITS)
        balances[account] = ACCOUNT_UNITS
    genesis = make_validator_genesis(
        chain_id=CHAIN_ID,
        time_ms=time_ms,
        validators=stakes,
        balances=balances,
        params=plan.params,
        consensus=plan.consensus,
    )
    make_engine_homes(homes, genesis, block_interval_ms=plan.block_interval_ms)
    return genesis


def _take_lock(path: Path) -> int:
    """Lock the folder; processes of a network that was just killed may take a moment to end."""
    lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + _LOCK_WAIT_S
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        if time.monotonic() > deadline:
            os.close(lock)
            raise Refusal(
                "network.in-use",
                f"the network in {path} is running already",
                hint="stop it first, or name another folder",
            )
        time.sleep(0.05)
