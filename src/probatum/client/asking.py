"""Asking a model, and getting an answer that was checked before anybody sees it.

The client draws salt, nonce and request id itself, so that nobody else decides what the receipt
commits to (`SALT-1`), and keeps receipts until their inclusion is proven. Must not know roles'
insides or the ledger's. Read next: `calls`, `checking`, `store`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from probatum.client.answers import Answer
from probatum.client.arrays import to_array
from probatum.client.checking import (
    Asked,
    check_against_ledger,
    check_answer,
    check_canonical,
    get_newest_height,
    list_ledger_keys,
)
from probatum.client.failures import make_failure
from probatum.client.payees import open_network
from probatum.client.paying import Payer, PaymentRules
from probatum.client.proofs import find_model, get_manifest, get_proven_state
from probatum.client.sending import send
from probatum.client.store import Contents, ReceiptStore
from probatum.client.transport import HttpTransport
from probatum.errors import Fault, Misuse, Refusal
from probatum.evidence.receipt import VerifiedBundle
from probatum.protocol import limits
from probatum.protocol.bundles import Bundle, decode_bundle, encode_bundle
from probatum.protocol.custody import Release
from probatum.protocol.messages import (
    Answer as AnswerMessage,
)
from probatum.protocol.messages import (
    Ask,
    CancelText,
    GetBundle,
    GotBundle,
    Message,
    Produced,
    Refused,
)
from probatum.protocol.primitives import (
    RequestId,
)
from probatum.protocol.trust import Trust, decode_trust

__all__ = ["Asker", "strip"]

_DEFAULT_FOLDER: Final = Path("~/.probatum/receipts")
_LOOK_S: Final = 5.0
_POLL_S: Final = (0.2, 0.4, 0.8, 1.5)
_ANSWERED_BEFORE: Final = "gateway.answered-before"
"""The line was cut, and the gateway has started anew since: the answer is lost, its receipt not."""


def _load_trust(trust: Trust | Path | str | None) -> Trust | None:
    if trust is None or isinstance(trust, Trust):
        return trust
    try:
        with Path(trust).expanduser().open("rb") as file:
            return decode_trust(file.read(limits.TRUST_BYTES + 1))
    except OSError as error:
        raise Fault("client.no-trust-file", f"{trust}: {error.strerror}") from None


def strip(bundle: bytes) -> Bundle:
    """What both the pending and the settled bundle of one request hold."""
    return msgspec.structs.replace(decode_bundle(bundle), settlement=None)


class Asker:
    """Asks a gateway, checks what comes back and keeps it; `AsyncClient` says what is asked."""

    def __init__(
        self,
        gateway: str,
        *,
        ledger: str | None = None,
        trust: Trust | Path | str | None = None,
        receipts: Path | str | None = None,
        api_key: str | None = None,
        payment: PaymentRules | None = None,
    ) -> None:
        """Make a client; nothing is opened before it is used.

        Args:
            gateway: Whom to ask, ``http://host:port``.
            ledger: A full node. With it, every answer's package and keys are proven before it is
                returned; it needs not be believed, so anybody's will do.
            trust: The network's trust file, or its content; `ledger` and `settle` need it.
            receipts: Folder to keep receipts in, ``~/.probatum/receipts`` by default.
            api_key: The gateway's, where it wants one; the gateway alone sees it.
            payment: What may be spent, and whose account signs for it (`PAY-1`); without it only
                free answers are taken. Needs a ledger.

        Raises:
            Misuse: `client.no-trust` for a ledger without trust; `client.no-ledger` for payment
                without a ledger; `client.bad-api-key` for a key
                that no header can carry.
            Fault: `client.no-trust-file`.
            Refusal: `encoding.*` for a trust file that is none.
        """
        self._gateway = gateway.rstrip("/")
        self._ledger = ledger.rstrip("/") if ledger else None
        self._trust = _load_trust(trust)
        if self._ledger is not None and self._trust is None:
            raise Misuse(
                "client.no-trust",
                "a ledger proves nothing to who trusts no header",
                hint="give the network's trust file as trust=",
            )
        self.receipts = ReceiptStore(receipts or _DEFAULT_FOLDER)
        if api_key is not None and (not api_key.isascii() or not api_key.isprintable()):
            raise Misuse("client.bad-api-key", "an API key is printable ASCII")
        self._transport = HttpTransport({self._gateway: api_key} if api_key else None)
        self._telling: set[asyncio.Task[None]] = set()
        self._rules = payment
        self._payer: Payer | None = None
        if payment is not None:
            network = open_network(self._gateway, self._ledger, self._trust, self._transport)
            self._payer = Payer(payment, network, self.receipts.folder)

    async def __aenter__(self) -> Self:
        """Enter; leaving closes the client."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the client."""
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        for task in self._telling:
            task.cancel()
        if self._payer is not None:
            self._payer.close()
        await self._transport.close()

    def _say_enough(self, asked: Asked) -> None:
        """Tell the gateway that no more of a text is wanted; if it does not hear it, more comes."""
        message = CancelText(request_id=asked.request_id, salt=asked.salt)

        async def tell() -> None:
            with contextlib.suppress(Refusal, Fault):
                await self._transport.ask(self._gateway, message, _LOOK_S)

        task = asyncio.get_running_loop().create_task(tell())
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _ask(
        self,
        asked: Asked,
        timeout_s: float,
        max_price_units: int | None,
        hear: Callable[[Produced], None] | None,
    ) -> tuple[Answer, bytes]:
        """Ask and check; return the package's manifest too, of class `exact` and of texts."""
        try:
            reply = await self._pay_and_send(asked.message, timeout_s, max_price_units, hear)
            return await self._take(asked, reply, is_text=hear is not None)
        except (Refusal, Fault) as error:
            raise make_failure(error, asked.request_id) from None
        finally:
            if self._payer is not None:
                self._payer.drop(asked.request_id)

    async def _pay_and_send(
        self,
        message: Ask,
        timeout_s: float,
        max_price_units: int | None,
        hear: Callable[[Produced], None] | None,
    ) -> Message:
        """Send a request, with a voucher if it may cost anything."""
        payer, rules = self._payer, self._rules
        if max_price_units is None:
            max_price_units = rules.max_price_units if rules else 0
        if not max_price_units:
            return await self._send(message, timeout_s, hear)
        if payer is None:
            raise Misuse("client.no-payment", "give the client an account to pay from")
        return await payer.ask(
            message, max_price_units, lambda one: self._send(one, timeout_s, hear)
        )

    def _count_price(self, request_id: RequestId, release: Release) -> None:
        """Take what an answer costs. Raises Refusal `payment.*` if nobody agreed to it."""
        if self._payer is not None and self._payer.is_paying(request_id):
            self._payer.settle(request_id, release)
        elif release.price_units:
            raise Refusal("payment.overcharged", "the gateway charges for what was asked for free")

    def _send(
        self, message: Ask, timeout_s: float, hear: Callable[[Produced], None] | None
    ) -> Awaitable[Message]:
        return send(self._transport, self._gateway, message, timeout_s, hear)

    async def _take(self, asked: Asked, reply: Message, *, is_text: bool) -> tuple[Answer, bytes]:
        if isinstance(reply, Refused):
            await self._keep_failed(asked, reply)
            raise make_failure(reply, asked.request_id)
        if not isinstance(reply, AnswerMessage):
            raise Refusal("client.wrong-reply", f"the gateway sent a {type(reply).__name__}")
        # Kept before it is checked: what fails a check is what one needs records of.
        self._keep(asked, reply.bundle, reply)
        verified, manifest = check_answer(asked, reply), b""
        facts = verified.receipt.request
        if is_text or facts.arithmetic == "exact":
            asking = get_manifest(self._transport, self._gateway, facts.model.package, _LOOK_S)
            manifest = await asking
            check_canonical(verified.receipt, manifest)
        self._count_price(asked.request_id, verified.release)
        if self._ledger is not None and self._trust is not None:
            verified = await self._prove(asked, verified, self._ledger, self._trust)
        answer = Answer(
            outputs={tensor.name: to_array(tensor) for tensor in reply.outputs},
            request_id=asked.request_id,
            receipt=verified.receipt,
            checks=verified.checks,
            bundle=reply.bundle,
            salt=asked.salt,
            price_units=verified.release.price_units,
        )
        return answer, manifest

    async def _prove(
        self, asked: Asked, verified: VerifiedBundle, ledger: str, trust: Trust
    ) -> VerifiedBundle:
        wanted, package = asked.message, verified.receipt.request.model.package
        model = await find_model(
            self._transport, ledger, wanted.model, wanted.version, package, _LOOK_S
        )
        keys = list_ledger_keys(verified, model)
        header, values = await get_proven_state(self._transport, ledger, trust, keys, _LOOK_S)
        for pause in _POLL_S:
            # This full node may be a block or two behind the gateway's.
            if header.height >= get_newest_height(verified):
                break
            await asyncio.sleep(pause)
            header, values = await get_proven_state(self._transport, ledger, trust, keys, _LOOK_S)
        now_ms = time.time_ns() // 1_000_000
        return check_against_ledger(verified, asked, model, header, values, now_ms=now_ms)

    async def _get_bundle(self, request_id: RequestId) -> GotBundle | None:
        message = GetBundle(request_id=request_id)
        try:
            reply = await self._transport.ask(self._gateway, message, _LOOK_S)
        except Fault:
            return None
        return reply if isinstance(reply, GotBundle) else None

    async def _keep_failed(self, asked: Asked, reply: Refused) -> None:
        if reply.request_id != asked.request_id and reply.code != _ANSWERED_BEFORE:
            return
        found = await self._get_bundle(asked.request_id)
        if found is not None:
            self._keep(asked, found.bundle, None)

    def _keep(self, asked: Asked, bundle: bytes, answer: AnswerMessage | None) -> None:
        """Keep what came, without what may look like a settlement: `settle` alone checks that."""
        contents = Contents(
            gateway=self._gateway,
            model=asked.message.model,
            version=asked.message.version,
            salt=asked.salt,
            inputs=asked.message.inputs,
            outputs=answer.outputs if answer else (),
        )
        self.receipts.keep(asked.request_id, encode_bundle(strip(bundle)), contents)
