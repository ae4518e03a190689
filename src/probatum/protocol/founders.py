"""What a founder of a network tells the others: its account, its keys' public halves, its place.

Founders who share no machine send each other these files and nothing else; one of them writes the
genesis document of all (`FOUND-1`). Signed by both keys that it names, so nobody founds in
another's name. Must not know genesis documents or files.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.ed25519 import OperatingSigner, check_signature
from probatum.protocol.encoding import Document, decode_document, encode_document
from probatum.protocol.hashing import hash_tagged
from probatum.protocol.hexes import HexAddress, HexKey, address_from_document, bytes_from_hex
from probatum.protocol.primitives import (
    Address,
    ConsensusKey,
    make_consensus_key,
    make_operating_key,
    make_operating_signature,
    make_recoverable_signature,
)
from probatum.protocol.secp256k1 import AccountSigner, recover_address

__all__ = ["FOUNDER_BYTES", "Founder", "decode_founder", "encode_founder", "sign_founder"]

FOUNDER_BYTES: Final = 4 * limits.KIB
_TAG: Final = "probatum/founder/1"


class Founder(Document, frozen=True, kw_only=True):
    """One founder, as everybody may know it.

    Attributes:
        name: For people.
        account: Whose stake it is.
        key: The consensus key.
        engine: The name that peers know its engine by.
        host: Where its engine is reached.
        port: The port there.
        account_signature: By the account, 65 bytes.
        key_signature: By the consensus key, 64 bytes.
    """

    format: Literal["probatum-founder/1"]
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")]
    account: HexAddress
    key: HexKey
    engine: Annotated[str, Meta(pattern=r"^[0-9a-f]{40}\Z")]
    host: Annotated[str, Meta(pattern=r"^(?:[A-Za-z0-9.-]{1,253}|\[[0-9a-f:]{2,45}\])\Z")]
    port: Annotated[int, Meta(ge=1, le=65_535)]
    account_signature: Annotated[str, Meta(pattern=r"^(?:[0-9a-f]{130})?\Z")] = ""
    key_signature: Annotated[str, Meta(pattern=r"^(?:[0-9a-f]{128})?\Z")] = ""

    @property
    def address(self) -> Address:
        """The account, as bytes."""
        return address_from_document(self.account)

    @property
    def consensus_key(self) -> ConsensusKey:
        """The consensus key, as bytes."""
        return make_consensus_key(bytes_from_hex(self.key))

    @property
    def peer(self) -> str:
        """Its engine as others connect to it."""
        return f"{self.engine}@{self.host}:{self.port}"


def sign_founder(founder: Founder, account: AccountSigner, voter: OperatingSigner) -> Founder:
    """Sign what a founder says of itself, by both its keys."""
    digest = _compute_digest(founder)
    return msgspec.structs.replace(
        founder,
        account_signature=account.sign_digest(digest).hex(),
        key_signature=voter.sign(digest).hex(),
    )


def encode_founder(founder: Founder) -> bytes:
    """Encode a founder file."""
    return encode_document(founder)


def decode_founder(data: bytes) -> Founder:
    """Decode a founder file and check both its signatures.

    Raises:
        Refusal: `encoding.*`, `founder.bad-signature`.
    """
    founder = decode_document(Founder, data.strip(), limit_bytes=FOUNDER_BYTES)
    try:
        digest = _compute_digest(founder)
        key = make_operating_key(founder.consensus_key)
        voted = make_operating_signature(bytes_from_hex(founder.key_signature))
        check_signature(key, digest, voted)
        owned = make_recoverable_signature(bytes_from_hex(founder.account_signature))
        signed_by = recover_address(digest, owned)
    except Refusal as refusal:
        raise _bad(founder, refusal.message) from None
    if signed_by != founder.address:
        raise _bad(founder, "the account's signature is another's")
    return founder


def _bad(founder: Founder, why: str) -> Refusal:
    return Refusal(
        "founder.bad-signature",
        f"the founder file of {founder.name} is not signed by the keys that it names: {why}",
        hint="have that founder send the file again, as `probatum network found` wrote it",
    )


def _compute_digest(founder: Founder) -> bytes:
    bare = msgspec.structs.replace(founder, account_signature="", key_signature="")
    return hash_tagged(_TAG, encode_document(bare))
