"""What a party has promised one payee: signed, known to be charged, still in flight (`PAY-1`).

The payer's side of an escrow, the same for a client (its payees are gateways) and a gateway (its
payees are nodes). A voucher is money once it has left, so whatever bounds the loss is checked
before it is signed. Pure. Must not know receipts, releases or transactions. Read next: `tabs`,
the payee's side.
"""

from __future__ import annotations

from collections.abc import Mapping

from probatum.errors import Misuse, Refusal
from probatum.protocol.eip712 import Domain
from probatum.protocol.primitives import Digest, RequestId
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.vouchers import SignedVoucher, Voucher, sign_voucher

__all__ = ["Purse"]


class Purse:
    """One payer's account of one escrow.

    Attributes:
        escrow: Its id.
        signed_units: The greatest total that was ever signed: all that the payee can ever collect.
        charged_units: The greatest running total that the payee has stated and the payer believes.
        seen_units: Sum of the prices of the answers that the payer has got.
    """

    def __init__(
        self,
        escrow: Digest,
        *,
        signed_units: int = 0,
        charged_units: int = 0,
        seen_units: int = 0,
    ) -> None:
        """Make it with nothing in flight."""
        self.escrow = escrow
        self.signed_units = signed_units
        self.charged_units = charged_units
        self.seen_units = seen_units
        self._lost_units = 0
        self._reserved: dict[str, int] = {}

    @property
    def reserved(self) -> Mapping[str, int]:
        """Prices of what is in flight, by the owner's names."""
        return self._reserved

    def plan(self, price_units: int) -> int:
        """Compute the total that a voucher for one more answer would have to say."""
        needed = self.charged_units + self._lost_units + sum(self._reserved.values()) + price_units
        return max(self.signed_units, needed)

    def sign(
        self,
        name: str,
        price_units: int,
        request_id: RequestId,
        *,
        limit_units: int,
        domain: Domain,
        signer: AccountSigner,
    ) -> SignedVoucher:
        """Sign for one more answer.

        Args:
            name: The owner's, for what goes into flight; must be new.
            price_units: What may be charged for it at most.
            request_id: The request that it pays for.
            limit_units: No greater total than this is signed, whatever is asked.
            domain: The network.
            signer: The escrow's payer.

        Raises:
            Refusal: `payment.over-limit`; nothing was signed then.
        """
        if name in self._reserved:
            raise Misuse("purse.name-twice", "this answer is paid for already")
        total = self.plan(price_units)
        if total > limit_units:
            raise Refusal(
                "payment.over-limit",
                f"a voucher of {total} units would be needed; the limit is {limit_units}",
                hint="raise the limit, or wait for what is in flight",
            )
        voucher = Voucher(escrow=self.escrow, total_units=total, last_request=request_id)
        signed = sign_voucher(domain, signer, voucher)
        self._reserved[name] = price_units
        self.signed_units = total
        return signed

    @staticmethod
    def check_charge(
        price_units: int, running_total_units: int, *, agreed_units: int, limit_units: int
    ) -> None:
        """Check what an answer says that it costs, before the answer is taken.

        A running total may be ahead of what this payer has seen charged, by answers that got lost
        on the way; it is never ahead of what may have been signed.

        Args:
            price_units: What the answer costs.
            running_total_units: What the payee has charged in all.
            agreed_units: What the payer has agreed to for this answer.
            limit_units: The greatest total that this payer, or an earlier life, can have signed.

        Raises:
            Refusal: `payment.overcharged`.
        """
        if price_units > agreed_units:
            raise Refusal("payment.overcharged", f"{price_units} units, agreed were {agreed_units}")
        if not price_units <= running_total_units <= limit_units:
            raise Refusal(
                "payment.overcharged",
                f"a running total of {running_total_units} units; at most {limit_units} are signed",
            )

    def settle(self, name: str, price_units: int, running_total_units: int) -> None:
        """Take an answer whose price `check_charge` has passed."""
        self.drop(name)
        self.seen_units += price_units
        self.charged_units = max(self.charged_units, running_total_units)
        self.signed_units = max(self.signed_units, running_total_units)
        if not self._reserved:
            # Whatever else was in flight was charged by now, or will come to light as a refusal.
            self._lost_units = 0

    def drop(self, name: str) -> None:
        """Take something out of flight that brought no answer. What was signed for it stays so."""
        self._reserved.pop(name, None)

    def take_tab(self, charged_units: int, reserved_units: int) -> None:
        """Learn what the payee says: answers that were charged and never came, or an earlier life.

        Whether it is true shows in what the payee has signed; how far it is followed, `sign`'s
        limit says.
        """
        self.charged_units = max(self.charged_units, charged_units)
        known = self.charged_units + sum(self._reserved.values())
        self._lost_units = max(0, charged_units + reserved_units - known)
