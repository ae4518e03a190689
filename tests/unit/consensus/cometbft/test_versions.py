"""Which rules decide which block, and what a release does that does not know them (`ABCI-6`)."""

import pytest

from probatum.consensus.cometbft.adapter_settings import AdapterSettings
from probatum.consensus.cometbft.messages import RequestInfo
from probatum.consensus.cometbft.parts import ConsensusParams, ProposalStatus, VersionParams
from probatum.consensus.cometbft.versions import APP_VERSION, AppVersions
from probatum.errors import Refusal
from probatum.protocol.transactions.kinds import Transfer
from tests.chain import account
from tests.comet import Comet

LAST = 3
OLD = AppVersions(last_heights=(LAST,))
NEW = AppVersions(known=APP_VERSION + 1, last_heights=(LAST,))
PAY = Transfer(to=account(1).address, amount=5)


def make(versions, **settings):
    return Comet(settings=AdapterSettings(versions=versions), **settings)


def get_version(comet):
    return comet.adapter.info(RequestInfo()).app_version


def test_versions_rise_after_the_agreed_heights():
    versions = AppVersions(known=9, first=2, last_heights=(3, 4, 10))
    assert [versions.get(height) for height in (1, 3, 4, 5, 10, 11, 1_000)] == [2, 2, 3, 4, 4, 5, 5]
    assert [versions.get_next(height) for height in (1, 3, 4, 5, 10)] == [None, 3, 4, None, 5]
    assert AppVersions().get(1 << 50) == APP_VERSION
    assert AppVersions().get_next(1) is None


@pytest.mark.parametrize("heights", [(0,), (3, 3), (4, 3), (-1,)])
def test_heights_out_of_order_are_refused(heights):
    with pytest.raises(Refusal) as caught:
        AppVersions(last_heights=heights)
    assert caught.value.code == "full.bad-upgrades"


def test_a_chain_that_began_by_later_rules_is_refused():
    with pytest.raises(Refusal) as caught:
        AppVersions(first=APP_VERSION + 1)
    assert caught.value.code == "full.newer-rules"
    assert str(APP_VERSION + 1) in caught.value.hint


def test_the_last_block_says_so_and_an_old_release_decides_nothing_after_it():
    told = []
    old = make(OLD, tell=told.append)
    updates = []
    for _ in range(LAST):
        assert get_version(old) == APP_VERSION
        old.check(old.make(account(0), PAY))
        block = old.propose()
        assert old.judge(block) == ProposalStatus.ACCEPT
        updates.append(old.finalize(block).consensus_param_updates)
        assert told == []
        old.commit()
    changed = ConsensusParams(version=VersionParams(app=APP_VERSION + 1))
    assert updates == [None] * (LAST - 1) + [changed], "the next header carries the new version"
    assert [refusal.code for refusal in told] == ["full.newer-rules"]
    assert get_version(old) == APP_VERSION + 1, "as the engine's own record"
    before = old.info()
    old.check(old.make(account(0), PAY))
    block = old.propose()
    assert block.txs == ()
    assert old.judge(block) == ProposalStatus.REJECT
    with pytest.raises(Refusal) as caught:
        old.finalize(block)
    assert caught.value.code == "full.newer-rules"
    assert f"app version is {APP_VERSION + 1}" in caught.value.hint
    assert old.restart().info() == before
    assert len(told) == 2, "said again as it starts"


def test_the_next_release_goes_on_where_the_old_one_stopped():
    old, new = make(OLD), make(NEW)
    for _ in range(LAST):
        old.check(old.make(account(0), PAY))
        block = old.propose()
        old.decide(block)
        new.decided = old.decided[:-1]
        assert new.finalize(block).consensus_param_updates == (
            None
            if block.height < LAST
            else ConsensusParams(version=VersionParams(app=APP_VERSION + 1))
        )
        new.commit()
    assert new.info() == old.info(), "the old rules until then, whoever applies them"
    upgraded = make(NEW, store=old.store)
    assert upgraded.info() == new.info()
    for comet in (upgraded, new):
        comet.decided = list(old.decided)
        comet.time = old.time
        comet.check(comet.make(account(0), PAY))
        block = comet.propose()
        assert comet.judge(block) == ProposalStatus.ACCEPT
        comet.decide(block)
    assert upgraded.info() == new.info()
    assert upgraded.tip.height == LAST + 1


def test_a_release_that_knows_more_begins_a_chain_by_its_first_rules():
    new = make(AppVersions(known=APP_VERSION + 5))
    assert get_version(new) == APP_VERSION
