"""Moving units between balances and stakes: the few words that handlers share.

Must not know transactions.
"""

from __future__ import annotations

from probatum.errors import Refusal
from probatum.ledger.params import Params, get_minimum_stake
from probatum.ledger.state import State
from probatum.protocol.parties import Role
from probatum.protocol.primitives import Address
from probatum.protocol.records import Account, StakeRecord, Supply, Unbonding

__all__ = ["burn", "check_amount", "check_stake", "credit", "debit", "take_stake"]


def check_amount(amount: int) -> None:
    """Check that a transaction moves anything. Raises Refusal `ledger.zero-amount`."""
    if amount == 0:
        raise Refusal("ledger.zero-amount", "the amount is zero")


def debit(state: State, account: Address, amount: int) -> None:
    """Take units from a balance. Raises Refusal `ledger.balance-too-low`."""
    record = state.get_account(account)
    if record.balance < amount:
        raise Refusal(
            "ledger.balance-too-low", f"the balance is {record.balance} units, not {amount}"
        )
    state.put_account(account, Account(balance=record.balance - amount, nonce=record.nonce))


def credit(state: State, account: Address, amount: int) -> None:
    """Add units to a balance; conservation keeps it below the supply."""
    record = state.get_account(account)
    state.put_account(account, Account(balance=record.balance + amount, nonce=record.nonce))


def check_stake(state: State, params: Params, account: Address, roles: tuple[Role, ...]) -> None:
    """Check that an operator has bonded what its roles need.

    Raises:
        Refusal: `ledger.stake-too-low`.
    """
    bonded, needed = state.get_stake(account).bonded, get_minimum_stake(params, roles)
    if bonded < needed:
        raise Refusal(
            "ledger.stake-too-low",
            f"{bonded} units are bonded where {' and '.join(roles)} need {needed}",
            hint="stake first",
        )


def burn(state: State, amount: int) -> None:
    """Count units, already taken from somebody, as burned."""
    supply = state.get_supply()
    state.put_supply(Supply(issued=supply.issued, burned=supply.burned + amount))


def take_stake(state: State, account: Address, amount: int) -> int:
    """Take up to `amount` units of stake: bonded ones first, then what would be free the soonest.

    Returns:
        What was there to be taken; the caller burns it or gives it to somebody.
    """
    stake = state.get_stake(account)
    left = amount - min(amount, stake.bonded)
    kept: list[Unbonding] = []
    for entry in stake.unbonding:
        taken = min(left, entry.amount)
        left -= taken
        if taken < entry.amount:
            kept.append(Unbonding(amount=entry.amount - taken, matures_at=entry.matures_at))
    bonded = max(0, stake.bonded - amount)
    state.put_stake(account, StakeRecord(bonded=bonded, unbonding=tuple(kept)))
    return amount - left
