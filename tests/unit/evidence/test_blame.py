"""The decision table of `CUSTODY-1`, row by row. Branch n is due at height 50 + n."""

import msgspec
import pytest

from probatum.errors import Refusal
from probatum.evidence.blame import assign_blame, assign_blame_to_records
from probatum.protocol.records import KeyRecord
from tests.factories import GATEWAY, NODES, make_bundle, make_receipt, make_release

A, B, C = NODES[:3]
EARLY, LATE = 50, 60


def tree(*acknowledged):
    return tuple(zip((A, B, C), acknowledged, strict=False))


@pytest.mark.parametrize(
    ("branches", "answered", "height", "status", "party"),
    [
        # release answered
        (tree(True), 0, EARLY, "kept", None),
        (tree(True), 0, LATE, "kept", None),
        (tree(False, True), 1, LATE, "kept", None),
        (tree(True, True), 1, EARLY, "open", None),
        (tree(True, True), 1, LATE, "covered", A),
        (tree(True, True), 0, LATE, "covered", B),
        (tree(True, True, True), 2, LATE, "covered", B),
        (tree(True, True, True), 2, 51, "covered", A),
        (tree(True, False, True), 2, LATE, "covered", A),
        # release failed
        (tree(True), None, EARLY, "open", None),
        (tree(True), None, 51, "lost", A),
        (tree(True, True), None, 51, "open", None),
        (tree(True, True), None, LATE, "lost", B),
        (tree(True, False), None, LATE, "lost", A),
        (tree(False), None, EARLY, "undetermined", None),
        (tree(False, False), None, LATE, "undetermined", None),
    ],
)
def test_the_table(branches, answered, height, status, party):
    made = make_bundle(branches, answered, failed=answered is None)
    blame = assign_blame(made.data, height)
    assert (blame.status, blame.party) == (status, party.party if party else None)
    assert blame.reason
    assert len(blame.branches) == len(branches)


def test_a_height_that_stands_still_passes_no_deadline():
    made = make_bundle(tree(True), failed=True)
    assert {assign_blame(made.bundle, 50).status for _ in range(3)} == {"open"}
    assert assign_blame(made.bundle, 0).status == "open"


def test_without_a_release_the_gateway_is_accountable_once_every_deadline_passed():
    custody = make_bundle(tree(True, True)).bundle.custody
    assert assign_blame_to_records(custody, 51).status == "open"
    blame = assign_blame_to_records(custody, 52)
    assert (blame.status, blame.party) == ("lost", GATEWAY.party)
    never = make_bundle(tree(False), failed=True).bundle.custody
    assert assign_blame_to_records(never, 51).party == GATEWAY.party


def test_loose_records_with_a_failed_release_are_judged_as_a_bundle():
    bundle = make_bundle(tree(True), failed=True).bundle
    loose = assign_blame_to_records(bundle.custody, LATE, release=bundle.release)
    assert loose == assign_blame(bundle, LATE)
    answered = make_bundle(tree(True)).bundle
    with pytest.raises(Refusal, match=r"blame\.no-receipt"):
        assign_blame_to_records(answered.custody, LATE, release=answered.release)


def test_a_node_that_shows_its_receipt_contests():
    made = make_bundle(tree(True, True), failed=True)
    shown = make_receipt(made.facts, B, made.bundle.custody[1])
    blame = assign_blame(made.data, LATE, answers=(shown,))
    assert (blame.status, blame.party) == ("undetermined", None)
    assert [finding.status for finding in blame.branches] == ["lapsed", "contested"]
    covered = make_bundle(tree(True, True), 1)
    shown = make_receipt(covered.facts, A, covered.bundle.custody[0])
    assert assign_blame(covered.data, LATE, answers=(shown,)).status == "kept"


def test_a_receipt_that_does_not_hold_contests_nothing():
    made = make_bundle(tree(True), failed=True)
    other = make_receipt(made.facts, B, made.bundle.custody[0])
    with pytest.raises(Refusal, match=r"receipt\.wrong-node"):
        assign_blame(made.data, LATE, answers=(other,))


def test_a_node_that_answered_under_another_hand_over_kept_its_word():
    made = make_bundle(((A, True), (A, True)), 1)
    assert assign_blame(made.data, LATE).status == "kept"


def test_records_that_do_not_hold_blame_nobody():
    made = make_bundle(tree(True), failed=True)
    forged = make_release(made.facts, made.bundle.custody, None, None, gateway=A)
    with pytest.raises(Refusal, match=r"dsse\.key-id"):
        assign_blame(made.with_(release=forged), LATE)


def own(*actors, **changes):
    records = {}
    for actor in actors:
        record = KeyRecord(account=actor.account, registered_at=1, retired_at=None)
        records[actor.signer.key] = msgspec.structs.replace(record, **changes)
    return records


def test_a_verdict_says_whether_keys_are_their_parties():
    made = make_bundle(tree(True, False), failed=True)
    assert not assign_blame(made.data, LATE).proven
    blame = assign_blame(made.data, LATE, owners=own(GATEWAY, A))
    assert (blame.proven, blame.party) == (True, A.party)
    custody, release = made.bundle.custody, made.bundle.release
    loose = assign_blame_to_records(custody, LATE, release=release, owners=own(GATEWAY, A))
    assert loose == blame


@pytest.mark.parametrize(
    ("owners", "code"),
    [
        (own(GATEWAY), "receipt.unknown-key"),
        (own(A), "receipt.unknown-key"),
        (own(GATEWAY) | own(A, account=B.account), "receipt.wrong-account"),
        (own(GATEWAY) | own(A, retired_at=1), "receipt.retired-key"),
    ],
)
def test_records_in_anothers_name_blame_nobody(owners, code):
    # Anybody can sign as node and gateway with two keys of his own, in whoever's name.
    made = make_bundle(tree(True), failed=True)
    with pytest.raises(Refusal) as caught:
        assign_blame(made.data, LATE, owners=owners)
    assert caught.value.code == code
