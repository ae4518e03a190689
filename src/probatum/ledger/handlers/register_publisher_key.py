"""Registering a publisher's key: the P-256 key that signs an account's model packages (`SIGN-2`).

A key serves one account, for ever, and is found by its id, which is what a signature names. A new
key retires the one before it; the old record stays, so that what was published under it can still
be verified.
"""

from __future__ import annotations

import msgspec

from probatum.errors import Refusal
from probatum.ledger.context import Context
from probatum.ledger.state import State
from probatum.protocol.p256 import compute_publisher_key_id
from probatum.protocol.primitives import Address
from probatum.protocol.records import PublisherKeyRecord, PublisherRecord
from probatum.protocol.transactions.kinds import RegisterPublisherKey
from probatum.protocol.transactions.possession import check_possession

__all__ = ["apply_register_publisher_key"]


def apply_register_publisher_key(
    state: State, context: Context, sender: Address, body: RegisterPublisherKey
) -> None:
    """Make a key the one that signs for the sender from now on.

    Raises:
        Refusal: `ledger.publisher-key-taken` if it is or was anybody's; `p256.bad-key`,
            `p256.bad-signature`.
    """
    key_id = compute_publisher_key_id(body.key)
    if state.get_publisher_key(key_id) is not None:
        raise Refusal(
            "ledger.publisher-key-taken",
            "this publisher's key is registered already, or was",
            hint="make a new key",
        )
    check_possession(context.domain, sender, body.key, body.possession)
    publisher = state.get_publisher(sender)
    if publisher is not None:
        old = state.get_publisher_key(publisher.key_id)
        assert old is not None, "a publisher's key without a record"
        state.put_publisher_key(
            publisher.key_id, msgspec.structs.replace(old, retired_at=context.height)
        )
    state.put_publisher_key(
        key_id,
        PublisherKeyRecord(
            account=sender, key=body.key, registered_at=context.height, retired_at=None
        ),
    )
    state.put_publisher(PublisherRecord(account=sender, key_id=key_id))
