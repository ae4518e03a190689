"""Whether a package's signature is its publisher's: keys and models as the ledger has them.

A numbered procedure over records; where they come from, and how far they are proven, is the
caller's matter (`SIGN-2`). Must not know networks.
"""

from __future__ import annotations

from probatum.errors import Refusal
from probatum.hub.signing import PackageSignature
from probatum.protocol.primitives import address_to_hex
from probatum.protocol.records import ModelRecord, PublisherKeyRecord

__all__ = ["check_publisher"]


def check_publisher(
    signature: PackageSignature, key: PublisherKeyRecord | None, model: ModelRecord | None
) -> None:
    """Check that a package is signed by the key of the account that published it.

    Args:
        signature: What the package carries, held to the package already.
        key: The ledger's record under the key id that the signature names.
        model: The ledger's record of the package's publication, None if it is not published:
            then the key alone is checked.

    Raises:
        Refusal: `provenance.unknown-key`, `provenance.other-publisher`,
            `provenance.key-retired`, and those of `PackageSignature.check`.
    """
    # 1. The ledger knows whose the key is.
    if key is None:
        raise Refusal(
            "provenance.unknown-key",
            f"nobody has registered the key {signature.key_id.hex()} that signed this",
            hint="its publisher does so with `probatum account publisher-key register`",
        )
    # 2. That key did sign.
    signature.check(key.key)
    # 3. Its account is the one that published; else anybody could vouch for anything.
    if model is not None and model.publisher != key.account:
        raise Refusal(
            "provenance.other-publisher",
            f"signed by {address_to_hex(key.account)}, "
            f"published by {address_to_hex(model.publisher)}",
        )
    # 4. A key that was replaced vouches only for what was on the ledger by then: who stole it
    #    later can sign, but not publish into the past.
    if key.retired_at is not None and (model is None or model.published_at > key.retired_at):
        raise Refusal(
            "provenance.key-retired",
            f"the key was replaced at height {key.retired_at}, before this was published",
            hint="sign it again with the publisher's present key",
        )
