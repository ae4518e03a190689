"""`BUNDLE-1`: what a stranger checks, and that each step can fail."""

import msgspec
import pytest
from msgspec.structs import replace as change

from probatum.consensus.trusting import make_header_check
from probatum.errors import Refusal
from probatum.evidence.receipt import (
    check_bundle,
    check_contents,
    check_inputs,
    check_outputs,
    check_pending,
    check_records,
)
from probatum.evidence.settlement import encode_header
from probatum.protocol import limits
from probatum.protocol.bundles import decode_bundle
from probatum.protocol.dsse import compute_key_id, decode_payload, sign_envelope
from probatum.protocol.primitives import make_salt
from probatum.protocol.receipts import LogPosition
from probatum.protocol.records import get_key_key
from probatum.protocol.tensors import make_tensor_head
from probatum.protocol.trust import check_chain
from tests.factories import (
    GATEWAY,
    GENESIS_HASH,
    INPUTS,
    LEDGER,
    NODES,
    OUTPUTS,
    SALT,
    Actor,
    make_bundle,
    make_check,
    make_facts,
    make_handover,
    make_header,
    make_receipt,
    make_release,
    make_state,
    make_tensor,
    make_trust,
    sign_header,
)
from tests.light_chain import PERIOD_MS, LightChain, get_now_ms, make_voters

CHECK = make_check(make_trust())
AGREED = {"price_units": 7}
PRICED = {"price_units": 7, "escrow": "ab" * 32, "running_total_units": 7}
THIEF = Actor("inference", 66)


def refuse(data, check=CHECK):
    with pytest.raises(Refusal) as caught:
        check_bundle(data, check)
    return caught.value.code


def standing(verified, standing):
    return " ".join(line.text for line in verified.checks if line.standing == standing)


def test_a_settled_bundle_passes_and_says_what_was_checked():
    made = make_bundle()
    verified = check_bundle(made.data, CHECK)
    assert verified.receipt.request == made.facts
    assert verified.settlement.log.size == 5
    assert verified.receipt_digest.hex() == verified.release.receipt
    assert "in time" in standing(verified, "checked")
    assert "Whether the answer is right" in standing(verified, "not checked")
    assert "The content" in standing(verified, "not checked")
    assert "embedded engine" in standing(verified, "warning")
    assert {line.clause for line in verified.checks} >= {"PROTO-1", "CUSTODY-1", "RECEIPT-1"}


def test_any_one_bit_changed_is_refused():
    """For every bit: that is what canonical encodings, signatures and proofs are for."""
    good = make_bundle().data
    data = bytearray(good)
    passed = []
    for bit in range(8 * len(good)):
        data[bit >> 3] ^= 1 << (bit & 7)
        try:
            check_bundle(bytes(data), CHECK)
        except Refusal:
            pass
        else:
            passed.append(bit)
        data[bit >> 3] ^= 1 << (bit & 7)
    assert passed == []
    assert bytes(data) == good, "the loop has changed one bit at a time"


def test_bytes_more_or_less_are_refused():
    good = make_bundle().data
    for data in (good + b" ", b" " + good, good[:-1], good[1:], b"", good + good):
        assert refuse(data).startswith("encoding.")
    assert refuse(b"[" * limits.BUNDLE_BYTES) == "encoding.malformed"
    assert refuse(b" " * (limits.BUNDLE_BYTES + 1)) == "encoding.too-large"


def test_a_node_that_never_acknowledged_is_only_named():
    made = make_bundle(branches=((NODES[0], False), (NODES[1], True)))
    verified = check_bundle(made.data, CHECK)
    assert len(verified.settlement.keys) == 1
    assert "1 node(s) never acknowledged" in standing(verified, "not checked")


def test_one_branch_and_a_log_of_one_entry_pass():
    made = make_bundle(
        branches=((NODES[2], True),), log_size=3, receipt_changes=PRICED, handover_changes=AGREED
    )
    assert check_bundle(made.data, CHECK).receipt.price_units == 7


def test_what_is_charged_is_told_and_no_more_than_was_agreed():
    release = {**PRICED, "price_units": 9, "running_total_units": 20}
    made = make_bundle(receipt_changes=PRICED, release_changes=release, handover_changes=AGREED)
    verified = check_bundle(made.data, CHECK)
    assert "charged the gateway 7 units (7 in all)" in standing(verified, "checked")
    assert "gateway charged 9 units (20 in all)" in standing(verified, "checked")
    assert "running totals" in standing(verified, "not checked")
    less = {"price_units": 6}
    cheated = make_bundle(receipt_changes=PRICED, handover_changes=less)
    assert refuse(cheated.data) == "receipt.overcharged"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"key": Actor("x", 3).signer.key.hex()}, "trust.other-key"),
        ({"chain_id": 9}, "trust.other-chain"),
        ({"genesis_hash": "00" * 32}, "trust.other-chain"),
    ],
)
def test_another_trust_is_refused(changes, code):
    assert refuse(make_bundle().data, make_check(make_trust(**changes))) == code


def test_networks_with_one_chain_id_are_told_apart_by_genesis():
    with pytest.raises(Refusal) as caught:
        check_chain(make_trust(genesis_hash="00" * 32), make_header(1, GENESIS_HASH).header)
    assert "0" * 16 in caught.value.message
    assert GENESIS_HASH.hex()[:16] in caught.value.message


def test_a_pending_bundle_is_not_settled():
    data = make_bundle(settled=False).data
    assert refuse(data) == "receipt.not-settled"
    verified = check_pending(data)
    assert verified.settlement is None
    assert "not settled yet" in standing(verified, "not checked")


def test_a_settled_bundle_passes_as_pending_too():
    assert check_pending(make_bundle().data).receipt == check_pending(make_bundle().data).receipt


def test_a_failed_request_has_records_but_no_receipt():
    made = make_bundle(failed=True)
    assert refuse(made.data) == "receipt.failed-request"
    with pytest.raises(Refusal, match=r"receipt\.failed-request"):
        check_pending(made.data)
    records = check_records(made.bundle)
    assert records.receipt is None
    assert records.release.reason == "gateway.no-answer"


def test_receipt_and_release_must_agree():
    whole, failed = make_bundle(), make_bundle(failed=True)
    assert refuse(whole.with_(release=failed.bundle.release)) == "receipt.wrong-release"
    assert refuse(whole.with_(receipt=None)) == "receipt.absent"
    assert refuse(failed.with_(settlement=whole.bundle.settlement)) == "receipt.absent"
    other = make_receipt(make_facts(), NODES[1], whole.bundle.custody[1], value_at_risk_units=1)
    assert refuse(whole.with_(receipt=other)) == "receipt.wrong-release"


def test_a_release_that_claims_other_evidence_is_refused():
    for changes in ({"asked": ("signed", "signed")}, {"missing": ("signed",)}, {"obtained": ()}):
        made = make_bundle(release_changes=changes)
        assert refuse(made.data) in {"receipt.wrong-release", "custody.wrong-release"}


def rebuild(receipt_of, *, release_of=None):
    """A bundle with the receipt of the test's choosing, and everything else to match."""
    made = make_bundle()
    custody = made.bundle.custody
    receipt = receipt_of(made.facts, custody)
    release = (release_of or make_release)(made.facts, custody, receipt, 1)
    return made.with_(receipt=receipt, release=release)


def test_a_receipt_by_another_node_is_refused():
    data = rebuild(lambda facts, custody: make_receipt(facts, NODES[3], custody[1]))
    assert refuse(data) == "receipt.wrong-node"


def test_a_receipt_about_another_request_is_refused():
    other = make_facts(nonce="77" * 32)
    data = rebuild(lambda facts, custody: make_receipt(other, NODES[1], custody[1]))
    assert refuse(data) == "receipt.wrong-request"


def test_a_receipt_that_follows_from_nothing_is_refused():
    def loose(facts, custody):
        stray = make_handover(facts, 1, NODES[1], first=custody[0], given_at=39)
        return make_receipt(facts, NODES[1], stray)

    assert refuse(rebuild(loose)) == "receipt.unknown-branch"


def test_a_receipt_without_acknowledgement_is_refused():
    made = make_bundle(branches=((NODES[0], True), (NODES[1], False)))
    assert refuse(made.data) == "receipt.unacknowledged"


def test_a_receipt_signed_by_a_thief_is_refused():
    def forged(facts, custody):
        receipt = make_receipt(facts, NODES[1], custody[1])
        signature = sign_envelope(decode_payload(receipt), (THIEF.signer,)).signatures[0]
        own = msgspec.structs.replace(signature, keyid=compute_key_id(NODES[1].signer.key))
        return msgspec.structs.replace(receipt, signatures=(own,))

    assert refuse(rebuild(forged)) == "dsse.bad-signature"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"log_changes": {"size": 2}}, "receipt.not-covered"),
        ({"log_changes": {"size": 4}}, "merkle.bad-proof"),
        ({"log_changes": {"session": 1}}, "receipt.wrong-log"),
        ({"log_changes": {"operator": NODES[3].account}}, "receipt.wrong-log"),
        ({"log_changes": {"operating_key": THIEF.signer.key}}, "receipt.wrong-key"),
        ({"log_changes": {"root": b"\1" * 32}}, "merkle.not-included"),
        ({"key_changes": {"account": THIEF.account}}, "receipt.wrong-account"),
        ({"key_changes": {"retired_at": 40}}, "receipt.retired-key"),
        (
            {"receipt_changes": {"log": LogPosition(session=1, index=2, include_by=80)}},
            "mapproof.another-key",
        ),
        (
            {"receipt_changes": {"log": LogPosition(session=0, index=3, include_by=80)}},
            "merkle.not-included",
        ),
        (
            {
                "receipt_changes": {
                    "log": LogPosition(session=0, index=2, include_by=80, opener="0f" * 32)
                }
            },
            "receipt.wrong-log",
        ),
    ],
)
def test_a_settlement_that_does_not_fit_is_refused(changes, code):
    assert refuse(make_bundle(**changes).data) == code


def with_settlement(made, **changes):
    return made.with_(settlement=msgspec.structs.replace(made.bundle.settlement, **changes))


def test_proofs_of_keys_are_exactly_the_needed_ones_in_order():
    made = make_bundle()
    keys = made.bundle.settlement.keys
    assert len(keys) == 2
    assert refuse(with_settlement(made, keys=keys[:1])) == "receipt.wrong-keys"
    assert refuse(with_settlement(made, keys=keys + keys[:1])) == "receipt.wrong-keys"
    assert refuse(with_settlement(made, keys=keys[::-1])) == "mapproof.another-key"


def test_a_key_that_nobody_registered_is_refused():
    made = make_bundle()
    records = dict(made.state.records)
    del records[get_key_key(GATEWAY.signer.key)]
    state = make_state(records)
    header = encode_header(make_header(60, state_root=state.root.digest))
    log_key = bytes.fromhex(made.bundle.settlement.log.key)
    needed = [bytes.fromhex(proof.key) for proof in made.bundle.settlement.keys]
    changes = {"header": header, "log": state.prove(log_key)}
    keys = tuple(state.prove(key) for key in needed)
    assert refuse(with_settlement(made, keys=keys, **changes)) == "receipt.unknown-key"
    # A proof of absence is no proof of a log either.
    del records[log_key]
    state = make_state(records)
    header = encode_header(make_header(60, state_root=state.root.digest))
    absent = {"header": header, "log": state.prove(log_key)}
    assert refuse(with_settlement(made, **absent)) == "receipt.unknown-log"


def test_a_header_by_anybody_else_is_refused():
    made = make_bundle()
    good = make_header(60, state_root=made.state.root.digest)
    forged = sign_header(good.header, THIEF.signer)
    assert refuse(with_settlement(made, header=encode_header(forged))) == "trust.other-key"
    borrowed = change(forged, seal=change(forged.seal, key=LEDGER.key))
    assert refuse(with_settlement(made, header=encode_header(borrowed))) == "ed25519.bad-signature"
    for text in ("", "!", "AAA=", "é"):
        assert refuse(with_settlement(made, header=text)) in {
            "receipt.bad-header",
            "encoding.malformed",
        }


def test_a_bundle_that_validators_sealed_passes_and_says_so():
    chain = LightChain({0: make_voters(range(4))}, length=1)
    trust, now_ms = chain.make_trust(3), get_now_ms(70)
    made = make_bundle()
    header = make_header(60, state_root=made.state.root.digest).header
    data = with_settlement(made, header=encode_header(chain.seal(header)))
    verified = check_bundle(data, make_header_check(trust, now_ms))
    assert verified.settlement.header == header
    said = " ".join(line.text for line in verified.checks)
    assert "sealed by 4 of 4 validators" in said
    assert "embedded engine" not in said
    assert "two thirds of the power" in said
    # A seal of another header, a key's signature, an expired trust file.
    other = change(header, state_root=b"\1" * 32)
    mixed = change(chain.seal(header), seal=chain.seal(other).seal)
    for text, now, code in (
        (encode_header(mixed), now_ms, "light.other-app-hash"),
        (encode_header(make_header(60)), now_ms, "trust.other-seal"),
        (encode_header(chain.seal(header)), now_ms + PERIOD_MS, "light.expired"),
        (encode_header(chain.seal(header)), get_now_ms(40), "light.from-the-future"),
    ):
        bad = with_settlement(made, header=text)
        assert refuse(bad, make_header_check(trust, now)) == code


def test_one_key_for_two_parties_is_refused():
    node = NODES[0]
    twin = msgspec.structs.replace(node.party, account=NODES[3].party.account)
    made = make_bundle(branches=((node, True),))
    first = made.bundle.custody[0]
    second = make_handover(made.facts, 1, node, first=first, taker=twin)
    custody = (first, second)
    receipt = make_receipt(made.facts, node, first)
    release = make_release(made.facts, custody, receipt, 0)
    assert refuse(made.with_(custody=custody, receipt=receipt, release=release)) == (
        "receipt.two-owners"
    )


def test_late_settlement_is_a_warning_that_says_what_it_means():
    made = make_bundle(log_changes={"settled_at": 81}, height=90)
    verified = check_bundle(made.data, CHECK)
    assert "promise lapsed" in standing(verified, "warning")
    assert "in time" not in standing(verified, "checked")


def test_a_key_retired_since_is_a_warning():
    verified = check_bundle(make_bundle(key_changes={"retired_at": 58}).data, CHECK)
    assert "retired at height 58" in standing(verified, "warning")


def test_content_is_checked_bit_by_bit():
    verified = check_bundle(make_bundle().data, CHECK)
    with_content = check_contents(verified, SALT, INPUTS, OUTPUTS)
    assert "The content" not in standing(with_content, "not checked")
    assert "bit for bit" in standing(with_content, "checked")
    receipt = verified.receipt
    for salt, inputs, outputs, code in (
        (make_salt(bytes(32)), INPUTS, OUTPUTS, "receipt.wrong-salt"),
        (SALT, (make_tensor("x", b"\1\2\3\5"),), OUTPUTS, "receipt.wrong-inputs"),
        (SALT, (), OUTPUTS, "receipt.wrong-inputs"),
        (SALT, INPUTS, INPUTS, "receipt.wrong-outputs"),
        (SALT, INPUTS, OUTPUTS * 2, "receipt.wrong-outputs"),
    ):
        with pytest.raises(Refusal) as caught:
            check_contents(verified, salt, inputs, outputs)
        assert caught.value.code == code
    check_inputs(receipt, SALT, INPUTS)
    check_outputs(receipt, SALT, OUTPUTS)


def test_outputs_with_false_lengths_are_refused_before_they_are_hashed():
    receipt = check_pending(make_bundle().data).receipt
    bad = msgspec.structs.replace(OUTPUTS[0], data=b"")
    with pytest.raises(Refusal, match=r"tensor\.bad-length"):
        check_outputs(receipt, SALT, (bad,))
    heads = tuple(make_tensor_head(SALT, tensor) for tensor in OUTPUTS)
    assert receipt.outputs == heads


def test_bundles_decode_to_what_they_were_made_of():
    made = make_bundle()
    assert decode_bundle(made.data) == made.bundle


def test_no_acceptance_can_be_taken_out_of_a_bundle():
    """Without the release's list, a lapsed node could be turned into one that never accepted."""
    made = make_bundle()
    first, second = made.bundle.custody
    stripped = msgspec.structs.replace(first, signatures=first.signatures[:1])
    lapsed = NODES[0].party.key
    settlement = msgspec.structs.replace(
        made.bundle.settlement,
        keys=tuple(proof for proof in made.bundle.settlement.keys if lapsed not in proof.key),
    )
    assert len(settlement.keys) == len(made.bundle.settlement.keys) - 1
    data = made.with_(custody=(stripped, second), settlement=settlement)
    assert refuse(data) == "custody.wrong-release"
