"""Publishing a model: a name and version for a package digest, for ever.

A name belongs to who published under it first. Otherwise anybody could publish a newer version
of another's model, and whoever asks for the newest would get it.
"""

from __future__ import annotations

from probatum.errors import Refusal
from probatum.ledger.context import Context
from probatum.ledger.state import State
from probatum.protocol import limits
from probatum.protocol.primitives import Address
from probatum.protocol.records import ModelRecord, NameRecord, PackageNameRecord
from probatum.protocol.transactions.kinds import PublishModel

__all__ = ["apply_publish_model"]


def apply_publish_model(
    state: State, context: Context, sender: Address, body: PublishModel
) -> None:
    """Publish a model version.

    Raises:
        Refusal: `ledger.bad-size`, `ledger.name-taken`, `ledger.model-exists`.
    """
    if not 0 < body.size_bytes <= limits.PACKAGE_BYTES:
        raise Refusal("ledger.bad-size", f"a package of {body.size_bytes} bytes")
    name = state.get_name(body.name)
    if name is None:
        state.put_name(body.name, NameRecord(publisher=sender, claimed_at=context.height))
    elif name.publisher != sender:
        raise Refusal("ledger.name-taken", f"the name {body.name} is another publisher's")
    if state.get_model(body.name, body.version) is not None:
        raise Refusal(
            "ledger.model-exists",
            f"{body.name} {body.version} is published already",
            hint="publish it under a new version",
        )
    state.put_model(
        ModelRecord(
            name=body.name,
            version=body.version,
            publisher=sender,
            package=body.package,
            size_bytes=body.size_bytes,
            published_at=context.height,
        )
    )
    state.put_package_name(body.package, PackageNameRecord(name=body.name, version=body.version))
