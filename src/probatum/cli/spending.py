"""What a command may spend: the options that every command takes which may cost something.

Must not know what is bought.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from probatum.cli.accounts import load_signer
from probatum.cli.amounts import parse_tokens
from probatum.cli.settings import Common
from probatum.protocol.primitives import AMOUNT_BOUND

if TYPE_CHECKING:
    from probatum.client.paying import PaymentRules

__all__ = ["NOTHING", "Spend"]

_PAYING = Group("Paying", sort_key=50)


@Parameter(name="*", group=_PAYING)
@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """What may be spent.

    Attributes:
        max_price: On one answer, in tokens; 0 asks for free ones only.
        spend_cap: In all, ever, from this receipts folder, in tokens; None for the whole escrow.
        account: Which account signs.
    """

    max_price: Annotated[
        str, Parameter(help="What the answer may cost, in tokens; 0 asks for free ones only.")
    ] = "0"
    spend_cap: Annotated[
        str | None,
        Parameter(help="What may ever be signed away from here, in tokens; else the escrow."),
    ] = None
    account: Annotated[
        str | None, Parameter(help="Which account pays: its name, or its key file.")
    ] = None

    def make_rules(self, common: Common) -> PaymentRules | None:
        """Make the client's rules; None unless a price was named.

        Raises:
            Refusal: `amount.*`, `account.*`, `key.*`.
        """
        max_price_units = parse_tokens(self.max_price)
        if not max_price_units:
            return None
        from probatum.client.paying import PaymentRules  # noqa: PLC0415 - only who pays needs it

        cap = AMOUNT_BOUND - 1 if self.spend_cap is None else parse_tokens(self.spend_cap)
        return PaymentRules(
            account=load_signer(common, self.account),
            spend_cap_units=cap,
            max_price_units=max_price_units,
        )


NOTHING = Spend()
