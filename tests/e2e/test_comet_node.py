"""A full node beside one real CometBFT: decided, proven, killed, restored (`SEAL-1`, `SNAP-1`)."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from probatum.client.transport import HttpTransport
from probatum.consensus.cometbft.settings import EngineSettings, change_settings
from probatum.consensus.trusting import check_header
from probatum.errors import Refusal
from probatum.ledger.genesis import (
    compute_genesis_hash,
    compute_genesis_set,
    encode_genesis,
    get_domain,
    make_validator_genesis,
)
from probatum.ledger.params import Params
from probatum.nodes.shell.config import FullConfig, write_config
from probatum.ops.cometbft import find_cometbft
from probatum.ops.engine_homes import create_engine_keys, get_node_id, write_engine_home
from probatum.ops.supervising import LINGER_S
from probatum.protocol.encoding import decode, decode_document, encode
from probatum.protocol.headers import CommitSeal
from probatum.protocol.mapproof import StateProof, check_state_proof
from probatum.protocol.messages import (
    Follow,
    GetBlock,
    GetHeader,
    GetOutcome,
    GetState,
    GetStatus,
    Submit,
)
from probatum.protocol.primitives import UNITS_PER_TOKEN, make_consensus_key
from probatum.protocol.records import Account, get_account_key
from probatum.protocol.transactions.kinds import Transfer
from probatum.protocol.transactions.signed import compute_transaction_hash, sign_transaction
from probatum.protocol.trust import CommitTrust, TrustedValidator
from tests.chain import FEE, account
from tests.e2e.processes import wait_for

pytestmark = pytest.mark.e2e
BLOCK_MS = 100
SNAPSHOT_BLOCKS = 80
"""A snapshot goes when the second one after it is there: time enough to be found and fetched."""


@pytest.fixture(scope="module")
def program():
    try:
        return find_cometbft()
    except Refusal as refusal:
        pytest.skip(str(refusal))


def take_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Validator:
    """One home, its application and its engine."""

    def __init__(self, program, home, genesis=None, **config):
        self.program, self.home = program, home
        home.mkdir(exist_ok=True)
        key = create_engine_keys(home)
        self.genesis = genesis or make_validator_genesis(
            chain_id=7,
            time_ms=int(time.time() * 1_000) - 1_000,
            validators={account(9).address: (make_consensus_key(key.key), 10 * UNITS_PER_TOKEN)},
            balances={account(n).address: 1_000 * UNITS_PER_TOKEN for n in range(4)},
            params=Params(unbonding_blocks=3),
        )
        self.domain = get_domain(self.genesis)
        self.rpc_port, self.p2p_port = take_port(), take_port()
        settings = EngineSettings(
            moniker="one",
            p2p_port=self.p2p_port,
            rpc_port=self.rpc_port,
            block_interval_ms=BLOCK_MS,
        )
        write_engine_home(home, self.genesis, settings)
        (home / "genesis.json").write_bytes(encode_genesis(self.genesis))
        write_config(home, FullConfig(port=take_port(), block_interval_ms=BLOCK_MS, **config))
        self.app = self.engine = None

    def start_app(self):
        with self.home.joinpath("app.log").open("ab") as log:
            self.app = subprocess.Popen(
                [sys.executable, "-m", "probatum.nodes.full.run", "--home", self.home],
                stdout=subprocess.PIPE,
                stderr=log,
            )
        line = self.app.stdout.readline()
        assert line, self.home.joinpath("app.log").read_text()
        self.ready = json.loads(line)
        self.endpoint = self.ready["endpoint"]

    def start_engine(self):
        with self.home.joinpath("engine.log").open("ab") as log:
            self.engine = subprocess.Popen(
                [self.program, "start", "--home", "engine"],
                cwd=self.home,
                stdout=log,
                stderr=log,
            )

    def start(self):
        self.start_app()
        self.start_engine()

    def stop(self, how=signal.SIGTERM):
        for process in (self.engine, self.app):
            if process is not None and process.poll() is None:
                process.send_signal(how)
                process.wait(20)

    def await_engine_end(self):
        """Wait until the engine of an application that is gone has ended; return its exit code.

        None if it hangs on its way out, which it may (see `LINGER_S`); then it is ended as its
        keeper ends it.
        """
        try:
            return self.engine.wait(LINGER_S)
        except subprocess.TimeoutExpired:
            self.engine.kill()
            self.engine.wait()
            return None

    def ask(self, message, timeout_s=30):
        async def ask():
            async with HttpTransport() as transport:
                return await transport.ask(self.endpoint, message, timeout_s)

        return asyncio.run(ask())

    def get_height(self):
        return self.ask(GetStatus()).height

    def wait_for_height(self, height):
        assert wait_for(lambda: self.get_height() >= height, 60), self.tell()

    def pay(self, number, *, nonce, amount=5):
        body = Transfer(to=account(77).address, amount=amount)
        signed = sign_transaction(
            self.domain, account(number), nonce=nonce, fee_units=FEE, body=body
        )
        return encode(signed)

    def make_trust(self):
        """The trust file that names nothing but genesis."""
        return CommitTrust(
            format="probatum-trust/1",
            chain_id=self.genesis.chain_id,
            genesis_hash=self.domain.genesis_hash.hex(),
            engine="cometbft",
            height=0,
            header_hash=compute_genesis_hash(self.genesis).hex(),
            time_ms=self.genesis.time_ms,
            trusting_period_ms=86_400_000,
            validators=tuple(
                TrustedValidator(key=seat.key.hex(), power=seat.power)
                for seat in compute_genesis_set(self.genesis).seats
            ),
        )

    def tell(self):
        logs = (self.home / name for name in ("app.log", "engine.log"))
        return "\n".join(log.read_text()[-3_000:] for log in logs if log.exists())


@pytest.fixture(scope="module")
def validator(program, tmp_path_factory):
    one = Validator(program, tmp_path_factory.mktemp("validator"), snapshot_blocks=SNAPSHOT_BLOCKS)
    try:
        one.start()
        yield one
    finally:
        one.stop(signal.SIGKILL)


def get_balance(validator, address):
    got = validator.ask(GetState(keys=(get_account_key(address),), prove=True))
    header = check_header(validator.make_trust(), got.header, int(time.time() * 1_000))
    assert isinstance(got.header.seal, CommitSeal)
    (item,) = got.items
    proof = decode_document(StateProof, item.proof, limit_bytes=1 << 20)
    assert check_state_proof(header.state_root, item.key, proof) == item.value
    return decode(Account, item.value, limit_bytes=1_000).balance if item.value else 0


def test_a_transfer_is_decided_and_proven(validator):
    data = validator.pay(0, nonce=0)
    outcome = validator.ask(Submit(transaction=data))
    assert getattr(outcome, "code", validator.tell()) == "ok", outcome
    assert get_balance(validator, account(77).address) == 5
    found = compute_transaction_hash(data)
    assert validator.ask(GetOutcome(transaction_hash=found)) == outcome
    assert validator.ask(Submit(transaction=data)) == outcome
    header = validator.ask(GetHeader(height=outcome.height)).header
    assert check_header(validator.make_trust(), header, int(time.time() * 1_000))


def test_status_names_the_engine(validator):
    status = validator.ask(GetStatus())
    assert (status.engine, status.key) == ("cometbft", None)
    assert status.genesis_hash == validator.domain.genesis_hash


def test_refusals_keep_their_names(validator):
    for data, code in (
        (b"?", "encoding.malformed"),
        (validator.pay(0, nonce=0, amount=6), "ledger.wrong-nonce"),
        (validator.pay(50, nonce=0), "ledger.fee-not-covered"),
    ):
        assert validator.ask(Submit(transaction=data)).code == code


def test_changes_are_followed_block_by_block(validator):
    begun = validator.get_height()
    validator.ask(Submit(transaction=validator.pay(1, nonce=0)))
    followed = validator.ask(Follow(after=begun, prefixes=(b"account/",), wait_ms=5_000))
    assert not followed.snapshot
    heights = [view.header.header.height for view in followed.blocks]
    assert heights == list(range(begun + 1, begun + 1 + len(heights)))
    keys = {change.key for view in followed.blocks for change in view.changes}
    assert get_account_key(account(77).address) in keys


@pytest.mark.parametrize("who", ["engine", "app", "both"])
def test_a_killed_process_comes_back_to_the_same_chain(validator, who):
    before = validator.ask(GetHeader(height=0)).header
    sent = {"engine": 2, "app": 3, "both": 1}[who]
    nonce = 1 if who == "both" else 0
    outcome = validator.ask(Submit(transaction=validator.pay(sent, nonce=nonce)))
    assert outcome.code == "ok"
    if who in ("app", "both"):
        validator.app.kill()
        validator.app.wait()
        if who == "app":
            assert validator.await_engine_end() in {0, None}, "it says that all is well"
    if who in ("engine", "both"):
        validator.engine.kill()
        validator.engine.wait()
    if who in ("app", "both"):
        validator.start_app()
    validator.start_engine()
    validator.wait_for_height(outcome.height + 2)
    again = validator.ask(GetHeader(height=before.header.height)).header
    assert again.header == before.header
    hashed = compute_transaction_hash(validator.pay(sent, nonce=nonce))
    assert validator.ask(GetOutcome(transaction_hash=hashed)) == outcome
    assert validator.ask(Submit(transaction=validator.pay(sent, nonce=nonce + 1))).code == "ok"


def test_a_node_joins_by_a_snapshot_and_one_trusted_header(validator, program, tmp_path):
    """It believes genesis and one header; everything before the snapshot it never sees."""
    data = validator.pay(0, nonce=1)
    assert validator.ask(Submit(transaction=data)).code == "ok"
    # Whoever restores asks for the header two heights on, too.
    validator.wait_for_height((validator.get_height() // SNAPSHOT_BLOCKS + 1) * SNAPSHOT_BLOCKS + 3)
    trusted = validator.ask(GetHeader(height=1)).header.seal
    other = Validator(program, tmp_path / "other", genesis=validator.genesis)
    settings = other.home / "engine" / "config" / "config.toml"
    door = f"http://127.0.0.1:{validator.rpc_port}"
    changes = {
        (
            "p2p",
            "persistent_peers",
        ): f"{get_node_id(validator.home)}@127.0.0.1:{validator.p2p_port}",
        ("statesync", "enable"): True,
        ("statesync", "rpc_servers"): f"{door},{door}",
        ("statesync", "trust_height"): trusted.header.height,
        ("statesync", "trust_hash"): trusted.commit.block.hash.hex().upper(),
        ("statesync", "trust_period"): "1h",
        ("statesync", "discovery_time"): "5s",
    }
    settings.write_text(change_settings(settings.read_text(), changes))
    try:
        other.start()
        other.wait_for_height(validator.get_height() + 2)
        refused = other.ask(GetBlock(height=1))
        assert refused.code == "full.no-such-height", "it replayed instead"
        height = other.get_height()
        mine, theirs = (one.ask(GetHeader(height=height)).header for one in (other, validator))
        assert mine.header == theirs.header
        assert get_balance(other, account(77).address) == get_balance(
            validator, account(77).address
        )
        assert other.ask(Submit(transaction=validator.pay(0, nonce=2))).code == "ok"
        other.app.kill()
        other.app.wait()
        other.await_engine_end()
        other.start()
        other.wait_for_height(height + 3)
    except BaseException:
        print(other.tell())
        raise
    finally:
        other.stop(signal.SIGKILL)


def test_old_blocks_are_forgotten_here_and_by_the_engine(program, tmp_path):
    one = Validator(program, tmp_path / "home", snapshot_blocks=0, keep_blocks=20)
    try:
        one.start()
        outcome = one.ask(Submit(transaction=one.pay(0, nonce=0)))
        one.wait_for_height(outcome.height + 40)
        found = compute_transaction_hash(one.pay(0, nonce=0))
        assert one.ask(GetOutcome(transaction_hash=found)).code == "full.unknown-transaction"
        assert one.ask(GetBlock(height=1)).code == "full.no-such-height"
        with urllib.request.urlopen(f"http://127.0.0.1:{one.rpc_port}/status") as answer:
            oldest = int(json.load(answer)["result"]["sync_info"]["earliest_block_height"])
        assert oldest > outcome.height
        one.stop(signal.SIGKILL)
        height = outcome.height + 40
        one.start()
        one.wait_for_height(height + 3)
        assert get_balance(one, account(77).address) == 5
        assert one.ask(Submit(transaction=one.pay(0, nonce=0))).code == "ledger.wrong-nonce"
    except BaseException:
        print(one.tell())
        raise
    finally:
        one.stop(signal.SIGKILL)


def test_another_genesis_file_stops_the_application_by_name(program, tmp_path):
    one = Validator(program, tmp_path / "home")
    other = Validator(program, tmp_path / "other")
    (one.home / "genesis.json").write_bytes(encode_genesis(other.genesis))
    try:
        one.start()
        assert one.app.wait(60) == 64
        assert "abci.other-genesis" in one.home.joinpath("app.log").read_text()
    finally:
        one.stop(signal.SIGKILL)


def test_an_asked_for_stop_is_clean(validator):
    validator.app.send_signal(signal.SIGTERM)
    assert validator.app.wait(20) == 0
    assert validator.await_engine_end() in {0, None}
    assert not (validator.home / "abci.sock").exists()
