"""What is asked: the facts of a request that every later document is bound to.

The facts name tensors by salted roots, never by content, so a record can be shown to strangers
without telling what was asked (`SALT-1`). Client, gateway and node compute the same digest from
their own copy of the inputs. Must not know transport.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from probatum.protocol import limits
from probatum.protocol.encoding import Document, encode_document
from probatum.protocol.hashing import sha256
from probatum.protocol.hexes import HexDigest
from probatum.protocol.parties import ArithmeticClass, Drawer, EvidenceClass
from probatum.protocol.primitives import Digest, RequestId
from probatum.protocol.tensors import TensorHead

__all__ = ["ModelRef", "RequestFacts", "compute_request_digest"]


class ModelRef(Document, frozen=True, kw_only=True):
    """A model by content: the digest of its package, and of its canonical graph once it has one."""

    package: HexDigest
    canonical: HexDigest | None = None


class RequestFacts(Document, frozen=True, kw_only=True):
    """Everything about a request that its digest binds (`RECEIPT-1`).

    `nonce` is public chance for models that draw; `salt_commitment` hides the salt. Fields with
    defaults are absent until a later version of the network fills them.
    """

    request_id: RequestId
    model: ModelRef
    arithmetic: ArithmeticClass
    assurance: EvidenceClass
    inputs: Annotated[tuple[TensorHead, ...], Meta(max_length=limits.TENSORS_PER_REQUEST)]
    salt_commitment: HexDigest
    salt_by: Drawer
    nonce: HexDigest
    nonce_by: Drawer
    sealed: bool = False


def compute_request_digest(facts: RequestFacts) -> Digest:
    """Compute SHA-256 of the canonical encoding of the facts."""
    return sha256(encode_document(facts))
