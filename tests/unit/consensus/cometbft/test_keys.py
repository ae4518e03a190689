"""The engine's key files: CometBFT's own form, and nothing that only looks like it."""

from __future__ import annotations

import json

import pytest

from probatum.consensus.cometbft.keys import (
    START_STATE,
    compute_node_id,
    decode_node_key,
    decode_validator_key,
    encode_node_key,
    encode_validator_key,
)
from probatum.errors import Refusal
from probatum.protocol.ed25519 import OperatingSigner

# Written by `cometbft init` 0.38.25 for a network that never was.
VALIDATOR = b"""{
  "address": "8AF651867510C99788FE1CD8F565A335397DFBF8",
  "pub_key": {
    "type": "tendermint/PubKeyEd25519",
    "value": "z2eUC/5pJQk2bjywr1g5k2zE57QX53KQVCPwn/G7BwY="
  },
  "priv_key": {
    "type": "tendermint/PrivKeyEd25519",
    "value": "SECRET"
  }
}""".replace(
    b"SECRET",
    b"qejhFapa7eALY9+qaES+03lNYYHbj5xTdWaGJ3nK8fzPZ5QL/mklCTZuPLCvWDmTbMTntBfncpBUI/Cf8bsHBg==",
)
NODE = (
    b'{"priv_key":{"type":"tendermint/PrivKeyEd25519","value":"GEPS1/m9l87+wdzcVJP0GcuvCO+q'
    b'KmcGWMF2rDYoQevD8SNYfNyd2CHMCpfr9losW48Lsn2nqJq5Rj2bnFjEFw=="}}'
)


def test_what_cometbft_writes_is_read_and_written():
    signer = decode_validator_key(VALIDATOR)
    assert encode_validator_key(signer) == VALIDATOR + b"\n"
    assert compute_node_id(signer).upper() == "8AF651867510C99788FE1CD8F565A335397DFBF8"
    node = decode_node_key(NODE)
    assert json.loads(encode_node_key(node)) == json.loads(NODE)
    assert json.loads(START_STATE) == {"height": "0", "round": 0, "step": 0}


def test_secrets_do_not_show():
    assert "qejh" not in repr(decode_validator_key(VALIDATOR))


def test_parts_that_do_not_belong_together_are_refused():
    other = json.loads(encode_validator_key(OperatingSigner(bytes(32))))
    for part in ("address", "pub_key", "priv_key"):
        with pytest.raises(Refusal) as caught:
            decode_validator_key(json.dumps(json.loads(VALIDATOR) | {part: other[part]}).encode())
        assert caught.value.code == "engine.bad-key"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"\xff",
        NODE,
        VALIDATOR[:-10],
        VALIDATOR + b" " * 5_000,
        VALIDATOR.replace(b"Ed25519", b"Secp256k1"),
        VALIDATOR.replace(b"qejh", b"qej"),
        VALIDATOR.replace(b"qejh", b"qe!h"),
        VALIDATOR.replace(b'"address"', b'"extra": 1, "address"'),
    ],
)
def test_what_is_no_key_file_is_refused(data):
    with pytest.raises(Refusal) as caught:
        decode_validator_key(data)
    assert caught.value.code == "engine.bad-key"


def test_a_node_key_whose_halves_differ_is_refused():
    with pytest.raises(Refusal):
        decode_node_key(NODE.replace(b"GEPS", b"GEPT"))
