"""Deciding about a receipt from a command, over a real chain whose node settles meanwhile."""

import pytest

from probatum.cli.prosecuting import Prosecution
from probatum.cli.settings import Common
from probatum.errors import Fault
from probatum.evidence.prosecution import Accuse, Done
from probatum.ledger.params import Params
from probatum.protocol.messages import (
    GetBlock,
    GetHeader,
    GetLogFile,
    GetState,
    GotBlock,
    GotHeader,
    GotLogFile,
    GotState,
)
from probatum.protocol.transactions.kinds import ReportWrongEntry
from probatum.protocol.trust import TRUST_FORMAT, KeyTrust, encode_trust
from tests.cases import hold, tiles_of
from tests.chain import ENGINE, Chain, account, make_test_genesis
from tests.unit.ledger.handlers.test_offences import (
    PARAMS,
    REPORTER,
    make_log,
    make_payload,
    settle,
)

FIRST, SECOND = make_payload(), make_payload(salt=b"other")


class Runner:
    """A ledger, and a node that settles one more entry whenever somebody reads its log."""

    def __init__(self):
        self.chain = Chain(make_test_genesis(params=PARAMS))
        self.chain.register()
        assert self.chain.do(account(0), self.chain.opening()) == "ok"
        self.log = make_log(SECOND, *(b"%d" % number for number in range(600)))
        self.size = 0
        self.runs = True
        self.keeps_blocks = True
        self.settle()

    def settle(self):
        old, self.size = self.size, self.size + 1
        assert settle(self.chain, self.log, self.size, old) == "ok"

    def exchange(self, _, message, **__):
        engine = self.chain.engine
        match message:
            case GetHeader():
                return GotHeader(header=engine.last_header)
            case GetState(keys=keys, prove=prove):
                return GotState(
                    header=engine.last_header, items=engine.get_items(keys, prove=prove)
                )
            case GetBlock(height=height):
                if not self.keeps_blocks:
                    raise Fault("wire.unreachable", "nobody answers")
                header = engine.get_header(height)
                return GotBlock(header=header, block=engine.get_block(height))
            case GetLogFile(path=path):
                (data,) = tiles_of(self.log, (path,)).values()
                if self.runs:
                    self.settle()
                return GotLogFile(data=data)


@pytest.fixture
def runner(monkeypatch):
    made = Runner()
    monkeypatch.setattr("probatum.cli.reading.exchange", made.exchange)
    monkeypatch.setattr("probatum.cli.prosecuting.exchange", made.exchange)
    return made


def make_case(runner, folder, payload=FIRST):
    trust = KeyTrust(
        format=TRUST_FORMAT,
        chain_id=runner.chain.genesis.chain_id,
        genesis_hash=runner.chain.domain.genesis_hash.hex(),
        engine="embedded",
        key=ENGINE.key.hex(),
    )
    path = folder / "trust.json"
    path.write_bytes(encode_trust(trust))
    return Prosecution(
        common=Common(ledger=("http://ledger",), trust=path, home=folder),
        held=hold(payload),
        rival=None,
        params=Params(),
        patience_blocks=0,
        sender=None,
    )


def test_a_node_that_settles_whenever_it_is_read_is_reported_all_the_same(runner, tmp_path):
    """Each look at its log settles more, so that a report about the root of the moment fails."""
    for _ in range(3):
        runner.settle()
    standing, _ = make_case(runner, tmp_path).decide()
    assert isinstance(standing, Accuse)
    assert isinstance(standing.body, ReportWrongEntry)
    runner.settle()
    assert runner.chain.do(REPORTER, standing.body) == "ok"
    standing, _ = make_case(runner, tmp_path).decide()
    assert standing == Done(convicted=True, why="its node was convicted over this entry")


def test_where_no_ledger_gives_the_block_the_root_of_the_moment_has_to_do(runner, tmp_path):
    runner.keeps_blocks = runner.runs = False
    standing, _ = make_case(runner, tmp_path).decide()
    assert standing.body.checkpoint == b""
    assert runner.chain.do(REPORTER, standing.body) == "ok"


def test_an_honest_log_is_read_without_its_block(runner, tmp_path):
    runner.keeps_blocks = False
    standing, _ = make_case(runner, tmp_path, SECOND).decide()
    assert isinstance(standing, Done)
    assert not standing.convicted
