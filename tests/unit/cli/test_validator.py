"""`probatum validator` (`VAL-1`), over a ledger with validators in memory."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from probatum.cli import main, reading, validator
from probatum.consensus.cometbft.keys import encode_validator_key
from probatum.errors import Refusal
from probatum.ledger.queries import list_items
from probatum.protocol.headers import Header, KeySeal, SignedHeader
from probatum.protocol.messages import GetState, GotState, ListedState, StateItem
from probatum.protocol.primitives import address_to_hex, make_digest
from tests.chain import ENGINE, NO_SIGNATURE, account
from tests.validators import (
    POWER,
    STAKE,
    ValidatorChain,
    consensus_address,
    consensus_key,
    consensus_signer,
    make_test_validator_genesis,
)

D = make_digest(bytes(32))


class Town:
    """A chain of validators, and a person with account 5 at the command line."""

    def __init__(self):
        self.chain = ValidatorChain(make_test_validator_genesis(3))

    def exchange(self, endpoint, message, *, timeout_s=30):
        chain = self.chain
        header = SignedHeader(
            header=Header(
                chain_id=7,
                genesis_hash=D,
                height=chain.height,
                previous=D,
                state_root=D,
                transactions_root=D,
                results_root=D,
                time_ms=chain.time_ms,
            ),
            seal=KeySeal(key=ENGINE.key, signature=NO_SIGNATURE),
        )
        if isinstance(message, GetState):
            (key,) = message.keys
            item = StateItem(key=key, value=chain.state.get(key), proof=b"")
            return GotState(header=header, items=(item,))

        def scan(prefix, after, limit):
            found = sorted(k for k in chain.state if k.startswith(prefix) and k > after)
            return [(k, chain.state[k]) for k in found[:limit]]

        items, more = list_items(scan, message.prefix, message.after, message.limit)
        return ListedState(height=chain.height, items=items, more=more)

    def send(self, common, signer, body, *, fee_units):
        assert signer is account(5)
        (code,) = self.chain.block((5, body))
        if code != "ok":
            raise Refusal(code, "the ledger refused")
        return SimpleNamespace(transaction_hash=D, height=self.chain.height)


@pytest.fixture
def town(tmp_path, monkeypatch):
    town = Town()
    monkeypatch.setenv("PROBATUM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PROBATUM_LEDGER", "http://127.0.0.1:1")
    monkeypatch.delenv("PROBATUM_TRUST", raising=False)
    monkeypatch.setattr(reading, "exchange", town.exchange)
    monkeypatch.setattr(validator, "send_body", town.send)
    monkeypatch.setattr(validator, "load_signer", lambda *_: account(5))
    monkeypatch.setattr(validator, "get_domain", lambda _: town.chain.domain)
    return town


@pytest.fixture
def run(capsys):
    def call(*words, status=0):
        assert main(["validator", *map(str, words), "--json"]) == status, capsys.readouterr()
        said = json.loads(capsys.readouterr().out)
        return said if status == 0 else said["error"]["code"]

    return call


def save_key(folder, number, mode=0o600):
    path = folder / "priv_validator_key.json"
    path.write_bytes(encode_validator_key(consensus_signer(number)))
    path.chmod(mode)
    return path


def test_from_a_key_file_to_a_seat_and_back(town, run, tmp_path):
    me = address_to_hex(account(5).address)
    assert run("show", me, status=1) == "ledger.no-such-validator"
    assert run("stake", "--amount", 1, status=1) == "ledger.no-such-validator"
    assert run("register", save_key(tmp_path, 5))["account"] == me
    assert run("show", me)["standing"] == "too little stake"
    run("stake", "--amount", 12)
    shown = run("show", me)
    assert shown["standing"] == "has a seat"
    assert (shown["power"], shown["bonded_units"]) == (12, STAKE + 2 * 10**9)
    assert shown["consensus_address"] == consensus_address(5).hex().upper()
    assert shown["key"] == consensus_key(5).hex()
    assert shown["is_proven"] is False
    run("unstake", "--amount", 12)
    (entry,) = run("show", me)["unbonding"]
    assert (entry["units"], entry["free_at_height"]) == (12 * 10**9, town.chain.height + 6)
    assert run("withdraw", status=1) == "ledger.nothing-matured"
    town.chain.wait(6)
    run("withdraw")
    assert run("show", me)["unbonding"] == []
    assert run("unjail", status=1) == "ledger.not-jailed"


def test_a_key_file_that_others_can_read_is_refused(town, run, tmp_path):
    assert run("register", save_key(tmp_path, 5, mode=0o644), status=1) == "key.loose-permissions"
    assert run("register", tmp_path / "none.json", status=1) == "key.missing"
    assert town.chain.height == 0


def test_the_list_says_who_has_no_seat_and_why(town, run, capsys):
    chain = town.chain
    chain.wait(9)
    chain.wait(6, absent=[1])
    chain.block(misbehaviour=[chain.offence(2)])
    listed = run("list")
    standings = {row["account"]: row["standing"] for row in listed["validators"]}
    assert standings == {
        address_to_hex(account(0).address): "has a seat",
        address_to_hex(account(1).address): "in jail until height 20",
        address_to_hex(account(2).address): "convicted at height 16, never again",
    }
    assert listed["validators"][0]["power"] == POWER
    shown = run("show", address_to_hex(account(2).address))
    (conviction,) = shown["convictions"]
    assert (conviction["kind"], conviction["height"]) == ("duplicate-vote", 15)
    assert main(["validator", "list"]) == 0
    assert "in jail until height 20" in capsys.readouterr().out
    assert main(["validator", "show", address_to_hex(account(1).address)]) == 0
    # It was jailed for what it had missed, and begins anew.
    assert "0 of at most 5 in the 10 blocks from 10 on" in capsys.readouterr().out


def test_a_chain_of_one_key_has_none(town, run):
    del town.chain.state[b"validator-set"]
    assert run("list", status=1) == "ledger.no-validators"
