"""What the ledger must know before a network serves: stakes, nodes, models.

Asks what is there and sends what is missing, so it may be repeated at every start and after any
interruption. One conversation at a time for each account. Must not know processes or folders.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

from probatum.errors import Fault, Refusal
from probatum.hub.package import Package
from probatum.protocol import limits
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.eip712 import Domain
from probatum.protocol.encoding import LedgerValue, decode, encode
from probatum.protocol.messages import (
    GetState,
    GotState,
    ListedState,
    ListState,
    Message,
    Outcome,
    Refused,
    Submit,
)
from probatum.protocol.parties import Role
from probatum.protocol.primitives import (
    UNITS_PER_TOKEN,
    Address,
    Digest,
    address_to_hex,
    make_operating_signature,
)
from probatum.protocol.records import (
    OFFER,
    Account,
    ModelRecord,
    NodeRecord,
    OfferRecord,
    StakeRecord,
    get_account_key,
    get_model_key,
    get_node_key,
    get_stake_key,
)
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.transactions.kinds import Body, PublishModel, RegisterNode, Stake
from probatum.protocol.transactions.signed import sign_authority, sign_transaction

__all__ = ["Converse", "LedgerDesk", "NewNode", "make_publication"]

Converse: TypeAlias = Callable[[str, Message, float], AsyncGenerator[Message, None]]
"""Opens a conversation: endpoint, message, timeout in seconds; yields the replies."""

STAKE_UNITS: Final = 100 * UNITS_PER_TOKEN
FEE_UNITS: Final = 1_000
_TIMEOUT_S: Final = 30.0

V = TypeVar("V", bound=LedgerValue)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewNode:
    """A node to be registered: who answers for it, its key, where it is, what it does."""

    operator: AccountSigner
    signer: OperatingSigner
    endpoint: str
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerDesk:
    """Brings what is missing to one full node."""

    converse: Converse
    endpoint: str
    domain: Domain

    async def ensure_stake(self, operator: AccountSigner) -> None:
        """Bond `STAKE_UNITS` unless as much is bonded. Errors as `send`."""
        stake = await self.get(get_stake_key(operator.address), StakeRecord)
        bonded = stake.bonded if stake else 0
        if bonded < STAKE_UNITS:
            await self.send(operator, Stake(amount=STAKE_UNITS - bonded))

    async def ensure_node(self, node: NewNode) -> None:
        """Register the node unless the ledger has it just so. Errors as `send`."""
        address = node.operator.address
        known = await self.get(get_node_key(address), NodeRecord)
        wanted = (node.signer.key, node.endpoint, (node.role,))
        if known is not None and (known.operating_key, known.endpoint, known.roles) == wanted:
            return
        unsigned = RegisterNode(
            operating_key=node.signer.key,
            endpoint=node.endpoint,
            roles=(node.role,),
            authority=make_operating_signature(bytes(64)),
        )
        authority = sign_authority(self.domain, node.signer, address, unsigned)
        body = RegisterNode(
            operating_key=node.signer.key,
            endpoint=node.endpoint,
            roles=(node.role,),
            authority=authority,
        )
        await self.send(node.operator, body)

    async def ensure_model(self, publisher: AccountSigner, model: PublishModel) -> None:
        """Publish the model unless it is published.

        Raises:
            Refusal: `network.model-taken` if the version names another package; else as `send`.
        """
        known = await self.get(get_model_key(model.name, model.version), ModelRecord)
        if known is None:
            await self.send(publisher, model)
        elif known.package != model.package:
            raise Refusal(
                "network.model-taken",
                f"{model.name} {model.version} is published here as another package",
                hint="a published version never changes: give the new package a new version",
            )

    async def list_offers(self, package: Digest) -> tuple[OfferRecord, ...]:
        """List the standing offers to run a package."""
        prefix = OFFER + package
        page = await self.ask(ListState(prefix=prefix, after=b"", limit=1_000))
        if not isinstance(page, ListedState):
            raise _odd_reply(page)
        values = [item.value for item in page.items if item.value is not None]
        return tuple(
            decode(OfferRecord, value, limit_bytes=limits.STATE_VALUE_BYTES) for value in values
        )

    async def get_node(self, operator: Address) -> NodeRecord | None:
        """Get an operator's node."""
        return await self.get(get_node_key(operator), NodeRecord)

    async def get(self, key: bytes, kind: type[V]) -> V | None:
        """Get one record as the full node tells it, unproven.

        Raises:
            Refusal: What the full node refuses with; `encoding.*`.
            Fault: `transport.*` and the like; `network.odd-reply`.
        """
        reply = await self.ask(GetState(keys=(key,), prove=False))
        if not isinstance(reply, GotState) or [item.key for item in reply.items] != [key]:
            raise _odd_reply(reply)
        value = reply.items[0].value
        return None if value is None else decode(kind, value, limit_bytes=limits.STATE_VALUE_BYTES)

    async def send(self, sender: AccountSigner, body: Body) -> int:
        """Send a transaction and return the height of the block that has it.

        Raises:
            Refusal: `network.transaction-refused`, with the ledger's code.
            Fault: As `get`.
        """
        account = await self.get(get_account_key(sender.address), Account)
        signed = sign_transaction(
            self.domain,
            sender,
            nonce=account.nonce if account else 0,
            fee_units=FEE_UNITS,
            body=body,
        )
        reply = await self.ask(Submit(transaction=encode(signed)))
        if not isinstance(reply, Outcome):
            raise _odd_reply(reply)
        if reply.code != "ok":
            raise Refusal(
                "network.transaction-refused",
                f"the ledger refused {type(body).__name__} of "
                f"{address_to_hex(sender.address)}: {reply.code}",
            )
        return reply.height

    async def ask(self, message: Message) -> Message:
        """Ask the full node one thing and return its last reply.

        Raises:
            Refusal: What it refuses with.
            Fault: As `get`.
        """
        async with aclosing(self.converse(self.endpoint, message, _TIMEOUT_S)) as replies:
            reply = await anext(replies, None)
        if reply is None:
            raise Fault("network.odd-reply", f"{self.endpoint} gave no reply")
        if isinstance(reply, Refused):
            raise Refusal(reply.code, reply.message, hint=reply.hint)
        return reply


def _odd_reply(reply: Message) -> Fault:
    return Fault("network.odd-reply", f"the full node replied {type(reply).__name__}")


def make_publication(package: Package) -> PublishModel:
    """Make what publishes a package's model."""
    manifest = package.manifest
    return PublishModel(
        name=manifest.name,
        version=manifest.version,
        package=package.digest,
        size_bytes=len(package.manifest_bytes) + sum(entry.size for entry in manifest.files),
    )
