"""Forgetting old blocks: never what is unsealed, never a record (`SNAP-1`)."""

import pytest

from probatum.consensus.cometbft import pruning
from probatum.consensus.cometbft.adapter_settings import AdapterSettings
from probatum.consensus.cometbft.pruning import load_pruned_height
from probatum.consensus.tables import BLOCK, HEADER, OUTCOME
from probatum.protocol.transactions.kinds import Transfer
from probatum.protocol.transactions.signed import compute_transaction_hash
from tests.chain import account
from tests.comet import Comet

PAY = Transfer(to=account(1).address, amount=5)


def list_heights(comet, table):
    return [int.from_bytes(key, "big") for key, _ in comet.store.scan(table, b"", b"", 10_000)]


def pay(comet, *, sealed=True):
    """One transfer in a block; returns its hash and what the engine is told to keep."""
    data = comet.make(account(0), PAY)
    comet.check(data)
    comet.finalize(comet.propose())
    said = comet.commit()
    if sealed:
        comet.seal()
    return compute_transaction_hash(data), said.retain_height


def test_all_is_kept_unless_it_is_said():
    comet = Comet()
    assert [pay(comet)[1] for _ in range(5)] == [0] * 5
    assert list_heights(comet, BLOCK) == [1, 2, 3, 4, 5]


def test_the_last_blocks_are_kept_and_the_same_state():
    comet, whole = Comet(settings=AdapterSettings(keep_blocks=3)), Comet()
    found, retained = [], []
    for _ in range(10):
        found_one, oldest = pay(comet)
        pay(whole)
        found.append(found_one)
        retained.append(oldest)
    assert retained == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert list_heights(comet, BLOCK) == [8, 9, 10]
    assert list_heights(comet, HEADER) == [8, 9]
    kept = [comet.store.get(OUTCOME, one) is not None for one in found]
    assert kept == [False] * 7 + [True] * 3
    assert comet.info() == whole.info()
    assert comet.records() == whole.records()
    assert comet.restart().info() == whole.info()
    assert comet.sealed.get_header(2) is None
    assert comet.sealed.get_block(2) is None


def test_what_is_not_sealed_is_kept():
    comet = Comet(settings=AdapterSettings(keep_blocks=1))
    for _ in range(3):
        pay(comet)
    assert comet.sealed.height == 2
    for _ in range(5):
        assert pay(comet, sealed=False)[1] == 2
    assert list_heights(comet, BLOCK) == [2, 3, 4, 5, 6, 7, 8]
    while comet.seal():
        pass
    assert pay(comet)[1] == 7
    assert comet.sealed.get_items((b"supply",), prove=True)[0].value


def test_beginning_to_forget_takes_several_blocks(monkeypatch):
    monkeypatch.setattr(pruning, "_AT_ONCE", 2)
    comet = Comet()
    for _ in range(10):
        pay(comet)
    comet.settings = {"settings": AdapterSettings(keep_blocks=2)}
    comet.restart()
    left = []
    for _ in range(6):
        pay(comet)
        left.append(list_heights(comet, BLOCK)[0])
    assert left == [3, 5, 7, 9, 11, 13]
    assert load_pruned_height(comet.store) == 12


@pytest.mark.parametrize("keep", [1, 2, 5])
def test_a_block_can_be_taken_back_while_others_are_forgotten(keep):
    comet = Comet(settings=AdapterSettings(keep_blocks=keep))
    for _ in range(8):
        pay(comet)
    before = comet.info()
    comet.finalize(comet.make_block([comet.make(account(0), PAY)]))
    comet.commit()
    comet.store.commit(comet.tip.make_rollback_rows())
    comet.tip.load()
    assert comet.info() == before
    pay(comet)
