"""Real validators and a client that believes no server: lies named, sets followed (`LIGHT-1`)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace as change

from probatum.client.proofs import check_now
from probatum.client.sync import LedgerFollower
from probatum.errors import Refusal
from probatum.machine.events import Moment, Returned
from probatum.machine.wishes import Send
from probatum.protocol.encoding import encode
from probatum.protocol.hashing import sha256
from probatum.protocol.messages import GetHeader, GotHeader, GotState, Outcome, Submit
from probatum.protocol.primitives import UNITS_PER_TOKEN
from probatum.protocol.transactions.signed import sign_transaction
from probatum.protocol.transactions.validators import UnstakeConsensus
from probatum.protocol.trust import decode_trust
from tests.e2e.lying import Desk, Liar
from tests.e2e.validators import FEE_UNITS, Stage, need_cometbft

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    need_cometbft()
    with Stage(tmp_path_factory.mktemp("light") / "net") as stage:
        stage.wait(lambda: stage.get_height("validator-1") > 3, what="blocks are sealed")
        yield stage


@pytest.fixture
def desk(stage, tmp_path, capsys):
    return Desk(stage, tmp_path, capsys)


def change_state(message, reply):
    """Another state under the same seal."""
    del message
    if not isinstance(reply, GotHeader | GotState):
        return reply
    header = change(reply.header.header, state_root=sha256(b"my own ledger"))
    return change(reply, header=change(reply.header, header=header))


def test_of_two_nodes_the_one_that_lies_is_named(stage, desk):
    honest = [stage.validators.get_endpoint(name) for name in stage.names]
    code, found = desk.run("ledger", "status", ledgers=honest)
    assert (code, found["agree"], found["is_proven"]) == (0, True, True)
    with Liar(stage, change_state) as liar:
        code, found = desk.run("ledger", "status", ledgers=[honest[0], liar.endpoint])
        standings = [(node["standing"], node["code"]) for node in found["nodes"]]
        assert code == 1
        assert standings == [("agrees", ""), ("lies", "light.other-app-hash")]
        code, found = desk.run("ledger", "state", "supply", ledgers=[liar.endpoint])
        assert (code, found["error"]["code"]) == (1, "light.other-app-hash")
        code, found = desk.run("ledger", "trust", "--renew", ledgers=[honest[0], liar.endpoint])
        assert (code, found["error"]["code"]) == (1, "ledger.no-agreement")


def test_a_trust_file_is_renewed_and_a_leaving_validator_is_followed(stage, desk):
    where = stage.validators.get_endpoint("validator-1")
    early = stage.ask("validator-1", GetHeader(height=3)).header
    assert check_now(stage.trust, early).height == 3
    follower = LedgerFollower(where, (b"validator/",), stage.trust)
    wishes = follower.start(Moment(early.header.time_ms, bytes(32)))
    # One of four takes nearly all of its stake back: it is out of the set a few blocks later.
    signed = sign_transaction(
        stage.folder.domain,
        stage.folder.load_account("validator-4"),
        nonce=0,
        fee_units=FEE_UNITS,
        body=UnstakeConsensus(amount=1_000 * UNITS_PER_TOKEN),
    )
    reply = stage.ask("validator-1", Submit(transaction=encode(signed)), 30)
    assert isinstance(reply, Outcome)
    assert reply.code == "ok"

    def is_three():
        header = stage.ask("validator-1", GetHeader(height=0)).header
        return header if len(header.seal.validators) == 3 else None

    last = stage.wait(is_three, what="the set has three")
    assert check_now(stage.trust, last) == last.header
    while follower.view.height < last.header.height:
        (send,) = (wish for wish in wishes if isinstance(wish, Send))
        answer = stage.ask("validator-1", send.message, 15)
        moment = Moment(last.header.time_ms + 5_000, bytes(32))
        step = follower.step(Returned(send.call, answer, last=True), moment)
        assert not step.went_back
        wishes = step.wishes
    code, found = desk.run("ledger", "trust", "--renew", ledgers=[where])
    assert code == 0
    assert len(found["validators"]) == 3
    renewed = decode_trust(desk.path.read_bytes())
    assert renewed.height >= last.header.height
    later = stage.wait(
        lambda: (
            found
            if (found := stage.ask("validator-2", GetHeader(height=0)).header).header.height
            > renewed.height
            else None
        )
    )
    assert check_now(renewed, later) == later.header
    # What lies before the trusted header, this file says nothing about.
    with pytest.raises(Refusal) as refused:
        check_now(renewed, early)
    assert refused.value.code == "light.before-trust"
