"""Driving a receipt's prosecution from a command: proven facts in, one transaction at a time out.

What to do next is decided by `probatum.evidence.prosecution`; here its facts are fetched, its
tiles too, and its bodies sent. Must not print.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypeVar, assert_never

from probatum.cli.reading import get_header, get_record, take
from probatum.cli.sending import get_domain, send_body
from probatum.cli.settings import Common
from probatum.cli.wire import exchange
from probatum.client.wallet import SentOutcome
from probatum.errors import Fault, Refusal
from probatum.evidence.accusing import HeldReceipt
from probatum.evidence.prosecution import (
    Accuse,
    Decision,
    Done,
    FetchBlock,
    FetchTiles,
    Wait,
    Windows,
    prosecute,
)
from probatum.evidence.settlements import Settled, find_settlement
from probatum.ledger.params import Params
from probatum.protocol import records
from probatum.protocol.encoding import LedgerValue
from probatum.protocol.messages import GetBlock, GetLogFile, GotBlock, GotLogFile
from probatum.protocol.primitives import Address, OperatingKey
from probatum.protocol.secp256k1 import AccountSigner

__all__ = ["AskedFacts", "Prosecution", "Standing"]

_R = TypeVar("_R", bound=LedgerValue)
_PAUSE_S: Final = 0.3
_OVERTAKEN: Final = frozenset(
    {
        "ledger.challenged-already",
        "ledger.convicted-already",
        "ledger.covered",
        "ledger.no-such-challenge",
        "ledger.not-overdue",
        "ledger.returned",
    }
)
"""Refusals that mean that the ledger went on meanwhile: decide again."""

Standing: TypeAlias = Accuse | Wait | Done
"""A decision that needs nothing fetched any more."""


class AskedFacts:
    """`LedgerFacts` that are asked for one by one, proven wherever a trust file is named.

    Each record is asked for once: a node that settles at every block must not change what is being
    decided about while its tiles are fetched.
    """

    def __init__(self, common: Common) -> None:
        """Ask for the height, which stays what it is; records may be of later blocks."""
        self._common = common
        self.is_proven = common.find_trust() is not None
        self._height = get_header(common).header.height
        self._known: dict[bytes, LedgerValue | None] = {}

    def _get(self, key: bytes, kind: type[_R]) -> _R | None:
        if key not in self._known:
            self._known[key] = get_record(self._common, key, kind)[0]
        found = self._known[key]
        assert found is None or isinstance(found, kind), "one kind of record a key"
        return found

    @property
    def height(self) -> int:
        """Height of the last block, when this was made."""
        return self._height

    def get_params(self) -> Params:
        """Get the network's parameters. Raises Refusal `wire.no-party` where there are none."""
        found, _ = get_record(self._common, records.PARAMS_KEY, Params)
        if found is None:
            raise Refusal("wire.no-party", "the ledger has no parameters: it is no ledger")
        return found

    def get_node(self, operator: Address) -> records.NodeRecord | None:
        """Get an operator's node."""
        key = records.get_node_key(operator)
        return self._get(key, records.NodeRecord)

    def get_log(self, operator: Address, session: int) -> records.LogRecord | None:
        """Get a log session."""
        key = records.get_log_key(operator, session)
        return self._get(key, records.LogRecord)

    def get_key(self, key: OperatingKey) -> records.KeyRecord | None:
        """Get whose a key is or was."""
        return self._get(records.get_key_key(key), records.KeyRecord)

    def get_challenge(
        self, operator: Address, session: int, index: int
    ) -> records.ChallengeRecord | None:
        """Get the open challenge of an entry."""
        key = records.get_challenge_key(operator, session, index)
        return self._get(key, records.ChallengeRecord)

    def get_offence(
        self, operator: Address, session: int, kind: records.OffenceKind, index: int
    ) -> records.OffenceRecord | None:
        """Get a conviction."""
        key = records.get_offence_key(operator, session, kind, index)
        return self._get(key, records.OffenceRecord)

    def get_return(
        self, operator: Address, session: int, index: int
    ) -> records.ReturnRecord | None:
        """Get where the entry of a lost log is now."""
        key = records.get_return_key(operator, session, index)
        return self._get(key, records.ReturnRecord)

    def get_loss(self, operator: Address) -> records.LossRecord | None:
        """Get the last loss that an operator's node declared."""
        return self._get(records.get_loss_key(operator), records.LossRecord)


@dataclass(slots=True)
class _Files:
    """What was fetched for one decision, or cannot be had."""

    tiles: dict[str, bytes] = field(default_factory=dict)
    withheld: bool = False
    settled: Settled | None = None
    unsigned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Prosecution:
    """One receipt against its node.

    Attributes:
        held: The receipt.
        rival: Another receipt for its place, if there is one.
        patience_blocks: How long to wait beyond a receipt's height before it is challenged.
        sender: Who would send; a challenge of theirs may be given up. None if nobody does.
    """

    common: Common
    held: HeldReceipt
    rival: HeldReceipt | None
    params: Params
    patience_blocks: int
    sender: Address | None

    def decide(self) -> tuple[Standing, int]:
        """Decide what follows now, and say at which height; fetch the log's files if needed.

        Raises:
            Refusal: `tile.*`, `merkle.*` where the node serves another log than it settled.
            Fault: `wire.*`; `prosecuting.no-tiles` where it serves none.
        """
        files = _Files()
        facts = AskedFacts(self.common)
        while True:
            decision = self._decide(facts, files)
            match decision:
                case FetchTiles():
                    try:
                        files.tiles = self._fetch(facts, decision)
                    except Fault:
                        if files.withheld or not self._is_challenger(facts):
                            raise
                        files.withheld = True
                case FetchBlock(height=height):
                    files.settled = self._find_settlement(facts, height)
                    files.unsigned = True  # if it is of no use: nobody gives a better one
                case Accuse() | Wait() | Done():
                    return decision, facts.height
                case _:
                    assert_never(decision)

    def send(self, signer: AccountSigner, accusation: Accuse) -> SentOutcome | None:
        """Send an accusation; None if the ledger went on meanwhile, so that another is due.

        Raises:
            Refusal: With the ledger's code. Fault: `wire.*`, `sending.undecided`.
        """
        try:
            return send_body(self.common, signer, accusation.body)
        except Refusal as refusal:
            if refusal.code not in _OVERTAKEN:
                raise
            time.sleep(_PAUSE_S)
            return None

    def wait(self, until: int, deadline_s: float) -> bool:
        """Wait for a height, or for the node to act; False once the time (monotonic) is over."""
        before, _ = self.decide()
        while time.monotonic() < deadline_s:
            time.sleep(_PAUSE_S)
            now, height = self.decide()
            if height >= until or now != before:
                return True
        return False

    def _is_challenger(self, facts: AskedFacts) -> bool:
        place = self.held.place
        challenge = facts.get_challenge(self.held.operator, place.session, place.index)
        return challenge is not None and challenge.challenger == self.sender

    def _find_settlement(self, facts: AskedFacts, height: int) -> Settled | None:
        """Find the signed checkpoint that settled the log; None where no ledger shows it."""
        log = facts.get_log(self.held.operator, self.held.place.session)
        assert log is not None, "what was settled"
        try:
            got = take(GotBlock, exchange(self.common.get_ledger(), GetBlock(height=height)))
            return find_settlement(get_domain(self.common), log, got.block)
        except (Fault, Refusal):
            return None

    def _decide(self, facts: AskedFacts, files: _Files) -> Decision:
        windows = Windows(
            challenge_blocks=self.params.challenge_window_blocks,
            unbonding_blocks=self.params.unbonding_blocks,
            loss_epoch_blocks=self.params.loss_epoch_blocks,
            patience_blocks=self.patience_blocks,
        )
        return prosecute(
            self.held,
            facts,
            windows,
            rival=self.rival,
            tiles=files.tiles,
            withheld=files.withheld,
            settled=files.settled,
            unsigned=files.unsigned,
        )

    def _fetch(self, facts: AskedFacts, wanted: FetchTiles) -> dict[str, bytes]:
        node = facts.get_node(self.held.operator)
        if node is None:
            raise Fault("prosecuting.no-tiles", "the operator has no node to ask for its log")
        session = self.held.place.session
        try:
            return {
                path: take(
                    GotLogFile, exchange(node.endpoint, GetLogFile(session=session, path=path))
                ).data
                for path in wanted.paths
            }
        except (Fault, Refusal) as error:
            raise Fault(
                "prosecuting.no-tiles",
                f"the log is settled, but its node does not show it: {error.message}",
                hint="try again later; whoever has the log's tiles can finish this",
            ) from None
