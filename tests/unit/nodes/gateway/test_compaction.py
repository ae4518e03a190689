import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from probatum.nodes.gateway import compaction
from probatum.nodes.gateway.bundle_store import BundleStore
from probatum.nodes.gateway.journal_records import (
    ChargedRecord,
    GivenUpRecord,
    Paid,
    ReleasedRecord,
    SettledRecord,
)
from probatum.protocol.encoding import encode
from probatum.protocol.primitives import make_request_id


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


def test_what_was_charged_is_kept_with_how_it_ended():
    journal = [charged(1), released(2), charged(3), settled(1), settled(2), given_up(3)]
    assert compact(journal, 0) == [charged(1), charged(3), settled(1), given_up(3)]


@given(
    st.lists(st.tuples(st.sampled_from("rsgfc"), st.integers(0, 6)), max_size=40),
    st.integers(0, 2_000),
)
def test_a_gateway_built_from_what_is_left_holds_what_it_would_hold_anyway(steps, kept_bytes):
    journal, seen = [], set()
    for kind, number in steps:
        if kind in "rfc":
            if number in seen:
                continue
            seen.add(number)
            made = charged(number) if kind == "c" else released(number, answered=kind == "r")
            journal.append(made)
        elif number in seen:
            journal.append(settled(number) if kind == "s" else given_up(number))
    whole, left = (BundleStore(pending_limit=100, final_bytes=kept_bytes) for _ in range(2))
    whole.recover(tuple(journal))
    left.recover(tuple(compact(journal, 10 * kept_bytes)))
    assert left.list_pending() == whole.list_pending()
    assert [left.get(name(n)) for n in range(7)] == [whole.get(name(n)) for n in range(7)]
