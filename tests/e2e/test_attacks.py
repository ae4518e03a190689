"""Real validators that seal a second past: evidence that the engine takes, and who pays for it.

Two of four have more than a third of the power, so light clients that skip believe them
(`LIGHT-1`); whoever is shown their header beside the chain's own has what convicts them (`VAL-1`).
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace as change_attack
from functools import partial

import pytest
from msgspec.structs import replace as change

from probatum.client.proofs import check_now, make_check_now
from probatum.consensus.cometbft.light.attacks import make_attack
from probatum.errors import Refusal
from probatum.evidence.forks import check_fork, decode_fork, read_fork
from probatum.ledger.queries import decode_record
from probatum.nodes.shell.engine_files import get_rpc_port
from probatum.nodes.shell.engine_rpc import EngineRpc
from probatum.nodes.shell.process import EXIT_CODES
from probatum.ops.folder import GATEWAY, VALIDATOR_UNITS
from probatum.ops.homes import write_home
from probatum.protocol.commits import COMMITTED
from probatum.protocol.messages import Followed, GetHeader, GetState, GotHeader, Noted, ReportAttack
from probatum.protocol.validators import get_attack_key, get_validator_key
from tests.e2e.forging import POWER, forge, load_set, load_voters, sign_twice
from tests.e2e.lying import Desk, Liar
from tests.e2e.validators import Stage, need_cometbft
from tests.light_chain import NO_VOTE, make_voters

pytestmark = pytest.mark.e2e
FIRST = 4
"""The least height of the header of ours that is forged; the engine's is one higher."""
CULPRITS = ("validator-3", "validator-4")


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    need_cometbft()
    with Stage(tmp_path_factory.mktemp("attacks") / "net") as stage:
        stage.wait(lambda: stage.get_height("validator-1") > FIRST + 2, what="blocks are sealed")
        yield stage


async def ask_engine(stage, name, ask):
    """Ask a validator's own engine."""
    rpc = EngineRpc(get_rpc_port(stage.folder.get_home(name)))
    try:
        return await ask(rpc)
    finally:
        rpc.close()


@pytest.fixture(scope="module")
def real(stage):
    """A header for which all voted, with the votes that the next block cites: those convict.

    A full node's own seal holds those that it had when the block was decided, maybe others.
    """
    found = []

    def find():
        for height in range(FIRST, stage.get_height("validator-1") - 1):
            signed = stage.ask("validator-1", GetHeader(height=height)).header
            ask = partial(EngineRpc.get_seal, height=height, timeout_s=10)
            seal = asyncio.run(ask_engine(stage, "validator-1", ask))
            if all(vote.flag == COMMITTED for vote in seal.commit.votes):
                found.append(change(signed, seal=seal))
                return True
        return False

    stage.wait(find, what="everybody votes for a block")
    return found[0]


def report(stage, header, name="validator-1"):
    """What a full node says to a report: nothing, or why not."""
    reply = stage.ask(name, ReportAttack(header=header, common=1), 30)
    return "noted" if isinstance(reply, Noted) else reply.code


def read(stage, key, name="validator-1"):
    (item,) = stage.ask(name, GetState(keys=(key,), prove=False)).items
    return None if item.value is None else decode_record(key, item.value)


def read_validator(stage, name, at="validator-1"):
    return read(stage, get_validator_key(stage.folder.load_account(name).address), at)


def read_attack(stage, name):
    return read(stage, get_attack_key(stage.folder.load_account(name).address))


def wait_until_out(stage, names):
    """Every validator's ledger holds them convicted, and blocks go on."""

    def are_out(at):
        return all(read_validator(stage, name, at).tombstoned_at for name in names)

    for at in stage.names:
        stage.wait(lambda at=at: are_out(at), what=f"{at} holds {names} convicted")
    stage.wait_level()


def test_what_convicts_nobody_is_refused_by_name(stage, real):
    mine = forge(real, load_voters(stage))
    votes = mine.seal.commit.votes
    unsigned = change(mine.seal.commit, votes=(*votes[:3], change(votes[3], signature=bytes(64))))
    few = change(mine.seal.commit, votes=(*votes[:2], NO_VOTE, NO_VOTE))
    chain = change(mine.seal.header, chain_id="probatum-1-0000000000000000")
    wrong = {
        "light.own-header": real,
        "light.too-little-trust": forge(real, make_voters(range(4), power=POWER)),
        "light.too-little-power": change(mine, seal=change(mine.seal, commit=few)),
        "light.bad-signature": change(mine, seal=change(mine.seal, commit=unsigned)),
        "light.other-chain": change(mine, seal=change(mine.seal, header=chain)),
        "light.other-app-hash": change(mine, header=real.header),
        "light.not-yet": forge(real, load_voters(stage), later=10_000),
    }
    assert {code: report(stage, header) for code, header in wrong.items()} == {
        code: code for code in wrong
    }


def test_evidence_against_others_is_refused_by_the_engine(stage, real):
    """What a full node that lies could hand in: its own engine looks for itself."""
    own, false = real.seal, forge(real, load_voters(stage, CULPRITS)).seal
    common = stage.ask("validator-1", GetHeader(height=real.header.height - 1)).header.seal
    right = make_attack(false, own, common)
    innocent = tuple(one for one in own.validators if one not in right.convicted)
    wrong = (
        change_attack(right, convicted=innocent),
        change_attack(right, convicted=own.validators),
        change_attack(right, convicted=right.convicted[:1]),
        change_attack(right, total_power=right.total_power + 1),
        change_attack(right, common_height=right.common_height - 1),
        change_attack(right, seal=own),
    )

    for attack in wrong:
        with pytest.raises(Refusal) as refused:
            asyncio.run(
                ask_engine(
                    stage, "validator-2", lambda rpc, attack=attack: rpc.submit_attack(attack, 10)
                )
            )
        assert refused.value.code == "light.evidence-refused"
    assert not any(read_validator(stage, name).tombstoned_at for name in stage.names)


def test_who_sealed_a_past_of_their_own_is_out_for_ever(stage, real, tmp_path, capsys):
    """One command finds the two pasts, keeps them, and has those who sealed both convicted."""
    height, false = real.header.height, forge(real, load_voters(stage, CULPRITS))
    assert check_now(stage.trust, false) == false.header, "a light client would believe it"

    def show(message, reply):
        asked = isinstance(message, GetHeader) and message.height in {0, height}
        return GotHeader(header=false) if asked else reply

    desk, honest = Desk(stage, tmp_path, capsys), stage.validators.get_endpoint("validator-1")
    with Liar(stage, show) as liar:
        code, found = desk.run("ledger", "status", ledgers=[honest, liar.endpoint])
    assert code == 1
    assert [node["standing"] for node in found["nodes"]] == ["forked", "forked"]
    assert [told["endpoint"] for told in found["reported"] if not told["code"]] == [
        honest,
        liar.endpoint,
    ]
    assert {told["code"] for told in found["reported"]} == {"", "light.own-header"}
    code, kept = desk.run("ledger", "fork", found["evidence"], ledgers=[])
    assert (code, kept["heights"]) == (0, [height, height])
    addresses = {voter.address.hex() for voter in load_voters(stage, CULPRITS)}
    assert set(kept["sealed_both"]) <= addresses
    wait_until_out(stage, CULPRITS)
    for name in CULPRITS:
        infraction = read_attack(stage, name)
        assert (infraction.kind, infraction.height) == ("light-client-attack", height)
        assert infraction.slashed_units > 0
        assert read_validator(stage, name).bonded < VALIDATOR_UNITS
    for name in set(stage.names) - set(CULPRITS):
        assert read_validator(stage, name).bonded == VALIDATOR_UNITS
    header = stage.ask("validator-1", GetHeader(height=0)).header
    assert len(header.seal.validators) == 2
    assert report(stage, false) == "noted", "evidence that the engine has is as good as taken"


def test_who_signs_two_blocks_of_one_round_is_convicted_of_both(stage, real):
    """The same state under another block: no light client is misled, and a rule is broken."""
    height = real.header.height
    assert report(stage, sign_twice(real, load_voters(stage)), "validator-2") == "noted"
    wait_until_out(stage, stage.names)
    for name in set(stage.names) - set(CULPRITS):
        assert read_attack(stage, name).height == height + 1
    # Who has paid for one pays no more: one false header is evidence at many heights.
    assert {read_attack(stage, name).height for name in CULPRITS} == {height}


def test_a_gateway_that_is_shown_two_pasts_stops_and_keeps_and_reports_them(stage):
    """A set's own block after the real ones: who follows believes it, until the next real one."""
    shown = []

    def show(message, reply):
        if not shown and isinstance(reply, Followed) and message.after > FIRST:
            signed = reply.blocks[-1].header if reply.blocks else None
            if signed and not reply.snapshot and signed.header.height == message.after + 1:
                shown.append(forge(signed, load_set(stage, signed)))
                view = change(reply.blocks[-1], header=shown[0])
                return change(reply, blocks=(*reply.blocks[:-1], view))
        return reply

    home = stage.folder.get_home(GATEWAY)
    with Liar(stage, show) as liar:
        write_home(stage.folder, GATEWAY, ledger=liar.endpoint)
        gateway = subprocess.run(
            [sys.executable, "-m", "probatum.nodes.gateway.run", "--home", str(home)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert gateway.returncode == EXIT_CODES["halt"], gateway.stderr
    (path,) = (home / "evidence").iterdir()
    assert f"kept in {path}" in gateway.stderr
    assert '"fork.reported"' in gateway.stderr, gateway.stderr
    fork = decode_fork(path.read_bytes())
    signers = check_fork(fork, make_check_now(stage.trust))
    assert shown[0] in read_fork(fork)
    assert set(signers) <= {voter.address.hex() for voter in load_voters(stage)}
    assert signers
    stage.wait_level()
