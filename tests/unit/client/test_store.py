import stat

import pytest

from probatum.client.store import Contents, ReceiptStore
from probatum.errors import Fault, Refusal
from tests.factories import INPUTS, OUTPUTS, REQUEST_ID, SALT, make_bundle

CONTENTS = Contents(
    gateway="http://127.0.0.1:1",
    model="m",
    version=None,
    salt=SALT,
    inputs=INPUTS,
    outputs=OUTPUTS,
)
PENDING, SETTLED = make_bundle(settled=False).data, make_bundle().data


def test_what_is_kept_is_found_again(tmp_path):
    store = ReceiptStore(tmp_path / "a" / "b")
    assert store.list() == ()
    store.keep(REQUEST_ID, PENDING, CONTENTS)
    again = ReceiptStore(str(tmp_path / "a" / "b"))
    assert again.load_bundle(REQUEST_ID) == PENDING
    assert again.load_contents(REQUEST_ID) == CONTENTS
    assert [entry.stand for entry in again.list()] == ["pending"]
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    names = {path.name for path in again.folder.iterdir()}
    assert names == {f"{REQUEST_ID}.bundle.json", f"{REQUEST_ID}.contents"}, "no drafts are left"


def test_a_settled_bundle_takes_the_pending_ones_place_and_keeps_it(tmp_path):
    store = ReceiptStore(tmp_path)
    store.keep(REQUEST_ID, PENDING, CONTENTS)
    store.keep(REQUEST_ID, SETTLED, None)
    assert store.load_contents(REQUEST_ID) == CONTENTS
    store.keep(REQUEST_ID, PENDING, None)
    assert store.load_bundle(REQUEST_ID) == SETTLED


def test_pending_receipts_are_not_thrown_away(tmp_path):
    """`RECEIPT-1`: until inclusion is proven this copy may be all there is."""
    store = ReceiptStore(tmp_path)
    store.keep(REQUEST_ID, PENDING, CONTENTS)
    with pytest.raises(Refusal, match=r"store\.still-pending"):
        store.remove(REQUEST_ID)
    store.remove(REQUEST_ID, even_pending=True)
    assert list(tmp_path.iterdir()) == []
    store.keep(REQUEST_ID, make_bundle(failed=True).data, CONTENTS)
    assert store.list()[0].stand == "failed"
    store.remove(REQUEST_ID)
    with pytest.raises(Refusal, match=r"store\.unknown-request"):
        store.remove(REQUEST_ID)


def test_what_is_no_bundle_is_neither_kept_nor_listed(tmp_path):
    store = ReceiptStore(tmp_path)
    with pytest.raises(Refusal, match=r"encoding\.malformed"):
        store.keep(REQUEST_ID, b"{", CONTENTS)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "readme.bundle.json").write_text("{}")
    (tmp_path / f"{REQUEST_ID}.bundle.json").write_text("{}")
    assert store.list() == ()


def test_a_request_id_cannot_climb_out_of_the_folder(tmp_path):
    with pytest.raises(Refusal, match=r"primitive\.bad-request-id"):
        ReceiptStore(tmp_path).keep("../../../../x", PENDING, None)
    with pytest.raises(Refusal, match=r"primitive\.bad-request-id"):
        ReceiptStore(tmp_path).load_contents("/etc/passwd")


def test_a_folder_that_cannot_be_is_a_fault(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Fault, match=r"store\.cannot"):
        ReceiptStore(tmp_path / "file").keep(REQUEST_ID, PENDING, None)


def test_contents_that_were_cut_are_refused(tmp_path):
    store = ReceiptStore(tmp_path)
    store.keep(REQUEST_ID, PENDING, CONTENTS)
    path = tmp_path / f"{REQUEST_ID}.contents"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Refusal, match=r"encoding\.malformed"):
        store.load_contents(REQUEST_ID)
