"""Closing a challenge that was answered: the receipt is settled, late (`LOG-1`).

Anybody may; the challenger does for its bond, the operator so that none stays open. If what was
settled is another entry, this cannot be done, and `report_wrong_entry` convicts. Where the node
settled its log and shows nobody what is in it, the challenger alone can end the challenge, after
the deadline: who cannot see the entry must not leave the bond behind.
"""

from __future__ import annotations

from probatum.errors import Refusal
from probatum.ledger.balances import burn, take_stake
from probatum.ledger.context import Context
from probatum.ledger.offences import end_challenge
from probatum.ledger.sessions import get_log
from probatum.ledger.state import State
from probatum.protocol.merkle import check_inclusion, leaf_hash
from probatum.protocol.primitives import Address
from probatum.protocol.transactions.kinds import CloseChallenge

__all__ = ["apply_close_challenge"]


def apply_close_challenge(
    state: State, context: Context, sender: Address, body: CloseChallenge
) -> None:
    """Burn the late fee of the operator's stake, if the entry is shown, and give the bond back.

    Raises:
        Refusal: `ledger.no-such-log`, `ledger.no-such-challenge`; `ledger.not-covered` if the
            settled log does not reach the entry; `merkle.*` unless the proof shows it there, or
            the challenger gives up after the deadline.
    """
    log = get_log(state, body.operator, body.session)
    challenge = state.get_challenge(body.operator, body.session, body.index)
    if challenge is None:
        raise Refusal("ledger.no-such-challenge", f"no challenge of entry {body.index} is open")
    if body.index >= log.size:
        raise Refusal("ledger.not-covered", f"entry {body.index} is not settled yet")
    gives_up = not body.inclusion and sender == challenge.challenger
    # In a log of one entry the empty proof may be a proof: then nobody gives up.
    if not gives_up or log.size == 1 or context.height <= challenge.deadline_at:
        leaf = leaf_hash(challenge.entry)
        check_inclusion(leaf, body.index, log.size, body.inclusion, log.root)
        burn(state, take_stake(state, log.operator, context.params.late_fee_units))
    end_challenge(state, challenge)
