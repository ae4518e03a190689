"""Taking the last block of a stopped full node back, by hand (`ABCI-3`)."""

import os

import pytest

from probatum.consensus.chain.sqlite_store import SqliteStore
from probatum.errors import Fault, Refusal
from probatum.ledger.genesis import encode_genesis
from probatum.nodes.shell.journal import lock_home
from probatum.nodes.shell.undoing import undo_last_block
from probatum.protocol.transactions.kinds import Transfer
from tests.chain import account, make_test_genesis
from tests.comet import Comet

PAY = Transfer(to=account(1).address, amount=5)


@pytest.fixture
def home(tmp_path):
    store = SqliteStore.open(tmp_path / "ledger.sqlite")
    comet = Comet(store=store)
    (tmp_path / "genesis.json").write_bytes(encode_genesis(comet.genesis))
    for _ in range(3):
        comet.do(account(0), PAY)
        comet.seal()
    store.close()
    tmp_path.joinpath("hash").write_bytes(comet.tip.header.previous)
    return tmp_path


def test_the_last_block_is_taken_back_once(home):
    assert undo_last_block(home) == (2, (home / "hash").read_bytes())
    with pytest.raises(Refusal, match="height 2 cannot"):
        undo_last_block(home)


def test_a_node_that_runs_is_left_alone(home):
    lock = lock_home(home)
    with pytest.raises(Fault, match=r"home\.locked"):
        undo_last_block(home)
    os.close(lock)
    assert undo_last_block(home)[0] == 2


def test_a_ledger_of_one_key_is_never_taken_back(home):
    (home / "genesis.json").write_bytes(encode_genesis(make_test_genesis()))
    with pytest.raises(Refusal, match=r"undo\.other-engine"):
        undo_last_block(home)


def test_the_command_says_what_to_do_next(home, capsys):
    from probatum.cli.node import undo

    undo(home)
    said = capsys.readouterr()
    assert "2" in said.out
    assert "cometbft rollback" in said.err
