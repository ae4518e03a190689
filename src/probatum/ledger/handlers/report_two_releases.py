"""Convicting a gateway that charged twice for one request (`PAY-1`).

A release is a gateway's last word about a request, on its disk before anybody is told. Of every
request that costs something the first record names chance of the gateway's life (`opener`), and a
later life charges nothing for it: so no crash, lost disk, restored backup or second copy makes an
honest gateway sign two releases with a price for one first record.
"""

from __future__ import annotations

from probatum.errors import Refusal
from probatum.ledger.context import Context
from probatum.ledger.offences import convict_gateway
from probatum.ledger.sessions import check_spoken
from probatum.ledger.state import State
from probatum.protocol.custody import Release, decode_release
from probatum.protocol.dsse import PAYLOAD_TYPE, pae
from probatum.protocol.ed25519 import check_signature
from probatum.protocol.hexes import digest_from_hex, key_from_hex
from probatum.protocol.primitives import Address, OperatingSignature, address_to_hex
from probatum.protocol.transactions.kinds import ReportTwoReleases

__all__ = ["apply_report_two_releases"]


def apply_report_two_releases(
    state: State, context: Context, sender: Address, body: ReportTwoReleases
) -> None:
    """Convict the gateway's operator of charging twice for one request.

    Raises:
        Refusal: `encoding.*`, `statement.*`, `custody.*` unless both are releases;
            `ledger.no-conflict` unless they are two, with a price, of one first record;
            `ledger.wrong-signer` unless the key that each names is or was the operator's;
            `ledger.key-retired` if it was, long ago; `ledger.no-such-escrow` unless each charges
            an escrow of this network for the operator; `ed25519.bad-signature`;
            `ledger.convicted-already`.
    """
    first, second = decode_release(body.first), decode_release(body.second)
    if first.previous != second.previous:
        raise Refusal("ledger.no-conflict", "the releases are of two requests")
    if body.first == body.second:
        raise Refusal("ledger.no-conflict", "it is one release, given twice")
    if not (first.price_units and second.price_units):
        raise Refusal("ledger.no-conflict", "one of them charges nothing")
    _check_release(state, context, body.operator, first)
    _check_release(state, context, body.operator, second)
    _check_signature(first, body.first, body.first_signature)
    _check_signature(second, body.second, body.second_signature)
    convict_gateway(
        state, context, body.operator, first_record=digest_from_hex(first.previous), reporter=sender
    )


def _check_release(state: State, context: Context, operator: Address, release: Release) -> None:
    """Check who speaks, and for which network: a release names it by its escrow alone."""
    record = state.get_key(key_from_hex(release.gateway.key))
    if record is None or record.account != operator:
        raise Refusal("ledger.wrong-signer", "the release's key is none of the operator's")
    if release.gateway.account != address_to_hex(operator):
        raise Refusal("ledger.wrong-signer", "the release names another account")
    check_spoken(context, record, context.height)
    assert release.escrow is not None, "a price without an escrow"
    escrow = state.get_escrow(digest_from_hex(release.escrow))
    if escrow is None or escrow.payee != operator:
        raise Refusal("ledger.no-such-escrow", "the release charges no escrow for the operator")


def _check_signature(release: Release, payload: bytes, signature: OperatingSignature) -> None:
    check_signature(key_from_hex(release.gateway.key), pae(PAYLOAD_TYPE, payload), signature)
