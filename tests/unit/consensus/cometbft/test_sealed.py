"""What others are told of: the last sealed height, read past later blocks (`SEAL-1`, `ABCI-3`)."""

import pytest

from probatum.consensus import tables
from probatum.consensus.cometbft import tip as tip_page
from probatum.consensus.cometbft import undo
from probatum.consensus.cometbft.adapter_settings import AdapterSettings
from probatum.consensus.cometbft.messages import RequestQuery
from probatum.consensus.cometbft.undo import get_header_key, get_undo_key
from probatum.errors import Fault, Misuse, Refusal
from probatum.ledger.statemap import EMPTY_ROOT, MerkleMap
from probatum.protocol.encoding import decode, decode_document, encode
from probatum.protocol.headers import SignedHeader, compute_header_hash
from probatum.protocol.mapproof import StateProof, check_state_proof
from probatum.protocol.messages import Outcome
from probatum.protocol.primitives import make_address
from probatum.protocol.records import ESCROW, get_account_key
from probatum.protocol.transactions.kinds import FundEscrow, Transfer
from probatum.protocol.transactions.signed import compute_transaction_hash
from tests.chain import FEE, account
from tests.comet import NO_SEAL, Comet

PAY = Transfer(to=account(1).address, amount=5)
FRESH = account(90).address


@pytest.fixture
def comet():
    return Comet()


def pay_fresh(amount):
    return Transfer(to=FRESH, amount=amount)


def check_proofs(comet, keys):
    """Every record that is told is proven by the header that is told."""
    root = comet.sealed.last_header.header.state_root
    values = []
    for item in comet.sealed.get_items(tuple(keys), prove=True):
        proof = decode_document(StateProof, item.proof, limit_bytes=1 << 20)
        assert check_state_proof(root, item.key, proof) == item.value
        values.append(item.value)
    return values


def list_all(comet, prefix, limit):
    found, after, more = [], b"", True
    while more:
        items, more = comet.sealed.list_items(prefix, after, limit)
        assert items or not more
        found += [(item.key, item.value) for item in items]
        after = items[-1].key if items else after
    return found


def test_the_last_block_is_not_told_of(comet):
    data = comet.make(account(0), PAY)
    comet.block(data)
    found = compute_transaction_hash(data)
    assert not comet.seal()
    assert (comet.sealed.height, comet.sealed.last_header) == (0, None)
    assert comet.sealed.get_outcome(found) is None
    assert comet.sealed.get_block(1) is None
    comet.block()
    assert comet.seal()
    assert not comet.seal()
    assert comet.sealed.height == 1
    assert comet.sealed.get_outcome(found) == Outcome(transaction_hash=found, height=1, code="ok")
    assert comet.sealed.get_header(1) == comet.sealed.last_header
    assert comet.sealed.get_header(2) is None


def test_a_transaction_is_pending_until_its_block_is_sealed(comet):
    data = comet.make(account(0), PAY)
    found = compute_transaction_hash(data)
    assert not comet.sealed.is_pending(found)
    comet.check(data)
    assert comet.sealed.is_pending(found)
    comet.block()
    comet.block()
    assert comet.sealed.is_pending(found)
    comet.seal()
    assert not comet.sealed.is_pending(found)


def test_records_are_those_of_the_sealed_height_and_proven(comet):
    snapshots = {0: comet.records()}
    for amount in (1, 2, 3):
        comet.do(account(0), pay_fresh(amount))
        snapshots[comet.tip.height] = comet.records()
    for height in (1, 2):
        assert comet.seal()
        kept = snapshots[height]
        rebuilt = MerkleMap({}, EMPTY_ROOT).update(kept)
        assert comet.sealed.last_header.header.state_root == rebuilt.root.digest
        keys = [*sorted(kept)[:40], b"account/none"]
        assert check_proofs(comet, keys) == [kept.get(key) for key in keys]
        for limit in (1, 2, 7, 1_000):
            assert dict(list_all(comet, b"", limit)) == kept
    again = comet.restart()
    assert dict(list_all(again, b"", 5)) == snapshots[2]
    assert check_proofs(again, sorted(snapshots[2])[:20])


def test_records_made_since_are_listed_only_once_they_are_sealed(comet):
    comet.block()
    fresh = [account(number).address for number in range(90, 98)]
    bodies = [Transfer(to=to, amount=7) for to in fresh]
    signer, nonce = account(0), comet.nonce(account(0))
    kept = comet.records()
    comet.block(*(comet.make(signer, body, nonce=nonce + n) for n, body in enumerate(bodies)))
    comet.seal()
    assert comet.sealed.get_items((get_account_key(FRESH),), prove=False)[0].value is None
    for limit in (1, 2, 3):
        assert dict(list_all(comet, b"account/", limit)).items() <= kept.items()
        assert len(list_all(comet, b"", limit)) == len(kept)
    comet.block()
    comet.seal()
    listed = dict(list_all(comet, b"account/", 3))
    assert {get_account_key(to) for to in fresh} <= listed.keys()


def test_many_records_made_since_are_passed_by_in_few_reads(comet, monkeypatch):
    comet.block()
    signer, nonce = account(0), comet.nonce(account(0))
    stem = b"\xde\xad" + bytes(17)
    bodies = [Transfer(to=make_address(stem + bytes([n])), amount=7) for n in range(200)]
    comet.block(*(comet.make(signer, body, nonce=nonce + n) for n, body in enumerate(bodies)))
    comet.seal()
    reads = []
    scan = type(comet.tip.records).scan
    monkeypatch.setattr(
        type(comet.tip.records), "scan", lambda *said: reads.append(said) or scan(*said)
    )
    assert comet.sealed.list_items(b"account/" + stem[:2], b"", 1) == ((), False)
    assert len(reads) < 10
    comet.block()
    comet.seal()
    assert len(list_all(comet, b"account/" + stem[:2], 3)) == 200


def test_escrows_opened_since_are_not_listed(comet):
    def fund(number):
        return FundEscrow(payee=account(2 + number).address, amount=FEE)

    comet.do(account(0), fund(0))
    comet.block()
    comet.seal()
    comet.do(account(0), fund(1))
    for who, count in ((account(0), 1), (account(2), 1), (account(3), 0)):
        items, more = comet.sealed.list_escrows(who.address, b"", 1)
        assert (len(items), more) == (count, False)
        assert all(item.value is not None for item in items)
    comet.block()
    comet.seal()
    comet.seal()
    items, more = comet.sealed.list_escrows(account(0).address, b"", 1)
    assert (len(items), more) == (1, True)


def test_escrows_are_listed_whole_among_many_opened_since(comet):
    def fund(numbers):
        signer, nonce = account(0), comet.nonce(account(0))
        bodies = [FundEscrow(payee=account(number).address, amount=FEE) for number in numbers]
        data = [comet.make(signer, body, nonce=nonce + n) for n, body in enumerate(bodies)]
        assert set(comet.block(*data)) == {"ok"}

    fund(range(2, 7))
    kept = [key for key in comet.records() if key.startswith(ESCROW)]
    fund(range(7, 17))
    comet.seal()
    for limit in range(1, 7):
        items, more = comet.sealed.list_escrows(account(0).address, b"", limit)
        assert ([item.key for item in items], more) == (sorted(kept)[:limit], limit < 5)


def test_followers_get_the_changes_of_every_sealed_block(comet):
    state = comet.records()
    for amount in range(1, 5):
        comet.do(account(0), pay_fresh(amount))
    comet.restart()
    while comet.seal():
        height = comet.sealed.height
        for change in comet.sealed.get_changes(height):
            state[change.key] = change.value
        stored = Comet.restart(comet).sealed.get_changes(height)
        assert {change.key: change.value for change in stored}.items() <= state.items()
    comet.block()
    comet.seal()
    for change in comet.sealed.get_changes(comet.sealed.height):
        state[change.key] = change.value
    assert state[get_account_key(FRESH)] == comet.records()[get_account_key(FRESH)]


def test_only_the_next_header_can_be_sealed(comet):
    for _ in range(3):
        comet.block()
    first = comet.sealed.get_unsealed_header()
    assert first.previous == comet.domain.genesis_hash
    comet.seal()
    second = comet.sealed.get_unsealed_header()
    assert second.previous == compute_header_hash(first)
    with pytest.raises(Misuse, match="not to be sealed next"):
        comet.sealed.make_rows(SignedHeader(header=first, seal=NO_SEAL))


def test_a_node_far_ahead_of_its_seals_answers_nobody_until_it_has_caught_up(monkeypatch):
    monkeypatch.setattr(tip_page, "UNSEALED_BLOCKS", 4)
    comet = Comet()
    for amount in range(1, 12):
        comet.do(account(0), pay_fresh(amount))
    assert len(comet.tip.unsealed) == 4
    for again in (comet, comet.restart()):
        with pytest.raises(Refusal) as refused:
            again.sealed.get_items((b"supply",), prove=True)
        assert refused.value.code == "full.catching-up"
    while comet.sealed.height < 6:
        assert comet.seal()
        assert comet.sealed.get_changes(comet.sealed.height) is None
        assert comet.sealed.get_header(comet.sealed.height)
    assert comet.seal()
    assert comet.sealed.height == 7
    assert check_proofs(comet, [get_account_key(FRESH), b"supply"])
    while comet.seal():
        assert comet.sealed.get_changes(comet.sealed.height)


def test_a_node_answers_until_it_is_more_than_256_blocks_ahead_of_its_seals(comet):
    comet.block()
    comet.block()
    comet.seal()
    while comet.tip.height < comet.sealed.height + 256:
        comet.block()
    assert check_proofs(comet, [b"supply"])
    comet.block()
    with pytest.raises(Refusal, match="proof of height 1 only, and is at 258"):
        comet.sealed.get_items((b"supply",), prove=True)


def test_old_changes_are_forgotten_while_seals_come_too_late_for_new_ones(monkeypatch):
    monkeypatch.setattr(tip_page, "UNSEALED_BLOCKS", 4)
    comet = Comet(settings=AdapterSettings(keep_changes=3))
    for _ in range(6):
        comet.do(account(0), PAY)
        comet.seal()
    for _ in range(9):
        comet.do(account(0), PAY)
    while comet.seal():
        oldest = tables.height_key(comet.sealed.height - 2)
        assert all(key >= oldest for key in dump(comet.store)[tables.CHANGES])


def test_blocks_that_change_very_much_are_held_back_as_many_blocks_are(monkeypatch):
    monkeypatch.setattr(tip_page, "UNSEALED_RECORDS", 9)
    comet = Comet()
    for amount in range(1, 12):
        comet.do(account(0), pay_fresh(amount))
        # Two accounts and the supply each; the last block can always be taken back.
        assert sum(len(block.keys) for block in comet.tip.unsealed) <= 9 + 3
    assert [block.header.height for block in comet.tip.unsealed] == [8, 9, 10, 11]
    with pytest.raises(Refusal) as refused:
        comet.restart().sealed.get_items((b"supply",), prove=True)
    assert refused.value.code == "full.catching-up"
    while comet.seal():
        pass
    assert comet.sealed.height == 10
    assert check_proofs(comet, [get_account_key(FRESH), b"supply"])


def test_a_node_that_can_take_nothing_more_back_says_so_and_seals_on(monkeypatch):
    monkeypatch.setattr(tip_page, "UNSEALED_RECORDS", 0)
    comet = Comet()
    for _ in range(4):
        comet.do(account(0), PAY)
    comet.store.commit(comet.tip.make_rollback_rows())
    comet.restart()
    with pytest.raises(Refusal, match="height 3 cannot be taken back") as refused:
        comet.tip.make_rollback_rows()
    assert refused.value.code == "consensus.cannot-undo"
    while comet.seal():
        pass
    assert comet.sealed.height == 2
    with pytest.raises(Refusal) as refused:
        comet.sealed.get_items((b"supply",), prove=True)
    assert refused.value.code == "full.catching-up"
    comet.do(account(0), PAY)
    assert comet.seal()
    assert check_proofs(comet, [b"supply"])


@pytest.mark.parametrize("dies", [False, True])
def test_nodes_that_no_root_reaches_are_forgotten_with_the_next_seal(comet, dies):
    left = 0
    for _ in range(6):
        comet.do(account(0), PAY)
        held = len(comet.store.scan(tables.NODE, b"", b"", 1_000_000))
        fresh = MerkleMap({}, EMPTY_ROOT).update(comet.records())
        assert held == len(fresh.new_nodes) + left + sum(
            len(block.stale) for block in comet.tip.unsealed
        )
        first = comet.tip.unsealed[0]
        if dies:
            comet.restart()
        if comet.seal():
            left = len(first.stale)


def test_what_is_told_is_proven_while_the_next_seal_is_on_its_way_to_the_disk(comet):
    """A seal is written in a thread of its own: who asks meanwhile ended the process."""
    for _ in range(3):
        comet.do(account(0), PAY)
    comet.seal()
    for again in (comet.restart(), comet):
        told, keys = again.sealed.last_header, sorted(again.records())
        values = check_proofs(again, keys[:1]) and again.sealed.get_items(tuple(keys), prove=False)
        again.restart()  # nothing is held in memory
        signed = SignedHeader(header=again.sealed.get_unsealed_header(), seal=NO_SEAL)
        again.store.commit(again.sealed.make_rows(signed))
        assert again.sealed.last_header == told
        assert check_proofs(again, keys) == [item.value for item in values]
        again.sealed.advance(signed)
        check_proofs(again, keys)
        again.do(account(0), PAY)


def test_what_is_told_is_proven_while_the_next_block_is_on_its_way_to_the_disk():
    told = []

    def write(rows):
        if comet.sealed.height:
            keys = sorted(comet.records())
            before = check_proofs(comet, keys)
            comet.store.commit(rows)
            assert check_proofs(comet, keys) == before
            told.append(comet.tip.height - comet.sealed.height)
        else:
            comet.store.commit(rows)

    # Nearly nothing is held in memory.
    comet = Comet(write=write, settings=AdapterSettings(cached_nodes=1, cached_records=1))
    for _ in range(4):
        comet.do(account(0), PAY)
        comet.seal()
    comet.store.commit(comet.tip.make_rollback_rows())
    comet.restart().decided.pop()
    comet.do(account(0), PAY)
    assert told == [1, 1, 0]


# Taking back


def dump(store):
    return {table: dict(store.scan(table, b"", b"", 1_000_000)) for table in tables.TABLES}


def test_the_last_block_can_be_taken_back_to_the_byte(comet):
    comet.do(account(0), PAY)
    before, info = dump(comet.store), comet.info()
    comet.check(comet.make(account(0), pay_fresh(3)))
    comet.check(comet.make(account(2), PAY))
    block = comet.propose()
    comet.decide(block)
    after, said = dump(comet.store), comet.info()
    comet.store.commit(comet.tip.make_rollback_rows())
    comet.tip.load()
    assert dump(comet.store) == before
    assert comet.info() == info
    comet.finalize(block)
    comet.commit()
    assert (dump(comet.store), comet.info()) == (after, said)


def test_a_block_that_made_many_tree_nodes_is_taken_back_to_the_byte(comet, monkeypatch):
    monkeypatch.setattr(undo, "_SCAN", 2)
    before = dump(comet.store)
    bodies = [Transfer(to=account(number).address, amount=7) for number in range(90, 190)]
    comet.block(*(comet.make(account(0), body, nonce=n) for n, body in enumerate(bodies)))
    made = dump(comet.store)[tables.NODE].keys() - before[tables.NODE].keys()
    assert len(made) > 5
    comet.store.commit(comet.tip.make_rollback_rows())
    assert dump(comet.store) == before


def test_a_sealed_block_cannot_be_taken_back(comet):
    with pytest.raises(Refusal, match="height 0 cannot"):
        comet.tip.make_rollback_rows()
    comet.block()
    comet.block()
    comet.seal()
    comet.store.commit(comet.tip.make_rollback_rows())
    comet.tip.load()
    assert (comet.tip.height, comet.sealed.height) == (1, 1)
    assert comet.sealed.get_unsealed_header() is None
    assert check_proofs(comet, [b"supply"])
    with pytest.raises(Refusal) as refused:
        comet.tip.make_rollback_rows()
    assert refused.value.code == "consensus.cannot-undo"


def test_the_outcome_of_an_earlier_block_stays_when_one_that_repeats_it_is_taken_back(comet):
    """No honest proposer repeats what was paid for; whoever does changes nothing by it."""
    data = comet.make(account(0), PAY)
    assert comet.block(data) == ["ok"]
    before = dump(comet.store)
    comet.decide(comet.make_block((data,)))
    assert dump(comet.store)[tables.OUTCOME] == before[tables.OUTCOME]
    comet.store.commit(comet.tip.make_rollback_rows())
    assert dump(comet.store) == before


@pytest.mark.parametrize(
    ("table", "key"), [(tables.META, get_undo_key(2)), (tables.BLOCK, tables.height_key(2))]
)
def test_a_store_that_lost_what_a_block_replaced_takes_nothing_back(comet, table, key):
    comet.do(account(0), PAY)
    comet.do(account(0), PAY)
    comet.store.commit([(table, key, None)])
    before = dump(comet.store)
    with pytest.raises(Fault) as caught:
        comet.tip.make_rollback_rows()
    assert (caught.value.code, caught.value.retryable) == ("store.corrupt", False)
    assert dump(comet.store) == before


@pytest.mark.parametrize("has_other", [False, True])
def test_a_store_that_lost_its_header_is_named(comet, has_other):
    comet.do(account(0), PAY)
    other = encode(comet.tip.header) if has_other else None
    comet.do(account(0), PAY)
    comet.store.commit([(tables.META, get_header_key(2), other)])
    with pytest.raises(Fault, match="height 2") as caught:
        comet.restart()
    assert caught.value.code == "store.corrupt"


def test_a_header_that_was_lost_before_its_seal_came_is_named(comet):
    for _ in range(3):
        comet.block()
    comet.store.commit([(tables.META, get_header_key(1), None)])
    with pytest.raises(Fault, match="height 1") as caught:
        comet.seal()
    assert caught.value.code == "store.corrupt"


# Strangers' questions


def ask(comet, path, data=b"", **said):
    return comet.adapter.query(RequestQuery(path=path, data=data, **said))


def test_strangers_are_answered_for_the_sealed_height(comet):
    data = comet.make(account(0), PAY)
    comet.block(data)
    comet.block()
    comet.seal()
    key = get_account_key(account(0).address)
    said = ask(comet, "state", key, prove=True)
    assert (said.code, said.height, said.key) == (0, 1, key)
    (proof,) = said.proof_ops.ops
    proven = decode_document(StateProof, proof.data, limit_bytes=1 << 20)
    root = comet.sealed.last_header.header.state_root
    assert check_state_proof(root, key, proven) == said.value
    assert ask(comet, "state", key, height=1).proof_ops is None
    header = ask(comet, "header").value
    assert decode(SignedHeader, header, limit_bytes=1 << 20) == comet.sealed.last_header
    assert ask(comet, "header", bytes(7) + b"\x01").value == header
    outcome = ask(comet, "outcome", compute_transaction_hash(data)).value
    assert decode(Outcome, outcome, limit_bytes=100).code == "ok"
    assert ask(comet, "outcome", bytes(32)).value == b""


def test_bad_questions_are_refused_by_name(comet):
    assert ask(comet, "state", b"supply").codespace == "abci.nothing-sealed"
    comet.block()
    comet.block()
    comet.seal()
    for said, code in (
        (ask(comet, "nowhere"), "abci.unknown-path"),
        (ask(comet, "state"), "abci.bad-key"),
        (ask(comet, "state", bytes(1_000)), "abci.bad-key"),
        (ask(comet, "header", b"1"), "abci.bad-height"),
        (ask(comet, "outcome", b"1"), "primitive.bad-length"),
        (ask(comet, "state", b"supply", height=9), "abci.other-height"),
    ):
        assert (said.code, said.codespace) == (1, code)
