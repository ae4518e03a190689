import asyncio
import stat

import msgspec
import numpy as np
import pytest
from aiohttp import web

from probatum.client import AsyncClient, Client
from probatum.client.failures import RequestFailed, RequestRefused
from probatum.client.proofs import get_proven_header
from probatum.client.transport import HttpTransport
from probatum.errors import Fault, Misuse, Refusal
from probatum.evidence.blame import assign_blame
from probatum.evidence.double_charges import find_double_charge
from probatum.evidence.receipt import check_bundle
from probatum.protocol.bundles import decode_bundle, encode_bundle
from probatum.protocol.custody import decode_release, encode_release
from probatum.protocol.dsse import decode_payload, sign_envelope
from probatum.protocol.hashing import sha256
from probatum.protocol.messages import (
    Answer,
    Ask,
    GetState,
    GetStatus,
    GotBundle,
    GotHeader,
    Refused,
)
from probatum.protocol.primitives import address_to_hex, make_salt
from probatum.protocol.records import get_key_key, get_log_key, get_model_key
from probatum.protocol.transactions.kinds import ReportTwoReleases
from probatum.protocol.trust import encode_trust
from tests.factories import GATEWAY, NODES, make_check, make_header, make_log_record, make_trust
from tests.unit.client.toy_network import NODE, ToyNetwork

TRUST = make_trust()
CHECK = make_check(TRUST)
INPUT = {"x": np.arange(6, dtype=np.uint8).reshape(2, 3)}


def run(story, tmp_path, *, proven=False, **arguments):
    """Run an async story against a toy network: ``story(client, network)``."""

    async def play():
        async with ToyNetwork() as network:
            if proven:
                arguments.update(ledger=network.endpoint, trust=TRUST)
            receipts = tmp_path / "receipts"
            async with AsyncClient(network.endpoint, receipts=receipts, **arguments) as client:
                return await story(client, network)

    return asyncio.run(play())


async def ask(client, **arguments):
    return await client.ask("doubler", INPUT, **arguments)


def lines(checks, standing):
    return " ".join(line.text for line in checks if line.standing == standing)


def test_an_answer_is_checked_and_kept(tmp_path):
    async def story(client, network):
        answer = await ask(client)
        assert np.array_equal(answer.outputs["doubled"], 2 * INPUT["x"])
        assert not answer.outputs["doubled"].flags.writeable
        assert answer.receipt_id == answer.request_id == network.asked[0].request_id
        assert "bit for bit" in lines(answer.checks, "checked")
        assert "gateway's word" in lines(answer.checks, "not checked")
        assert "Whose the signing keys are" in lines(answer.checks, "not checked")
        assert str(answer.checks[0]).startswith("checked: ")
        (kept,) = client.receipts.list()
        assert (kept.request_id, kept.stand) == (answer.request_id, "pending")
        assert client.receipts.load_bundle(answer.request_id) == answer.bundle
        contents = client.receipts.load_contents(answer.request_id)
        assert (contents.salt, contents.model) == (answer.salt, "doubler")
        assert contents.outputs[0].name == "doubled"
        path = client.receipts.folder / f"{answer.request_id}.contents"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    run(story, tmp_path)


def test_salt_nonce_and_id_are_the_clients_own_and_fresh(tmp_path):
    """`SALT-1`: who draws the salt decides what the receipt commits to."""

    async def story(client, network):
        await ask(client)
        await ask(client)
        one, two = network.asked
        assert one.salt != two.salt
        assert one.nonce != two.nonce
        assert one.request_id != two.request_id

    run(story, tmp_path)


def test_with_a_ledger_package_and_keys_are_proven(tmp_path):
    async def story(client, network):
        answer = await ask(client)
        assert "the package is doubler 2" in lines(answer.checks, "checked")
        assert "whose the signing keys are" in lines(answer.checks, "checked")
        assert "no newer version" in lines(answer.checks, "not checked")
        exact = await ask(client, version="2")
        assert "no newer version" not in lines(exact.checks, "not checked")

    run(story, tmp_path, proven=True)


def spoiled(**changes):
    def spoil(message, reply):
        return msgspec.structs.replace(reply, **changes) if isinstance(reply, Answer) else reply

    return spoil


def spoil_outputs(message, reply):
    if not isinstance(reply, Answer):
        return reply
    tensor = msgspec.structs.replace(reply.outputs[0], data=bytes(6))
    return msgspec.structs.replace(reply, outputs=(tensor,))


def spoil_ask(message, reply):
    """The gateway hands the nodes another question than it was asked."""
    if not isinstance(reply, Answer):
        return reply
    other = msgspec.structs.replace(message.inputs[0], data=bytes(6))
    return ToyNetwork().ask(msgspec.structs.replace(message, inputs=(other,)))


def spoil_nonce(message, reply):
    if not isinstance(reply, Answer):
        return reply
    return ToyNetwork().ask(msgspec.structs.replace(message, nonce=bytes(32)))


def spoil_bundle(message, reply):
    if not isinstance(reply, Answer):
        return reply
    bundle = decode_bundle(reply.bundle)
    first = msgspec.structs.replace(bundle.custody[0], signatures=bundle.custody[0].signatures[:1])
    return msgspec.structs.replace(
        reply, bundle=encode_bundle(msgspec.structs.replace(bundle, custody=(first,)))
    )


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (spoil_outputs, "receipt.wrong-outputs"),
        (spoil_ask, "client.other-facts"),
        (spoil_nonce, "client.other-facts"),
        (spoil_bundle, "custody.wrong-release"),
        (spoiled(salt=make_salt(bytes(32))), "client.other-request"),
        (spoiled(request_id="0" * 26), "client.other-request"),
        (spoiled(bundle=b"{}"), "encoding.malformed"),
        (spoiled(outputs=()), "receipt.wrong-outputs"),
        (lambda message, reply: GetStatus(), "client.wrong-reply"),
    ],
)
def test_a_false_answer_is_refused_with_the_request_id(tmp_path, spoil, code):
    async def story(client, network):
        network.spoil = spoil
        with pytest.raises(RequestRefused) as caught:
            await ask(client)
        assert caught.value.code == code
        assert caught.value.request_id == network.asked[0].request_id
        kept = [entry.request_id for entry in client.receipts.list()]
        if code.startswith(("receipt.", "client.other")):
            assert kept == [caught.value.request_id], "its records are what one needs now"

    run(story, tmp_path)


def test_who_wants_one_node_takes_no_others_answer(tmp_path):
    async def story(client, network):
        wanted = address_to_hex(NODE.account)
        answer = await ask(client, node=wanted)
        assert answer.receipt.node.account == wanted
        assert network.asked[0].node == NODE.account
        with pytest.raises(RequestRefused) as caught:
            await ask(client, node=address_to_hex(NODES[1].account))
        assert caught.value.code == "client.other-node"
        with pytest.raises(Refusal) as caught:
            await ask(client, node="node-1")
        assert caught.value.code == "primitive.bad-address"
        assert len(network.asked) == 2

    run(story, tmp_path)


def test_another_package_than_the_ledgers_is_refused(tmp_path):
    async def story(client, network):
        with pytest.raises(RequestRefused) as caught:
            await ask(client, version="1")
        assert caught.value.code == "client.wrong-model"
        key = get_model_key("doubler", "2")
        network.records[key] = msgspec.structs.replace(
            network.records[key], package=sha256(b"swapped")
        )
        with pytest.raises(RequestRefused) as caught:
            await ask(client)
        assert caught.value.code == "client.wrong-model"

    run(story, tmp_path, proven=True)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"gateway": {"account": NODES[3].account}}, "receipt.wrong-account"),
        ({"gateway": {"retired_at": 30}}, "receipt.retired-key"),
        ({"log": {"operating_key": NODES[3].signer.key}}, "receipt.wrong-key"),
        ({"gateway": None}, "receipt.unknown-key"),
        ({"height": 90}, "client.late-promise"),
        ({"height": 39}, "client.stale-ledger"),
    ],
)
def test_keys_and_logs_that_the_ledger_does_not_prove_are_refused(
    tmp_path, change, code, monkeypatch
):
    monkeypatch.setattr("probatum.client.asking._POLL_S", (0.01,))

    async def story(client, network):
        key = get_key_key(GATEWAY.signer.key)
        if change.get("gateway"):
            network.records[key] = msgspec.structs.replace(
                network.records[key], **change["gateway"]
            )
        elif "gateway" in change:
            del network.records[key]
        network.records[get_log_key(NODE.account, 0)] = make_log_record(
            NODE, network.log, **change.get("log", {})
        )
        network.height = change.get("height", network.height)
        with pytest.raises(RequestRefused) as caught:
            await ask(client)
        assert caught.value.code == code

    run(story, tmp_path, proven=True)


def test_a_failed_request_leaves_its_records_for_blame(tmp_path):
    async def story(client, network):
        network.failure = Refused(
            code="gateway.no-answer", message="all nodes failed", retryable=True
        )
        with pytest.raises(RequestFailed) as caught:
            await ask(client)
        request_id = caught.value.request_id
        assert caught.value.code == "gateway.no-answer"
        (kept,) = client.receipts.list()
        assert (kept.request_id, kept.stand) == (request_id, "failed")
        blame = assign_blame(client.receipts.load_bundle(request_id), 99)
        assert (blame.status, blame.party) == ("lost", NODE.party)
        assert client.receipts.load_contents(request_id).outputs == ()

    run(story, tmp_path)


def test_a_refusal_before_any_record_keeps_nothing(tmp_path):
    async def story(client, network):
        network.spoil = lambda message, reply: Refused(
            code="gateway.unknown-model", message="no such model", hint="list them"
        )
        with pytest.raises(RequestRefused) as caught:
            await ask(client)
        assert (caught.value.code, caught.value.hint) == ("gateway.unknown-model", "list them")
        assert client.receipts.list() == ()

    run(story, tmp_path)


def test_a_cut_line_is_followed_by_the_same_request(tmp_path):
    async def story(client, network):
        network.cuts = 2
        answer = await ask(client)
        asks = [message for message in network.asked if isinstance(message, Ask)]
        assert len(asks) == 3
        assert len(set(map(repr, asks))) == 1
        assert answer.request_id == asks[0].request_id
        assert len(network.bundles) == 1

    run(story, tmp_path)


def test_nobody_there_is_a_fault_at_once(tmp_path):
    async def story(client, network):
        await network._runner.cleanup()
        with pytest.raises(RequestFailed) as caught:
            await ask(client)
        assert caught.value.code == "transport.unreachable"
        assert caught.value.retryable

    run(story, tmp_path)


def test_time_runs_out(tmp_path):
    async def story(client, network):
        network.hang_s = 1
        transport = HttpTransport()
        with pytest.raises(Fault) as caught:
            await transport.ask(network.endpoint, GetStatus(), 0.2)
        assert caught.value.code == "transport.timeout"
        await transport.close()

    run(story, tmp_path)


def test_settling_proves_inclusion_and_keeps_the_proof(tmp_path):
    async def story(client, network):
        answer = await ask(client)
        with pytest.raises(Fault) as caught:
            await client.settle(answer, timeout_s=0.5)
        assert caught.value.code == "client.not-settled"
        with pytest.raises(Refusal, match=r"store\.still-pending"):
            client.receipts.remove(answer.request_id)
        network.settled = True
        verified = await client.settle(answer, timeout_s=5)
        assert verified.settlement.log.size == 6
        assert "bit for bit" in lines(verified.checks, "checked")
        assert client.receipts.list()[0].stand == "settled"
        check_bundle(client.receipts.load_bundle(answer.request_id), CHECK)
        assert (await client.settle(answer.request_id)).receipt == answer.receipt
        client.receipts.remove(answer.request_id)
        assert client.receipts.list() == ()

    run(story, tmp_path, trust=TRUST)


def test_who_is_charged_twice_keeps_what_convicts(tmp_path):
    """PAY-1: the settled bundle charges again; with the kept one it makes the report."""

    def charge(bundle, total_units):
        release = decode_release(decode_payload(bundle.release))
        charged = msgspec.structs.replace(
            release, price_units=3, escrow="ab" * 32, running_total_units=total_units
        )
        signed = sign_envelope(encode_release(charged), (GATEWAY.signer,))
        return encode_bundle(msgspec.structs.replace(bundle, release=signed))

    async def story(client, network):
        answer = await ask(client)
        kept = charge(decode_bundle(answer.bundle), 3)
        client.receipts.keep(answer.request_id, kept, None)
        network.settled = True
        network.spoil = lambda message, reply: (
            GotBundle(settled=True, bundle=charge(decode_bundle(reply.bundle), 6))
            if isinstance(reply, GotBundle)
            else reply
        )
        for _ in range(2):
            with pytest.raises(Refusal, match=r"client\.other-receipt") as caught:
                await client.settle(answer)
        path = client.receipts.folder / f"{answer.request_id}.other.json"
        assert str(path) in caught.value.hint
        report = find_double_charge(decode_bundle(kept), decode_bundle(path.read_bytes()))
        assert isinstance(report, ReportTwoReleases)
        client.receipts.remove(answer.request_id, even_pending=True)
        assert list(client.receipts.folder.iterdir()) == []

    run(story, tmp_path, trust=TRUST)


def test_settling_refuses_other_records_than_were_given(tmp_path):
    async def story(client, network):
        first, second = await ask(client), await ask(client)
        network.settled = True
        network.bundles[first.request_id] = network.bundles[second.request_id]
        with pytest.raises(Refusal, match=r"client\.other-receipt"):
            await client.settle(first)
        assert {entry.stand for entry in client.receipts.list()} == {"pending"}
        network.spoil = lambda message, reply: (
            GotBundle(settled=True, bundle=reply.bundle[:-1])
            if isinstance(reply, GotBundle)
            else reply
        )
        with pytest.raises(Refusal, match=r"encoding\.malformed"):
            await client.settle(second)

    run(story, tmp_path, trust=TRUST)


def test_a_ledger_that_is_a_block_behind_is_asked_again(tmp_path):
    async def story(client, network):
        network.height = 39

        def catch_up(message, reply):
            if isinstance(message, GetState):
                network.height += 1
            return reply

        network.spoil = catch_up
        answer = await ask(client)
        assert "at height 40" in lines(answer.checks, "checked")
        # The toy's time is that of 1970.
        assert "s old" in lines(answer.checks, "warning")

    run(story, tmp_path, proven=True)


def test_a_settlement_that_comes_with_an_answer_is_not_taken_for_checked(tmp_path):
    def forge(message, reply):
        if not isinstance(reply, Answer):
            return reply
        bundle = decode_bundle(reply.bundle)
        settled = network_of["it"].settle(bundle)
        forged = msgspec.structs.replace(settled.settlement, inclusion=("00" * 32,))
        return msgspec.structs.replace(
            reply, bundle=encode_bundle(msgspec.structs.replace(bundle, settlement=forged))
        )

    network_of = {}

    async def story(client, network):
        network_of["it"] = network
        network.spoil = forge
        await ask(client)
        assert [kept.stand for kept in client.receipts.list()] == ["pending"]

    run(story, tmp_path)


def test_the_settled_bundle_of_another_request_settles_nothing(tmp_path):
    """Not even if the gateway gave it with the answer already, and the contents are gone."""

    async def story(client, network):
        first = await ask(client)
        bundle = first.bundle
        network.spoil = lambda message, reply: (
            msgspec.structs.replace(reply, bundle=bundle) if isinstance(reply, Answer) else reply
        )
        with pytest.raises(RequestRefused, match=r"client\.other-facts") as caught:
            await ask(client)
        second = caught.value.request_id
        (client.receipts.folder / f"{second}.contents").unlink()
        network.settled = True
        network.bundles[second] = network.bundles[first.request_id]
        with pytest.raises(Refusal, match=r"client\.other-receipt"):
            await client.settle(second)

    run(story, tmp_path, trust=TRUST)


def test_an_answer_lost_to_a_restart_of_the_gateway_leaves_its_receipt(tmp_path):
    async def story(client, network):
        network.spoil = lambda message, reply: (
            Refused(code="gateway.answered-before", message="its content is not kept")
            if isinstance(message, Ask)
            else reply
        )
        with pytest.raises(RequestRefused, match=r"gateway\.answered-before") as caught:
            await ask(client)
        assert [kept.stand for kept in client.receipts.list()] == ["pending"]
        network.settled = True
        verified = await client.settle(caught.value.request_id)
        assert "content" in lines(verified.checks, "not checked")

    run(story, tmp_path, trust=TRUST)


def test_settling_needs_trust_and_a_known_request(tmp_path):
    async def story(client, network):
        answer = await ask(client)
        with pytest.raises(Misuse, match=r"client\.no-trust"):
            await client.settle(answer)

    run(story, tmp_path)

    async def unknown(client, network):
        with pytest.raises(Refusal, match=r"store\.unknown-request"):
            await client.settle("0" * 26)
        with pytest.raises(Refusal, match=r"primitive\.bad-request-id"):
            await client.settle("../../etc/passwd")

    run(unknown, tmp_path, trust=TRUST)


def test_a_ledger_without_trust_is_misuse():
    with pytest.raises(Misuse, match=r"client\.no-trust"):
        AsyncClient("http://127.0.0.1:1", ledger="http://127.0.0.1:2")


def test_the_trust_file_is_read(tmp_path):
    path = tmp_path / "trust.json"
    path.write_bytes(encode_trust(TRUST) + b"\n")
    AsyncClient("http://127.0.0.1:1", ledger="http://127.0.0.1:2", trust=path)
    AsyncClient("http://127.0.0.1:1", ledger="http://127.0.0.1:2", trust=str(path))
    path.write_bytes(b"{")
    with pytest.raises(Refusal, match=r"encoding\.malformed"):
        AsyncClient("http://127.0.0.1:1", trust=path)
    with pytest.raises(Fault, match=r"client\.no-trust-file"):
        AsyncClient("http://127.0.0.1:1", trust=tmp_path / "nothing")


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"),
    [
        (400, b'{"code":"door.bad-frame","detail":"no","more":1}', Refusal, "door.bad-frame"),
        (503, b'{"code":"door.busy","detail":"later"}', Fault, "transport.unavailable"),
        (429, b'{"code":"door.busy"}', Fault, "transport.unavailable"),
        (404, b"<html>", Fault, "transport.bad-reply"),
        (302, b"", Fault, "transport.bad-reply"),
        (200, b"hello", Fault, "transport.bad-reply"),
    ],
)
def test_what_is_no_stream_of_frames_is_an_error(tmp_path, status, body, kind, code):
    async def story(client, network):
        headers = {"Location": network.endpoint} if status == 302 else {}
        network.raw = web.Response(status=status, body=body, headers=headers)
        async with HttpTransport() as transport:
            with pytest.raises(kind) as caught:
                await transport.ask(network.endpoint, GetStatus(), 5)
            assert caught.value.code == code

    run(story, tmp_path)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "transport.cut"),
        (b"\0\0\0\5ab", "frame.cut-short"),
        (b"\xff\xff\xff\xff", "frame.too-large"),
        (b"\0\0\0\1\xc1", "encoding.malformed"),
    ],
)
def test_frames_that_are_none_are_refused(tmp_path, body, code):
    async def story(client, network):
        network.raw = web.Response(body=body, content_type="application/x-probatum-frames")
        async with HttpTransport() as transport:
            with pytest.raises((Refusal, Fault)) as caught:
                await transport.ask(network.endpoint, GetStatus(), 5)
            assert caught.value.code == code

    run(story, tmp_path)


def test_an_address_that_is_none_is_refused():
    async def story():
        async with HttpTransport() as transport:
            with pytest.raises((Refusal, Fault)):
                await transport.ask("nonsense", GetStatus(), 1)
            with pytest.raises((Refusal, Fault)):
                await transport.ask("http://[::bad", GetStatus(), 1)

    asyncio.run(story())


def test_a_header_is_believed_only_from_the_trusted_key(tmp_path):
    async def story(client, network):
        async with HttpTransport() as transport:
            header = await get_proven_header(transport, network.endpoint, TRUST, 5)
            assert header.height == 60
            other = make_header(60, chain_id=5)
            network.spoil = lambda message, reply: GotHeader(header=other)
            with pytest.raises(Refusal, match=r"trust\.other-chain"):
                await get_proven_header(transport, network.endpoint, TRUST, 5)

    run(story, tmp_path)


def test_lists_need_a_dtype_and_wrong_input_is_refused_before_anything_is_sent(tmp_path):
    async def story(client, network):
        with pytest.raises(Refusal, match=r"client\.no-dtype"):
            await client.ask("doubler", {"x": [1, 2]})
        assert network.asked == []
        answer = await client.ask("doubler", {"x": [1, 2]}, dtypes={"x": "uint8"})
        assert answer.outputs["doubled"].tolist() == [2, 4]

    run(story, tmp_path)


def test_the_blocking_client_does_the_same_without_a_loop(tmp_path):
    """The toy runs on this thread's loop, the client's calls on a worker's."""

    async def play():
        async with ToyNetwork() as network:
            network.settled = True

            def work():
                with Client(
                    network.endpoint,
                    ledger=network.endpoint,
                    trust=TRUST,
                    receipts=tmp_path / "receipts",
                ) as client:
                    answer = client.ask("doubler", INPUT, timeout_s=10)
                    verified = client.settle(answer)
                    with pytest.raises(Refusal, match=r"client\.no-dtype"):
                        client.ask("doubler", {"x": [1]})
                client.close()
                with pytest.raises(Misuse, match=r"client\.closed"):
                    client.settle(answer)
                return answer, verified

            return await asyncio.to_thread(work)

    answer, verified = asyncio.run(play())
    assert np.array_equal(answer.outputs["doubled"], 2 * INPUT["x"])
    assert verified.receipt == answer.receipt
