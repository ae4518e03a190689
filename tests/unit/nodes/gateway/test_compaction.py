import signal
import subprocess
import sys
import tracemalloc
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from probatum.client.ledger_view import LedgerView
from probatum.nodes.gateway import compaction
from probatum.nodes.gateway.bundle_store import BundleStore
from probatum.nodes.gateway.journal_records import (
    ChargedRecord,
    Cost,
    GivenUpRecord,
    Paid,
    ReleasedRecord,
    SettledRecord,
    SpentRecord,
)
from probatum.nodes.gateway.settings import GatewaySettings
from probatum.nodes.gateway.spending import Spending
from probatum.nodes.gateway.till import Till
from probatum.nodes.shell.journal import open_journal
from probatum.protocol.encoding import encode
from probatum.protocol.primitives import make_request_id
from probatum.protocol.trust import KeyTrust
from probatum.protocol.vouchers import SignedVoucher, Voucher
from tests.chain import account, key


def name(number):
    return make_request_id(number.to_bytes(16, "big"))


def released(number, *, answered=True):
    return encode(ReleasedRecord(request_id=name(number), bundle=b"{}" * 50, answered=answered))


def settled(number):
    return encode(SettledRecord(request_id=name(number), settlement=b"{}" * 20))


def given_up(number):
    return encode(GivenUpRecord(request_id=name(number), code="receipt.left-out"))


def charged(number):
    paid = Paid(price_units=3, caller="key:x")
    return encode(ChargedRecord(request_id=name(number), bundle=b"{}" * 50, paid=paid))


def compact(journal, kept_bytes):
    return list(compaction.compact(lambda: iter(journal), kept_bytes=kept_bytes))


def test_what_is_pending_is_kept_whatever_its_size():
    journal = [released(number) for number in range(50)]
    assert compact(journal, 0) == journal


def test_of_the_others_the_last_to_end_are_kept():
    journal = [released(1), released(2), released(3, answered=False), released(4)]
    journal += [settled(2), given_up(1), released(5)]
    assert sorted(compact(journal, 10**9)) == sorted(journal)
    assert compact(journal, 0) == [released(4), released(5)]
    one = len(released(1)) + len(given_up(1))
    assert compact(journal, one) == [released(4), released(1), given_up(1), released(5)]


def test_a_long_journal_is_not_held_in_memory():
    count = 10_000

    def read():
        for number in range(count):
            yield released(number)
            yield settled(number)

    size = sum(map(len, read()))
    tracemalloc.start()
    left = sum(1 for _ in compaction.compact(read, kept_bytes=size // 4))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert left == count // 2
    assert most < size / 20


def spent(units):
    return encode(SpentRecord(caller="key:x", spent_units=units))


def test_of_old_requests_what_they_charged_is_left():
    journal = [charged(1), released(2), charged(3), charged(4), settled(1), given_up(3)]
    # What waits for its settlement counts by itself, and again when it went.
    assert compact(journal, 0) == [spent(6), released(2), charged(4)]
    last = compact(journal, len(charged(3)) + len(given_up(3)))
    assert last == [spent(3), released(2), charged(4), charged(3), given_up(3)]
    again = compact([*compact(journal, 0), settled(4), charged(5)], 0)
    assert again == [spent(9), released(2), charged(5)]
    assert compact([], 0) == []


VIEW = LedgerView()
SETTINGS = GatewaySettings(
    operator=account(0).address,
    signer=key(0),
    trust=KeyTrust(
        format="probatum-trust/1",
        chain_id=7,
        genesis_hash="ab" * 32,
        engine="embedded",
        key=key(9).key.hex(),
    ),
    ledger="http://ledger",
)


def recover(journal):
    """What a gateway knows of money after a start: tabs, budgets, what it bought."""
    till, spending = Till(SETTINGS, VIEW), Spending(SETTINGS, VIEW)

    def take(record):
        till.recover(record)
        spending.recover(record)

    store = BundleStore(pending_limit=10_000, final_bytes=10**9)
    store.recover(journal, take)
    return list(till.tabs), till._spent, spending._earlier, store.list_pending()


class Market:
    """Writes the journal of a gateway with two payers, two API keys and two nodes."""

    def __init__(self):
        self.journal, self.open, self.count = [], [], 0
        self.vouchers = {b"a" * 32: [0], b"b" * 32: [0]}
        self.charged = dict.fromkeys(self.vouchers, 0)
        self.bought = dict.fromkeys((b"c" * 32, b"d" * 32), 0)

    @classmethod
    def resume(cls, journal):
        """Go on after a journal of charges of 1 unit each to `PAYERS` by node `c`."""
        made = cls()
        tabs, budgets, _, pending = recover(journal)
        for tab in tabs:
            made.charged[tab.escrow] = tab.charged_units
            made.vouchers[tab.escrow] = [voucher.voucher.total_units for voucher in tab.vouchers]
        made.count = sum(made.charged.values()) + budgets.get("key:x", 0)
        made.bought[b"c" * 32] = made.count
        waiting = {request_id for request_id, _ in pending}
        made.open = [n for n in range(1, made.count + 1) if name(n) in waiting]
        return made

    def charge(self, payer, node, price, ahead):
        """Answer a request: its payer signed `ahead` more than needed, and perhaps more often."""
        self.count += 1
        if payer in self.vouchers:
            total = self.charged[payer] = self.charged[payer] + price
            signed = self.vouchers[payer]
            if signed[-1] < total:
                signed.append(total + ahead)
            if ahead % 3 == 2:
                signed.append(signed[-1] + ahead)
            least = next(units for units in signed if units >= total)
            voucher = Voucher(escrow=payer, total_units=least, last_request=name(self.count))
            voucher = SignedVoucher(voucher=voucher, signature=bytes(65))
            paid = Paid(price_units=price, running_total_units=total, voucher=voucher)
        else:
            paid = Paid(price_units=price, caller=payer)
        cost = None
        if node:
            self.bought[node] += price
            cost = Cost(escrow=node, price_units=price, running_total_units=self.bought[node])
        bundle = b"bundle %d" % self.count + bytes(100)
        record = ChargedRecord(request_id=name(self.count), bundle=bundle, paid=paid, cost=cost)
        self.journal.append(encode(record))
        self.open.append(self.count)

    def end(self, number):
        if self.open:
            ended = self.open.pop(number % len(self.open))
            self.journal.append(settled(ended) if number % 4 else given_up(ended))


STEPS = st.lists(
    st.tuples(
        st.sampled_from((b"a" * 32, b"b" * 32, "key:x", "key:y", None, "compact")),
        st.sampled_from((b"c" * 32, b"d" * 32, None)),
        st.integers(1, 9),
        st.integers(0, 9),
    ),
    max_size=60,
)


@given(STEPS, st.sampled_from((0, 200, 2_000)))
def test_no_charge_is_lost_and_none_counts_twice_however_often_it_is_compacted(steps, kept_bytes):
    """PAY-1: a tab, a budget and what was bought are what all charges together make of them."""
    market, kept, seen = Market(), [], 0
    for payer, node, price, ahead in steps:
        if payer == "compact":
            kept += market.journal[seen:]
            seen = len(market.journal)
            kept = compact(kept, kept_bytes)
        elif payer is None:
            market.end(price * ahead)
        else:
            market.charge(payer, node, price, ahead)
    kept += market.journal[seen:]
    assert recover(kept) == recover(market.journal)
    assert recover(compact(kept, kept_bytes)) == recover(market.journal)


WRITER = """
import os
import signal
import sys
from pathlib import Path
from probatum.nodes.gateway.compaction import compact
from probatum.nodes.shell.journal import open_journal
from tests.unit.nodes.gateway.test_compaction import Market, PAYERS
journal, recovered = open_journal(Path(sys.argv[1]))
market = Market.resume(recovered.records)
left = int(sys.argv[2])
def compact_and_die(read):
    global left
    for record in compact(read, kept_bytes=2_000):
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        yield record
journal.keep_compact(compact_and_die, from_bytes=6_000)
while True:
    before = len(market.journal)
    market.charge(PAYERS[market.count % 3], b"c" * 32, 1, market.count % 5)
    if len(market.open) > 5:
        market.end(market.count)
    journal.append(market.journal[before:])
    print(market.count, flush=True)
"""
PAYERS = (b"a" * 32, b"b" * 32, "key:x")


def test_charges_survive_kill_9_while_they_are_compacted(tmp_path):
    """PAY-1: whatever a crash interrupts, all that was written down is still charged, once."""
    path, told = tmp_path / "journal", 0
    for records in (0, 25, 61):
        command = [sys.executable, "-c", WRITER, str(path), str(records)]
        died = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=False)
        assert died.returncode == -signal.SIGKILL
        # It died with half a journal beside the whole one.
        assert path.with_name("journal.new").exists()
        lines = died.stdout.splitlines()
        journal, recovered = open_journal(path)
        journal.close()
        tabs, budgets, bought, pending = recover(recovered.records)
        count = sum(tab.charged_units for tab in tabs) + budgets.get("key:x", 0)
        # The last one was written down; it died before it could say so.
        assert count == int(lines[-1]) + 1 if lines else count == told
        assert list(bought.values()) == [(count, count)]
        assert 0 < len(pending) <= 12
        told = count
    assert told > 60


def test_the_journal_of_a_priced_network_stays_small(tmp_path):
    """PAY-1: what is left of ten thousand charges is what their sums and the last of them take."""
    path, market = tmp_path / "journal", Market()
    journal, _ = open_journal(path)
    journal.keep_compact(partial(compaction.compact, kept_bytes=20_000), from_bytes=50_000)
    sizes = []
    for _ in range(100):
        before = len(market.journal)
        for _ in range(100):
            market.charge(PAYERS[market.count % 3], b"c" * 32, 1, market.count % 5)
            if len(market.open) > 5:
                market.end(market.count)
        journal.append(market.journal[before:])
        sizes.append(path.stat().st_size)
    journal.close()
    written = sum(map(len, market.journal))
    assert written > 2_500_000
    assert max(sizes) < 80_000
    reopened, recovered = open_journal(path)
    reopened.close()
    assert recover(recovered.records) == recover(market.journal)
