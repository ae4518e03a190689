"""The table of parameters: every row has a purpose, and bounds hold."""

import msgspec
import pytest

from probatum.errors import Refusal
from probatum.ledger.params import (
    Params,
    decode_params,
    get_minimum_stake,
    get_slash,
    list_parameters,
)
from probatum.protocol.encoding import encode


def test_every_parameter_says_what_it_is_for():
    table = list_parameters()
    assert [row.name for row in table] == list(Params.__struct_fields__)
    assert all(row.description.endswith(".") for row in table)
    assert {row.name: row.default for row in table} == msgspec.structs.asdict(Params())


def test_encoding_is_strict():
    params = Params(min_fee_units=7)
    assert decode_params(encode(params)) == params
    for bad in (encode(params)[:-1], encode(Params(unbonding_blocks=0)), b"\x90"):
        with pytest.raises(Refusal):
            decode_params(bad)


def test_each_role_needs_its_own_stake():
    params = Params(min_stake_gateway_units=3, min_stake_inference_units=4)
    assert get_minimum_stake(params, ("gateway",)) == 3
    assert get_minimum_stake(params, ("gateway", "inference")) == 7


def test_each_offence_has_its_price_and_half_of_it_at_least_is_burned():
    params = Params(
        slash_entry_units=1, slash_fork_units=2, slash_omission_units=3, slash_charge_units=4
    )
    kinds = ("entry", "fork", "omission", "charge")
    assert [get_slash(params, kind) for kind in kinds] == [1, 2, 3, 4]
    with pytest.raises(Refusal):
        decode_params(encode(Params(reporter_share_permille=501)))


def test_a_payee_has_longer_to_collect_than_a_node_to_settle():
    # Its vouchers ride on its checkpoints; one that was challenged is still in time.
    params = Params()
    windows = params.include_window_blocks + params.challenge_window_blocks
    assert params.escrow_delay_blocks >= 2 * windows
