"""One call for headers of either engine; followers move on; trust files are renewed (`LIGHT-1`)."""

import pytest
from msgspec.structs import replace as change

from probatum.consensus.trust_files import make_trust
from probatum.consensus.trusting import believe, check_header, check_next, find_way, renew_trust
from probatum.errors import Misuse, Refusal
from probatum.ledger.genesis import compute_genesis_hash, compute_genesis_set, make_genesis
from probatum.protocol.trust import decode_trust, encode_trust
from tests.factories import LEDGER, make_chain
from tests.factories import make_trust as make_key_trust
from tests.light_chain import BLOCK_MS, PERIOD_MS, START_MS, LightChain, get_now_ms, make_voters
from tests.validators import make_test_validator_genesis

# One of four is replaced every other height: from 9 on nobody of the first four is left.
CHAIN = LightChain(
    {
        0: make_voters([0, 1, 2, 3]),
        3: make_voters([1, 2, 3, 4]),
        5: make_voters([2, 3, 4, 5]),
        7: make_voters([3, 4, 5, 6]),
        9: make_voters([4, 5, 6, 7]),
    },
    length=14,
)


def test_a_key_is_believed_for_ever():
    first, second = make_chain(2)
    believed = believe(make_key_trust(), first)
    assert check_next(believed, second, 0) is believed
    # Below what was seen, too: whose past it is, followers decide.
    assert check_next(believed, first, 1 << 62) is believed


def test_who_follows_outlives_every_validator_of_the_trust_file():
    believed = believe(CHAIN.make_trust(0))
    for height in range(1, 12):
        believed = check_next(believed, CHAIN.sign(height), get_now_ms(height + 1))
    assert believed.state.height == 12
    with pytest.raises(Refusal) as refused:
        check_header(CHAIN.make_trust(0), CHAIN.sign(11), get_now_ms(12))
    assert refused.value.code == "light.too-little-trust"


def test_skips_go_as_far_as_a_third_reaches():
    trust = CHAIN.make_trust(0)
    # Of the engine's height 5 two of the first four are left, of height 7 only one.
    check_header(trust, CHAIN.sign(4), get_now_ms(8))
    with pytest.raises(Refusal) as refused:
        check_header(trust, CHAIN.sign(6), get_now_ms(8))
    assert refused.value.code == "light.too-little-trust"
    believed = check_next(believe(trust), CHAIN.sign(4), get_now_ms(8))
    check_next(believed, CHAIN.sign(6), get_now_ms(8))


def test_a_later_life_goes_on_from_what_it_saw():
    trust, seen = CHAIN.make_trust(0), CHAIN.sign(7)
    believed = believe(trust, seen)
    assert believed.state.height == 8
    check_next(believed, CHAIN.sign(10), get_now_ms(12))
    # Of two, the later one counts.
    assert believe(CHAIN.make_trust(11), seen).state.height == 11
    with pytest.raises(Refusal) as refused:
        believe(trust, change(seen, seal=CHAIN.sign(8).seal))
    assert refused.value.code == "light.other-height"


def test_trust_is_renewed_from_header_to_header():
    trust, now = CHAIN.make_trust(0), get_now_ms(14)
    for height in (4, 6, 8, 10):
        believed = check_next(believe(trust), CHAIN.sign(height), now)
        trust = renew_trust(believed, CHAIN.sign(height + 1), now)
        assert trust == change(CHAIN.make_trust(height + 1))
        assert decode_trust(encode_trust(trust) + b"\n") == trust
    check_header(trust, CHAIN.sign(13), now)


def test_what_is_expired_is_not_renewed():
    trust = CHAIN.make_trust(0)
    believed = check_next(believe(trust), CHAIN.sign(2), get_now_ms(4))
    late = START_MS + 3 * BLOCK_MS + PERIOD_MS + 1
    for after, now, code in (
        (CHAIN.sign(3), late, "light.expired"),
        (CHAIN.sign(4), get_now_ms(5), "light.not-next"),
        (change(CHAIN.sign(3), seal=CHAIN.sign(4).seal), get_now_ms(5), "light.other-height"),
    ):
        with pytest.raises(Refusal) as refused:
            renew_trust(believed, after, now)
        assert refused.value.code == code
    with pytest.raises(Misuse):
        renew_trust(believe(make_key_trust()), CHAIN.sign(3), 0)


def walk(believed, signed, show=CHAIN.sign):
    """Find the way to a header; show the headers between."""
    way, asked = find_way(believed, signed, get_now_ms(15)), []
    try:
        asked.append(next(way))
        while True:
            asked.append(way.send(show(asked[-1])))
    except StopIteration as end:
        return end.value, asked


def test_headers_between_lead_where_one_step_does_not():
    believed, asked = walk(believe(CHAIN.make_trust(0)), CHAIN.sign(13))
    assert believed.state.height == 14
    assert asked == [6, 3]
    assert walk(believed, CHAIN.sign(13)) == (believed, [])
    key = believe(make_key_trust())
    assert walk(key, make_chain(1)[0]) == (key, [])


def test_a_liar_leads_nowhere():
    strangers = LightChain({0: make_voters(range(20, 24))}, length=14)
    believed = believe(CHAIN.make_trust(0))
    for show, code in (
        (strangers.sign, "light.too-little-trust"),
        (lambda height: CHAIN.sign(height + 1), "light.wrong-header"),
        (lambda height: change(CHAIN.sign(height), seal=CHAIN.sign(9).seal), "light.other-height"),
    ):
        with pytest.raises(Refusal) as refused:
            walk(believed, strangers.sign(13), show)
        assert refused.value.code == code


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b'{"engine":"raft"}',
        b'{"engine":1}',
        b"[" * 100_000,
        b"\xff",
        b" " * 10 + b"x" * 70_000,
    ],
)
def test_odd_trust_files_are_refused(data):
    with pytest.raises(Refusal) as refused:
        decode_trust(data)
    assert refused.value.code.startswith("encoding.")


def test_a_trust_file_of_one_engine_with_fields_of_the_other_is_refused():
    data = encode_trust(CHAIN.make_trust(3)).replace(b'"cometbft"', b'"embedded"')
    with pytest.raises(Refusal) as refused:
        decode_trust(data)
    assert refused.value.code == "encoding.malformed"


def test_the_first_trust_file_is_made_of_genesis():
    genesis = make_test_validator_genesis()
    trust = make_trust(genesis)
    assert decode_trust(encode_trust(trust)) == trust
    assert trust.height == 0
    assert trust.header_hash == trust.genesis_hash == compute_genesis_hash(genesis).hex()
    assert trust.trusting_period_ms < genesis.consensus.consensus_unbonding_ms
    seats = compute_genesis_set(genesis).seats
    assert [(found.key, found.power) for found in trust.validators] == [
        (seat.key.hex(), seat.power) for seat in seats
    ]
    embedded = make_genesis(chain_id=7, time_ms=1, key=LEDGER.key, balances={})
    assert make_trust(embedded).key == LEDGER.key.hex()


@pytest.mark.parametrize("at", [3, 4, 5, 9, 14])  # what block 1 changes counts from 3 on
def test_a_set_that_is_replaced_at_once_is_reached_over_its_very_height(at):
    chain = LightChain({0: make_voters(range(4)), at: make_voters(range(10, 14))}, length=14)
    for trusted in range(at):
        believed, asked = walk(believe(chain.make_trust(trusted)), chain.sign(13), chain.sign)
        assert believed.state.height == 14
        assert len(asked) <= 8
    # Its predecessor announced it, so following needs nobody between.
    believed = believe(chain.make_trust(0))
    for height in range(1, 14):
        believed = check_next(believed, chain.sign(height), get_now_ms(15))
