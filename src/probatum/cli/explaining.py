"""What a refusal of the ledger means for who sent the transaction, and what to do about it.

The ledger tells a code and no sentence, since every node must tell the same. Codes that a person
meets by an ordinary command have one here; `docs/spec/refusals.md` lists all. Must not send
anything.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from probatum.cli.settings import Common
from probatum.protocol.primitives import UNITS_PER_TOKEN, Address, address_to_hex

__all__ = ["OF_FUNDS", "explain_refusal"]

OF_FUNDS: Final = frozenset({"ledger.fee-not-covered", "ledger.balance-too-low"})
"""Whoever met one of these can be told what is missing."""

_BALANCE: Final = "probatum account balance {payer}"
_SAYINGS: Final = MappingProxyType(
    {
        "ledger.fee-not-covered": ("{payer} cannot pay the fee of {fee} units", "{fund}"),
        "ledger.balance-too-low": ("{payer} holds less than that and the fee", "{fund}"),
        "ledger.fee-too-low": ("the network asks a higher fee", "offer more: --fee-units"),
        "ledger.stake-too-low": ("{payer} has less bonded than that needs", _BALANCE),
        "ledger.nothing-matured": (
            "nothing that {payer} unbonded has matured yet",
            "`probatum account balance {payer}` shows what is unbonding; try again later",
        ),
        "ledger.no-such-escrow": (
            "{payer} never opened an escrow for this payee",
            "`probatum pay status` lists escrows; `probatum pay fund --amount 1` opens one",
        ),
        "ledger.escrow-empty": ("nothing is left in the escrow", "probatum pay status"),
        "ledger.escrow-open": (
            "the escrow is not closed, or its span is not over",
            "`probatum pay close` announces it; `probatum pay status` shows when",
        ),
        "ledger.closing-already": ("the escrow is closing already", "probatum pay status"),
        "ledger.model-exists": (
            "this name and version are published already, for ever",
            "publish it as a new version",
        ),
        "ledger.name-taken": ("the name is another publisher's, for ever", "take another name"),
        "ledger.key-taken": (
            "this operating key is another account's, for ever",
            "make a home of its own: probatum node init",
        ),
        "ledger.publisher-key-taken": (
            "this publisher's key was registered before",
            "make another: probatum account publisher-key new NAME",
        ),
        "ledger.consensus-key-taken": (
            "this consensus key was registered before",
            "a validator needs a key of its own; see `probatum validator list`",
        ),
        "ledger.no-such-validator": (
            "{payer} has registered no consensus key",
            "probatum validator register KEY_FILE",
        ),
        "ledger.no-validators": ("one key signs this chain: it has no validators", ""),
        "ledger.not-jailed": ("the validator is not in jail", "probatum validator show {payer}"),
        "ledger.jail-not-over": (
            "the jail is not over yet",
            "`probatum validator show {payer}` says at which height",
        ),
        "ledger.last-validator": ("nobody else would be left to make blocks", ""),
    }
)


def explain_refusal(
    common: Common, code: str, payer: Address, fee_units: int, missing_units: int
) -> tuple[str, str]:
    """Say in a sentence why the ledger refused, and what to do; both empty if the code says all.

    Args:
        common: Which ledger was asked; if it is that of a network here, its account gives tokens.
        code: The ledger's.
        payer: Account that sent the transaction.
        fee_units: What it offered.
        missing_units: What it lacks for that and another fee, as far as is known.
    """
    why, hint = _SAYINGS.get(code, ("", ""))
    account = address_to_hex(payer)
    tokens = max(1, -(-missing_units // UNITS_PER_TOKEN))
    fund = f"send it some: probatum account send {account} --amount {tokens} --account OTHER"
    if (giver := common.get_giver()) is not None:
        fund = fund.replace("OTHER", giver)
    facts = {"payer": account, "fee": fee_units, "fund": fund}
    return why.format(**facts), hint.format(**facts)
