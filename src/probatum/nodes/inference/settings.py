"""What an inference node is told before it starts: identity, network, packages, windows.

Read once, handed down. Must not know where the values come from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from probatum.protocol import limits
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.eip712 import Domain
from probatum.protocol.manifests import LanguageModel, Manifest
from probatum.protocol.parties import ArithmeticClass, Party
from probatum.protocol.primitives import UNITS_PER_TOKEN, Address, Digest, address_to_hex
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.trust import Trust, get_domain

__all__ = ["InferenceSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceSettings:
    """An inference node's configuration.

    Attributes:
        operator: The account that registered the node.
        signer: The node's operating key.
        payer: A hot account that pays the fees of the node's transactions.
        trust: Which chain to believe.
        ledger: Endpoint of the full node that is followed.
        packages: Manifests of the packages that the runtime has loaded, by package digest.
        arithmetic: Classes to offer; `exact` of those packages alone that have it (`EXACT-1`).
        price_units: Price of an answer, as its offers state it (`PAY-1`); 0 asks for no payment.
        fee_units: Fee of each of the node's transactions.
        open_requests: Work held at one time; one more is refused as busy.
        open_bytes: Inputs held at one time, in bytes.
        open_texts: Texts that are written at one time (`TEXT-1`).
        text_bytes: What they may take of memory, for prompts, limits and logprobs.
        weigh_text: What a text of so many tokens takes of it; without one nothing is weighed.
        recent_bytes: Answers kept for who asks again, in bytes of outputs and documents.
        settle_every_blocks: Blocks between two settlements of one session.
        retry_blocks: Blocks to wait after the ledger refused one of the node's transactions.
        height_slack_blocks: How far a giver's view of the ledger may be ahead of the node's.
        refund_limit_units: What the node pays back by itself for one receipt that it lost.
        stop_grace_ms: When asked to stop, how long to wait for answers and settlement.
        party: The node as its documents name it; not to be given.
    """

    operator: Address
    signer: OperatingSigner
    payer: AccountSigner
    trust: Trust
    ledger: str
    packages: Mapping[Digest, Manifest]
    arithmetic: tuple[ArithmeticClass, ...] = ("float", "exact")
    price_units: int = 0
    fee_units: int = 1_000
    open_requests: int = limits.OPEN_REQUESTS
    open_bytes: int = 1024 * limits.MIB
    open_texts: int = 64
    text_bytes: int = 1024 * limits.MIB
    weigh_text: Callable[[LanguageModel, int], int] = lambda model, tokens: 0  # noqa: ARG005
    recent_bytes: int = 64 * limits.MIB
    settle_every_blocks: int = 2
    retry_blocks: int = 3
    height_slack_blocks: int = 10
    refund_limit_units: int = UNITS_PER_TOKEN
    stop_grace_ms: int = 5_000
    party: Party = field(init=False)

    def list_classes(self, package: Digest) -> tuple[ArithmeticClass, ...]:
        """List the classes in which this node offers a package; none if it does not.

        A language model has the class `exact` alone (`TEXT-1`), or `float` alone if another
        program runs it (`TEXT-2`).
        """
        manifest = self.packages.get(package)
        if manifest is None:
            return ()
        has = {"float": manifest.text is None, "exact": manifest.canonical is not None}
        return tuple(one for one in self.arithmetic if has[one])

    @property
    def domain(self) -> Domain:
        """The network that signatures are for."""
        return get_domain(self.trust)

    def __post_init__(self) -> None:
        """Write the party's name out, once for all documents."""
        account, key = address_to_hex(self.operator), self.signer.key.hex()
        object.__setattr__(self, "party", Party(role="inference", account=account, key=key))
