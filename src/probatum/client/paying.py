"""How a client pays: a voucher with each request, never past its spend cap (`PAY-1`).

Who is paid, and what lies in the escrow, the ledger proves; what the gateway says was charged, the
gateway has signed. The cap is checked before anything is signed, and what was signed is on disk
before it leaves, so a restart never signs past the cap either. Must not know answers' content.
Read next: `purse`, `purse_file`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from probatum.client.payees import Network, check_statement, find_gateway, read_escrow
from probatum.client.purse import Purse
from probatum.client.purse_file import PurseFile, PurseState, keep
from probatum.errors import Misuse, Refusal
from probatum.protocol.custody import Release
from probatum.protocol.messages import (
    Ask,
    GetTab,
    Message,
    Payment,
    Refused,
    Tab,
)
from probatum.protocol.primitives import Address, RequestId
from probatum.protocol.records import EscrowRecord
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.vouchers import compute_escrow_id

__all__ = ["Payer", "PaymentRules"]

_TURNS: Final = 6
_PAUSE_S: Final = 0.7
_TOO_LOW: Final = "payment.voucher-too-low"
_NOT_SEEN_YET: Final = frozenset({"payment.no-escrow", "payment.not-funded"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRules:
    """What a client may spend.

    Attributes:
        account: Signs vouchers; the escrow's payer.
        spend_cap_units: Most that may ever be signed away through this receipts folder, beyond
            what the gateway had collected before.
        max_price_units: Most that one answer may cost, unless a request says otherwise.
        lost_units: Most that the gateway may have charged, or keep reserved, for answers that
            never came, before no more is signed; ten answers by default.
        payee: The gateway's operator; found on the ledger by the gateway's address if absent.
    """

    account: AccountSigner
    spend_cap_units: int
    max_price_units: int
    lost_units: int | None = None
    payee: Address | None = None


class Payer:
    """Pays one gateway for many requests, also side by side."""

    def __init__(self, rules: PaymentRules, network: Network, folder: Path) -> None:
        """Make it; nothing is opened before it is used.

        Args:
            rules: What may be spent.
            network: Whom to talk to.
            folder: Where the purse is kept: the receipts' folder.
        """
        self._rules = rules
        self._network = network
        self._folder = folder
        self._file: PurseFile | None = None
        self._state: PurseState | None = None
        self._purse: Purse | None = None
        self._payee: Address | None = rules.payee
        self._capacity = 0
        self._opening = asyncio.Lock()

    def close(self) -> None:
        """Give the purse's file back; harmless when repeated."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._purse = None

    async def ask(
        self, message: Ask, max_price_units: int, send: Callable[[Ask], Awaitable[Message]]
    ) -> Message:
        """Send a request with a voucher; sign anew where the gateway knows better.

        Args:
            message: The request, with its id.
            max_price_units: What its answer may cost.
            send: Sends it.

        Raises:
            Refusal: As `pay` and `learn_tab`.
            Fault: `transport.*`, `store.*`.
        """
        request_id = message.request_id
        if request_id is None:
            raise Misuse("payment.no-request-id", "a voucher pays for a request with an id")
        reply: Message | None = None
        for turn in range(_TURNS):
            payment = await self.pay(request_id, max_price_units)
            reply = await send(msgspec.structs.replace(message, payment=payment))
            if not isinstance(reply, Refused) or turn + 1 == _TURNS:
                break
            if reply.code == _TOO_LOW:
                self.drop(request_id)
                await self.learn_tab()
            elif reply.code in _NOT_SEEN_YET:
                # The ledger has proven it to us: the gateway is a block behind.
                self.drop(request_id)
                await asyncio.sleep(_PAUSE_S)
            else:
                break
        assert reply is not None, "there was a turn"
        return reply

    async def pay(self, request_id: RequestId, max_price_units: int) -> Payment:
        """Sign for one request.

        Raises:
            Refusal: `payment.over-cap`, `payment.exposed`, `payment.escrow-too-small`,
                `payment.no-escrow`, `payment.escrow-closing`, `payment.unknown-gateway`,
                `purse.in-use`.
            Fault: `transport.*`, `store.*`.
        """
        async with self._opening:
            if self._purse is None:
                await self._open()
            purse = self._get_purse()
            if purse.plan(max_price_units) > self._capacity:
                # Somebody may have put more into it.
                await self._read_escrow()
            # From here to the disk nothing else runs: two requests never sign the same units.
            self._check_limits(purse, max_price_units)
            signed = purse.sign(
                request_id,
                max_price_units,
                request_id,
                limit_units=self._capacity,
                domain=self._network.domain,
                signer=self._rules.account,
            )
            try:
                self._save()
            except BaseException:
                self.drop(request_id)
                raise
        return Payment(voucher=signed, max_price_units=max_price_units)

    def is_paying(self, request_id: RequestId) -> bool:
        """Tell whether a voucher was signed for a request that is still in flight."""
        return self._purse is not None and request_id in self._purse.reserved

    def settle(self, request_id: RequestId, release: Release) -> None:
        """Check and count what a release charges.

        Raises:
            Refusal: `payment.overcharged`, `payment.wrong-escrow`. The release is signed: it shows
                what the gateway did.
        """
        purse = self._get_purse()
        total = release.running_total_units
        if not release.price_units and release.escrow is None:
            self.drop(request_id)
            return
        if release.escrow != purse.escrow.hex() or total is None:
            raise Refusal("payment.wrong-escrow", "the gateway charges another escrow")
        agreed = purse.reserved.get(request_id, 0)
        purse.check_charge(
            release.price_units, total, agreed_units=agreed, limit_units=purse.signed_units
        )
        purse.settle(request_id, release.price_units, total)
        self._save()

    def drop(self, request_id: RequestId) -> None:
        """End a request that brought no answer; what was signed for it stays signed."""
        if self._purse is not None:
            self._purse.drop(request_id)

    async def learn_tab(self) -> None:
        """Learn from the gateway what it has charged: answers may have got lost on the way.

        Raises:
            Refusal: `payment.wrong-tab` unless the gateway has signed what it says;
                `payment.overcharged` if it claims more than was ever signed.
        """
        purse = self._get_purse()
        tab = await self._network.ask_gateway(GetTab(escrow=purse.escrow))
        if not isinstance(tab, Tab) or tab.escrow != purse.escrow:
            raise Refusal("payment.wrong-tab", "the gateway shows no tab of this escrow")
        if tab.charged_units > purse.charged_units:
            await check_statement(self._network, tab, self._payee)
        claimed = tab.charged_units + tab.reserved_units
        if claimed > self._get_believable(purse):
            raise Refusal(
                "payment.overcharged",
                f"the gateway says that it charged or reserved {claimed} units; "
                f"{purse.signed_units} were ever signed here",
                hint="was the receipts folder lost? then raise the spend cap by what it says",
            )
        purse.take_tab(tab.charged_units, tab.reserved_units)
        self._save()

    def _get_believable(self, purse: Purse) -> int:
        """Get the greatest total that can have been charged.

        Nobody knows what was signed through another folder, or one that was lost: then the spend
        cap is what bounds it.
        """
        base = self._get_state().base_units
        if purse.signed_units == base:
            return base + self._rules.spend_cap_units
        return purse.signed_units

    def _check_limits(self, purse: Purse, max_price_units: int) -> None:
        total = purse.plan(max_price_units)
        cap = self._get_state().base_units + self._rules.spend_cap_units
        if total > cap:
            raise Refusal(
                "payment.over-cap",
                f"{total - self._get_state().base_units} units would be signed away; the spend "
                f"cap is {self._rules.spend_cap_units}",
                hint="nothing was signed; raise the spend cap if you want to go on",
            )
        self._check_lost(purse, total, max_price_units)
        if total > self._capacity:
            raise Refusal(
                "payment.escrow-too-small",
                f"the escrow covers vouchers of {self._capacity} units, {total} are needed",
                hint="put more into it: probatum pay fund",
            )

    def _check_lost(self, purse: Purse, total: int, max_price_units: int) -> None:
        """Check that a gateway which takes vouchers and never answers gets no more of them."""
        rules = self._rules
        allowed = 10 * rules.max_price_units if rules.lost_units is None else rules.lost_units
        in_flight = sum(purse.reserved.values()) + max_price_units
        lost = total - self._get_state().base_units - purse.seen_units - in_flight
        if total > purse.signed_units and lost > allowed:
            raise Refusal(
                "payment.exposed",
                f"the gateway claims {lost} units for answers that never came",
                hint="ask another one, or allow for more lost answers (lost_units)",
            )

    async def _open(self) -> None:
        """Take the purse's file, and what the ledger proves of the escrow."""
        payee = self._payee or await find_gateway(self._network)
        self._payee = payee
        record = await self._read_escrow()
        escrow = compute_escrow_id(self._network.domain, self._rules.account.address, payee)
        file = PurseFile(self._folder, escrow)
        try:
            state = file.load() or PurseState(
                format="probatum-purse/1",
                escrow=escrow.hex(),
                base_units=record.collected_units,
                signed_units=record.collected_units,
                charged_units=record.collected_units,
                seen_units=0,
            )
        except BaseException:
            file.close()
            raise
        self._file, self._state, self._purse = file, state, state.open()

    async def _read_escrow(self) -> EscrowRecord:
        assert self._payee is not None, "found before"
        record = await read_escrow(self._network, self._rules.account.address, self._payee)
        self._capacity = record.deposited_units
        return record

    def _get_purse(self) -> Purse:
        if self._purse is None:
            raise Misuse("payment.not-open", "nothing was paid yet")
        return self._purse

    def _get_state(self) -> PurseState:
        assert self._state is not None, "the purse is open"
        return self._state

    def _save(self) -> None:
        if self._file is None or self._purse is None:
            return
        self._state = keep(self._purse, self._get_state())
        self._file.save(self._state)
