"""What is known of a storm's trials: who cheats, what was done, what is held against whom.

Kept outside the machines, so it outlives them; cheats write their deeds into it, prosecutors what
they hold, and `checkers.trials` compares both with the ledger. Must not know machines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from probatum.evidence.accusing import HeldReceipt
from probatum.protocol.primitives import Address, Digest, RequestId, address_to_hex
from probatum.protocol.records import OffenceKind
from probatum.protocol.transactions.kinds import ReportTwoCharges, ReportTwoReleases

__all__ = ["Act", "Case", "ChargeCase", "Deeds", "Docket", "ForkCase", "Verdict"]

Verdict: TypeAlias = Literal["open", "convicted", "settled", "other"]
"""Where a receipt's case stands; ``other``: nothing follows, for a reason of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One thing that a cheater signed and should not have, or left out.

    Attributes:
        index: The entry's; 0 of a fork.
        entry: SHA-256 of the receipt's payload that was said, of a forged checkpoint, or of the
            release that charged again.
        first_record: Of the request that a gateway charged for twice.
    """

    kind: OffenceKind
    session: int
    index: int
    entry: Digest
    first_record: Digest | None = None


@dataclass(slots=True, kw_only=True)
class Deeds:
    """One cheater, through all its lives.

    Attributes:
        cheat: Which kind.
        acts: In order; repeating the same word is one act.
        limit: So many acts at most, where one can stop.
        over: It behaves from now on.
    """

    cheat: str
    operator: Address
    limit: int
    acts: list[Act] = field(default_factory=list)
    over: bool = False

    @property
    def is_willing(self) -> bool:
        """Whether it would do one more."""
        return not self.over and len(self.acts) < self.limit

    def begin(self) -> None:
        """Cheat from now on."""
        self.over = False

    def end(self) -> None:
        """Behave from now on."""
        self.over = True


@dataclass(slots=True, kw_only=True)
class Case:
    """One receipt that a prosecutor holds.

    Attributes:
        known_at: Height at which it came to hold it.
        not_before: Nothing can be done before the ledger has this height.
        busy: An accusation is on its way.
    """

    held: HeldReceipt
    request_id: RequestId
    known_at: int
    verdict: Verdict = "open"
    why: str = ""
    not_before: int = 0
    busy: bool = False


@dataclass(slots=True, kw_only=True)
class ForkCase:
    """One signed checkpoint that a prosecutor holds."""

    operator: Address
    session: int
    size: int
    raw: bytes
    entry: Digest
    known_at: int
    verdict: Verdict = "open"
    busy: bool = False
    not_before: int = 0


@dataclass(slots=True, kw_only=True)
class ChargeCase:
    """Two charges for one piece of work, by bundles that a prosecutor holds."""

    body: ReportTwoCharges | ReportTwoReleases
    first_record: Digest
    known_at: int
    verdict: Verdict = "open"
    busy: bool = False
    not_before: int = 0


@dataclass(slots=True)
class Docket:
    """Everything about a storm's trials.

    Attributes:
        deeds: Of each cheater, by its party's name.
        forgetful: Operators of honest nodes whose disk is lost, by their party's name.
        cases: By log entry: what prosecutors hold.
        forks: By digest of the checkpoint.
        charges: By digest of the release that charged again.
        griefers: Accounts of those who accuse falsely, by their party's name.
    """

    deeds: dict[str, Deeds] = field(default_factory=dict)
    forgetful: dict[str, Address] = field(default_factory=dict)
    cases: dict[Digest, Case] = field(default_factory=dict)
    forks: dict[Digest, ForkCase] = field(default_factory=dict)
    charges: dict[Digest, ChargeCase] = field(default_factory=dict)
    griefers: dict[str, Address] = field(default_factory=dict)

    def excuses(self, party: str) -> bool:
        """Tell whether a party, by name or account in hex, may break its word to customers."""
        if party in self.deeds or party in self.forgetful:
            return True
        accounts = [deeds.operator for deeds in self.deeds.values()]
        return party in map(address_to_hex, (*accounts, *self.forgetful.values()))
