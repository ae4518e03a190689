"""Money through a whole network of machines (`PAY-1`): clients pay gateways, gateways pay nodes."""

import msgspec

from probatum.evidence.receipt import check_bundle, check_pending
from probatum.machine import events
from probatum.nodes.inference import work
from probatum.protocol.messages import (
    Accepted,
    Answer,
    Ask,
    GetBundle,
    HandOverWork,
    Payment,
    Refused,
)
from probatum.protocol.transactions.kinds import CloseEscrow
from tests.unit.nodes.giver import Handing
from tests.unit.nodes.money import (
    MILLION,
    Budgets,
    ask_paid,
    fund,
    get_tab,
    make_paid_ask,
    make_voucher,
    read_balance,
    read_escrow,
    request_id,
    start_paid_network,
    start_paying_gateway,
)
from tests.unit.nodes.network import GATEWAY, account, endpoint, tensor


def settle(network, request_id, limit_ms=5_000):
    for _ in range(limit_ms // 100):
        got = network.world.wait(network.world.ask(GATEWAY, GetBundle(request_id=request_id)))
        if got.settled:
            return got.bundle
        network.world.run(100)
    raise AssertionError("not settled")


def ask_as(network, caller, data=b"\1\2\3"):
    world = network.world
    world._numbers += 1
    name = f"caller-{world._numbers}"
    world.replies[name] = []
    ask = Ask(
        model="doubler",
        version=None,
        inputs=(tensor(data),),
        assurance="signed",
        salt=None,
        nonce=None,
        request_id=None,
        timeout_ms=0,
    )
    world.tell(GATEWAY, events.Arrived(name, ask, caller))
    return world.wait(name)


def test_a_paid_answer_moves_the_price_and_the_margin_and_nothing_else():
    network = start_paid_network((("a", 5_000),), margin_units=300, exposure_units=MILLION)
    fund(network)
    before = {name: read_balance(network, name) for name in ("a", "gateway")}
    totals = []
    for number in range(1, 4):
        answer = ask_paid(network, number, 5_300 * number, max_price=5_300)
        assert isinstance(answer, Answer), answer
        verified = check_pending(answer.bundle)
        receipt, release = verified.receipt, verified.release
        assert (receipt.price_units, release.price_units) == (5_000, 5_300)
        totals.append((receipt.running_total_units, release.running_total_units))
        assert any("gateway charged 5300 units" in line.text for line in verified.checks)
    assert totals == [(5_000, 5_300), (10_000, 10_600), (15_000, 15_900)]
    check_bundle(settle(network, answer.request_id), network.check)
    network.world.run(2_000)
    # The node collects with its checkpoints; the gateway when it is worth its fee.
    assert read_escrow(network, "gateway payer", "a").collected_units == 15_000
    assert read_balance(network, "a") == before["a"] + 15_000
    assert read_escrow(network, "client", "gateway").collected_units == 0
    assert get_tab(network).charged_units == 15_900


def test_who_does_not_pay_is_told_the_price_and_no_node_is_asked():
    network = start_paid_network(margin_units=3)
    refused = ask_as(network, "")
    assert (refused.code, refused.retryable) == ("payment.price-above-limit", False)
    assert "13 units" in refused.message
    assert not any(isinstance(sent[2], HandOverWork) for sent in network.world.sent)


def test_a_max_price_below_the_price_hands_nothing_over_and_charges_nothing():
    network = start_paid_network()
    fund(network)
    refused = ask_paid(network, 1, 9, max_price=9)
    assert refused.code == "payment.price-above-limit"
    # What was reserved is free again: the same voucher's worth buys another request.
    assert isinstance(ask_paid(network, 2, 10, max_price=10), Answer)


def test_an_api_key_spends_its_budget_and_no_more_also_after_a_crash():
    budgets = Budgets(abcdefgh=25)
    network = start_paid_network(budgets=budgets)
    assert isinstance(ask_as(network, "key:abcdefgh"), Answer)
    assert isinstance(ask_as(network, "key:abcdefgh"), Answer)
    assert ask_as(network, "key:abcdefgh").code == "payment.price-above-limit"
    assert ask_as(network, "key:aaaaaaaa").code == "payment.price-above-limit"
    network.world.kill(GATEWAY)
    start_paying_gateway(network, budgets=budgets)
    network.world.run(300)
    assert ask_as(network, "key:abcdefgh").code == "payment.price-above-limit"
    budgets.budgets["key:abcdefgh"] = 30
    answer = ask_as(network, "key:abcdefgh")
    release = check_pending(answer.bundle).release
    assert (release.price_units, release.escrow, release.running_total_units) == (0, None, None)
    assert check_pending(answer.bundle).receipt.running_total_units == 30


def test_a_budget_is_reserved_while_a_request_is_open():
    network = start_paid_network(budgets=Budgets(abcdefgh=15))
    world = network.world
    world.parties[endpoint("a")].compute_ms = 500
    ask = make_paid_ask(network, 1, 0, payment=None)
    for number, name in enumerate(("first", "second")):
        world.replies[name] = []
        one = msgspec.structs.replace(ask, request_id=request_id(50 + number))
        world.tell(GATEWAY, events.Arrived(name, one, "key:abcdefgh"))
    assert world.wait("second").code == "payment.price-above-limit"
    assert isinstance(world.wait("first"), Answer)


def test_a_voucher_pays_for_the_request_that_it_names_once():
    network = start_paid_network()
    fund(network)
    asked = make_paid_ask(network, 1, 100)
    first = network.world.wait(network.world.ask(GATEWAY, asked))
    assert isinstance(first, Answer)
    # Repeating it tells the same answer again and charges nothing.
    assert network.world.wait(network.world.ask(GATEWAY, asked)) == first
    assert get_tab(network).charged_units == 10
    # Who saw the voucher on its way cannot use it for a request of theirs.
    stolen = make_paid_ask(network, 2, 100, payment=asked.payment)
    refused = network.world.wait(network.world.ask(GATEWAY, stolen))
    assert refused.code == "payment.other-request"


def test_vouchers_that_are_not_worth_the_price_are_refused():
    network = start_paid_network()
    ask = make_paid_ask(network, 1, 100)
    assert network.world.wait(network.world.ask(GATEWAY, ask)).code == "payment.no-escrow"
    fund(network, amount=1_000)
    assert ask_paid(network, 2, 1_001).code == "payment.not-funded"
    assert ask_paid(network, 3, 99, max_price=100).code == "payment.voucher-too-low"
    forged = make_voucher(network, request_id(4), 100, signer="publisher")
    ask = make_paid_ask(network, 4, 0, payment=Payment(voucher=forged, max_price_units=100))
    assert network.world.wait(network.world.ask(GATEWAY, ask)).code == "voucher.wrong-signer"
    assert get_tab(network).code == "payment.no-tab"


def test_requests_in_flight_on_one_escrow_are_each_covered():
    network = start_paid_network()
    fund(network)
    world = network.world
    world.parties[endpoint("a")].compute_ms = 300
    asks = [make_paid_ask(network, n, 20 * n, max_price=20) for n in range(1, 9)]
    # The vouchers arrive in whatever order; the best one covers all.
    names = [world.ask(GATEWAY, ask) for ask in reversed(asks)]
    answers = [world.wait(name) for name in names]
    assert all(isinstance(answer, Answer) for answer in answers)
    totals = [check_pending(a.bundle).release.running_total_units for a in answers]
    assert sorted(totals) == [10 * n for n in range(1, 9)]
    totals = [check_pending(a.bundle).receipt.running_total_units for a in answers]
    assert sorted(totals) == [10 * n for n in range(1, 9)]


def test_the_dearer_node_answers_where_the_cheaper_one_is_gone():
    network = start_paid_network((("a", 10), ("b", 25)))
    fund(network)
    for number in (1, 2):
        answer = ask_paid(network, number, 100 * number)
        assert check_pending(answer.bundle).release.price_units == 10
    network.world.kill(endpoint("a"))
    # Who agreed to less than the dearer price is not quietly asked for more.
    assert ask_paid(network, 3, 320, max_price=24, timeout_ms=1_500).code == "gateway.no-answer"
    answer = ask_paid(network, 4, 400, max_price=25)
    verified = check_pending(answer.bundle)
    assert (verified.receipt.price_units, verified.release.running_total_units) == (25, 45)


def test_after_a_crash_the_node_goes_on_with_its_running_total():
    network = start_paid_network()
    fund(network)
    ask_paid(network, 1, 100)
    network.world.kill(endpoint("a"))
    party = network.start_node("a", price_units=10)
    network.world.run_until(lambda: party.machine.is_ready)
    network.world.run(500)
    answer = ask_paid(network, 2, 110)
    assert check_pending(answer.bundle).receipt.running_total_units == 20
    tab = get_tab(network, "gateway payer", "a")
    assert (tab.charged_units, tab.reserved_units) == (20, 0)


def test_a_gateway_that_lost_its_journal_learns_the_tab_and_pays_on():
    network = start_paid_network(exposure_units=100)
    fund(network)
    for number in (1, 2):
        ask_paid(network, number, 100 * number)
    network.world.kill(GATEWAY)
    network.journals["gateway"] = []
    start_paying_gateway(network, exposure_units=100)
    network.world.run(300)
    # It lost what it charged its client, which is its own loss, but not its way with the node.
    answer = ask_paid(network, 3, 300)
    verified = check_pending(answer.bundle)
    assert (verified.receipt.running_total_units, verified.release.running_total_units) == (30, 10)


def test_a_node_that_takes_vouchers_and_never_answers_gets_no_more_than_the_exposure():
    network = start_paid_network((("a", 10), ("b", 20)), exposure_units=35)
    fund(network)
    world = network.world

    def swallow(to, message):
        return None if to == endpoint("a") and not isinstance(message, HandOverWork) else message

    world.meddle = swallow
    for number in range(1, 8):
        answer = ask_paid(network, number, 100 * number)
        assert check_pending(answer.bundle).receipt.price_units == 20
    signed = [
        message.voucher.voucher.total_units
        for _, to, message in world.sent
        if to == endpoint("a") and isinstance(message, HandOverWork)
    ]
    assert signed
    assert max(signed) <= 35


def test_a_node_that_charges_more_than_agreed_is_not_paid_for_it():
    network = start_paid_network((("a", 10), ("b", 20)))
    fund(network)
    honest = work.state_charge

    def charge_more(receipt, name, settings, tabs):
        more = honest(receipt, name, settings, tabs)
        if receipt.node.account != "0x" + account("a").address.hex():
            return more
        return msgspec.structs.replace(more, price_units=15, running_total_units=15)

    work.state_charge = charge_more
    try:
        answer = ask_paid(network, 1, 100)
    finally:
        work.state_charge = honest
    assert check_pending(answer.bundle).receipt.price_units == 20
    reports = network.world.parties[GATEWAY].reports
    assert any("receipt.overcharged" in report.message for report in reports)


def test_a_node_whose_line_was_cut_is_believed_when_it_answers_the_next_hand_over():
    network = start_paid_network()
    fund(network)
    ask_paid(network, 1, 10, max_price=10)
    world = network.world
    world.parties[endpoint("a")].compute_ms = 2_000
    name = world.ask(GATEWAY, make_paid_ask(network, 2, 20, max_price=10))
    world.run_until(lambda: any(isinstance(s[2], Accepted) for s in world.said[-1:]))
    world.run(10)
    (conversation,) = [c for c, call in world._calls.items() if call[3] == endpoint("a")]
    call = world._calls.pop(conversation)
    world.tell(GATEWAY, events.Unreachable(call[2], "the connection was reset"))
    answer = world.wait(name)
    verified = check_pending(answer.bundle)
    assert len(verified.branches) > 1
    assert verified.release.answered_branch == verified.release.branches[0]
    assert verified.receipt.running_total_units == 20
    assert isinstance(ask_paid(network, 3, 30, max_price=10), Answer)


def test_a_client_that_signs_and_closes_is_collected_from_in_time():
    network = start_paid_network((("a", 10_000),), fee_units=1_000, exposure_units=100_000)
    fund(network)
    ask_paid(network, 1, 10_000, max_price=10_000)
    before = read_balance(network, "gateway")
    network.submit("client", CloseEscrow(payee=account("gateway").address))
    network.world.run(2_000)
    assert read_escrow(network, "client", "gateway").collected_units == 10_000
    assert read_balance(network, "gateway") == before + 10_000
    assert ask_paid(network, 2, 20_000, max_price=10_000).code == "payment.escrow-closing"


def test_a_gateway_collects_what_is_worth_it_when_it_stops():
    network = start_paid_network((("a", 2_000),), exposure_units=100_000)
    fund(network)
    ask_paid(network, 1, 2_000, max_price=2_000)
    network.world.run(1_000)
    assert read_escrow(network, "client", "gateway").collected_units == 0
    network.world.tell(GATEWAY, events.Stopping())
    network.world.run(3_000)
    assert network.world.parties[GATEWAY].halted.code == "gateway.stopped"
    assert read_escrow(network, "client", "gateway").collected_units == 2_000


def test_escrows_never_hold_more_than_the_operator_allows():
    network = start_paid_network((("a", 10), ("b", 20)), escrow_units=600, escrow_limit_units=1_000)
    fund(network)
    for number in range(1, 4):
        assert isinstance(ask_paid(network, number, 100 * number), Answer)
    network.world.kill(endpoint("a"))
    answer = ask_paid(network, 4, 400)
    assert check_pending(answer.bundle).receipt.price_units == 20
    network.world.run(1_000)
    held = [read_escrow(network, "gateway payer", name) for name in "ab"]
    assert sum(record.deposited_units - record.collected_units for record in held) <= 1_000


def test_without_an_account_a_gateway_asks_free_nodes_only():
    network = start_paid_network((("a", 10), ("b", 0)), payer=None)
    answer = ask_as(network, "")
    assert check_pending(answer.bundle).receipt.price_units == 0
    network.world.kill(endpoint("b"))
    fund(network)
    assert ask_paid(network, 1, 100, timeout_ms=1_000).code == "gateway.no-answer"


def test_another_gateway_cannot_spend_a_voucher_that_it_saw():
    network = start_paid_network()
    fund(network)
    ask_paid(network, 1, 100)
    thief = Handing(
        height=network.world.parties[endpoint("a")].machine._follower.view.height,
        giver="client",
        signers=("client",),
        record={"price_units": 10},
    )
    network.register("client", "gateway")
    network.world.run(300)
    rid = thief.make_facts().request_id
    voucher = make_voucher(network, rid, 20, payer="gateway payer", payee="a")
    message = thief.but(message={"voucher": voucher}, height=thief.height + 3).make()
    said = network.world.wait(network.world.ask(endpoint("a"), message))
    assert isinstance(said, Refused)
    assert said.code == "payment.other-user"
    assert isinstance(ask_paid(network, 2, 110), Answer)
