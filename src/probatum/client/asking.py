"""Asking a model, and getting an answer that was checked before anybody sees it.

The client draws salt, nonce and request id itself, so that nobody else decides what the receipt
commits to (`SALT-1`), and keeps receipts until their inclusion is proven. Must not know roles'
insides or the ledger's. Read next: `checking`, `store`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import numpy as np

from probatum.client.arrays import to_array, to_tensors
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
from probatum.client.store import Contents, ReceiptStore
from probatum.client.transport import HttpTransport
from probatum.errors import Fault, Misuse, Refusal
from probatum.evidence.receipt import CheckLine, VerifiedBundle, check_bundle, check_contents
from probatum.protocol import limits
from probatum.protocol.bundles import Bundle, decode_bundle, encode_bundle
from probatum.protocol.custody import Release
from probatum.protocol.messages import (
    Answer as AnswerMessage,
)
from probatum.protocol.messages import (
    Ask,
    GetBundle,
    GotBundle,
    Message,
    Refused,
)
from probatum.protocol.parties import ArithmeticClass, EvidenceClass
from probatum.protocol.primitives import (
    RequestId,
    address_from_hex,
    check_request_id,
    make_nonce,
    make_request_id,
    make_salt,
)
from probatum.protocol.receipts import Receipt
from probatum.protocol.trust import Trust, decode_trust

__all__ = ["Answer", "AsyncClient"]

Array = np.ndarray[Any, np.dtype[Any]]

_DEFAULT_FOLDER: Final = Path("~/.probatum/receipts")
_GRACE_S: Final = 2.0
"""Longer than the gateway takes to say that it is out of time."""
_LOOK_S: Final = 5.0
_POLL_S: Final = (0.2, 0.4, 0.8, 1.5)
_ANSWERED_BEFORE: Final = "gateway.answered-before"
"""The line was cut, and the gateway has started anew since: the answer is lost, its receipt not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer that passed its checks.

    Attributes:
        outputs: The model's outputs by name; read-only arrays.
        request_id: Names the request everywhere, and its files in the receipts folder.
        receipt: What the node signed.
        checks: What was checked and what was not, in sentences; `str` of a line shows it whole.
        bundle: The pending bundle: shows everything but content to anybody.
        salt: Opens the receipt's roots: with it and the content, anybody can compare.
        price_units: What the gateway charged for it, as its release says.
    """

    outputs: Mapping[str, Array] = field(repr=False)
    request_id: RequestId
    receipt: Receipt = field(repr=False)
    checks: tuple[CheckLine, ...] = field(repr=False)
    bundle: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    price_units: int = 0

    @property
    def receipt_id(self) -> RequestId:
        """The request id: receipts are found under it."""
        return self.request_id


def _load_trust(trust: Trust | Path | str | None) -> Trust | None:
    if trust is None or isinstance(trust, Trust):
        return trust
    try:
        with Path(trust).expanduser().open("rb") as file:
            return decode_trust(file.read(limits.TRUST_BYTES + 1))
    except OSError as error:
        raise Fault("client.no-trust-file", f"{trust}: {error.strerror}") from None


def _strip(bundle: bytes) -> Bundle:
    """What both the pending and the settled bundle of one request hold."""
    return msgspec.structs.replace(decode_bundle(bundle), settlement=None)


class AsyncClient:
    """Asks models through a gateway and checks what comes back."""

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
        if self._payer is not None:
            self._payer.close()
        await self._transport.close()

    async def ask(  # noqa: PLR0913 - one parameter for each wish
        self,
        model: str,
        inputs: Mapping[str, Any],
        *,
        version: str | None = None,
        dtypes: Mapping[str, str] | None = None,
        assurance: EvidenceClass = "signed",
        timeout_s: float = 30.0,
        max_price_units: int | None = None,
        arithmetic: ArithmeticClass = "float",
        node: str | None = None,
    ) -> Answer:
        """Ask a model and check the answer; see `checking.check_answer` for what is checked.

        Args:
            model: Its name in the ledger.
            inputs: By name, in the model's order: arrays, or lists with `dtypes`.
            version: The newest one by default.
            dtypes: Of inputs that are lists.
            assurance: What evidence must back the answer.
            timeout_s: For the whole request.
            max_price_units: What the answer may cost; by default what `payment` says.
            arithmetic: ``exact`` for the canonical answer, which anybody can recompute bit for bit
                (`EXACT-1`); only packages that state their canonical meaning have one.
            node: Operator's account, ``0x…``, who alone may answer, for whoever compares nodes or
                trusts one; anybody by default. The request is shown to no other node.

        Raises:
            RequestRefused: The request was refused, or the answer failed a check. What records
                there are of it are in the receipts folder.
            RequestFailed: The world failed: gateway or ledger out of reach, no node answered.
            Refusal: `client.bad-input`, `client.no-dtype`, `tensor.*`, `primitive.bad-address`
                before anything is sent.
        """
        request_id = make_request_id(secrets.token_bytes(16))
        salt = make_salt(secrets.token_bytes(32))
        nonce = make_nonce(secrets.token_bytes(32))
        message = Ask(
            model=model,
            version=version,
            inputs=to_tensors(inputs, dtypes),
            assurance=assurance,
            salt=salt,
            nonce=nonce,
            request_id=request_id,
            timeout_ms=max(1, int(timeout_s * 1000)),
            arithmetic=arithmetic,
            node=None if node is None else address_from_hex(node),
        )
        asked = Asked(message=message, request_id=request_id, salt=salt, nonce=nonce)
        try:
            reply = await self._pay_and_send(message, timeout_s, max_price_units)
            return await self._take(asked, reply)
        except (Refusal, Fault) as error:
            raise make_failure(error, request_id) from None
        finally:
            if self._payer is not None:
                self._payer.drop(request_id)

    async def settle(self, request: Answer | str, *, timeout_s: float = 60.0) -> VerifiedBundle:
        """Wait until a receipt's inclusion is proven; verify and keep the settled bundle.

        Args:
            request: An answer or a request id; the receipts folder must know it.
            timeout_s: How long to wait.

        Returns:
            The verified bundle; its lines say what was checked.

        Raises:
            Misuse: `client.no-trust`.
            Fault: `client.not-settled` when time is up; `transport.*`, `store.*`.
            Refusal: as `check_bundle`; `client.other-receipt` if the gateway shows another
                receipt than it gave with the answer; `store.unknown-request`.
        """
        if self._trust is None:
            raise Misuse("client.no-trust", "settling needs the network's trust file")
        text = request.request_id if isinstance(request, Answer) else request
        request_id = check_request_id(text)
        kept = self.receipts.load_bundle(request_id)
        deadline = time.monotonic() + timeout_s
        for turn in range(1 << 20):
            found = await self._get_bundle(request_id)
            if found is not None and found.settled:
                return self._keep_settled(request_id, kept, found.bundle)
            pause = _POLL_S[min(turn, len(_POLL_S) - 1)]
            if time.monotonic() + pause > deadline:
                break
            await asyncio.sleep(pause)
        raise Fault(
            "client.not-settled",
            f"{request_id} is not settled after {timeout_s:g} s",
            hint="the receipt is kept; settle it later. `probatum receipt accuse` says whether its "
            "node is overdue, and holds it to it",
        )

    async def _pay_and_send(
        self, message: Ask, timeout_s: float, max_price_units: int | None
    ) -> Message:
        """Send a request, with a voucher if it may cost anything."""
        payer, rules = self._payer, self._rules
        if max_price_units is None:
            max_price_units = rules.max_price_units if rules else 0
        if not max_price_units:
            return await self._send(message, timeout_s)
        if payer is None:
            raise Misuse("client.no-payment", "give the client an account to pay from")
        return await payer.ask(message, max_price_units, lambda one: self._send(one, timeout_s))

    def _count_price(self, request_id: RequestId, release: Release) -> None:
        """Take what an answer costs. Raises Refusal `payment.*` if nobody agreed to it."""
        if self._payer is not None and self._payer.is_paying(request_id):
            self._payer.settle(request_id, release)
        elif release.price_units:
            raise Refusal("payment.overcharged", "the gateway charges for what was asked for free")

    async def _send(self, message: Ask, timeout_s: float) -> Message:
        """Send a request, again if the line is cut: the same id gets the same answer."""
        deadline = time.monotonic() + timeout_s
        cut = False
        while True:
            left = max(0.1, deadline - time.monotonic())
            try:
                return await self._transport.ask(self._gateway, message, left + _GRACE_S)
            except Fault as fault:
                cut = cut or fault.code == "transport.cut"
                again = cut and fault.code in {"transport.cut", "transport.unreachable"}
                if not again or time.monotonic() + _POLL_S[0] > deadline:
                    raise
            await asyncio.sleep(_POLL_S[0])

    async def _take(self, asked: Asked, reply: Message) -> Answer:
        if isinstance(reply, Refused):
            await self._keep_failed(asked, reply)
            raise make_failure(reply, asked.request_id)
        if not isinstance(reply, AnswerMessage):
            raise Refusal("client.wrong-reply", f"the gateway sent a {type(reply).__name__}")
        # Kept before it is checked: what fails a check is what one needs records of.
        self._keep(asked, reply.bundle, reply)
        verified = check_answer(asked, reply)
        if (facts := verified.receipt.request).arithmetic == "exact":
            asking = get_manifest(self._transport, self._gateway, facts.model.package, _LOOK_S)
            check_canonical(verified.receipt, await asking)
        self._count_price(asked.request_id, verified.release)
        if self._ledger is not None and self._trust is not None:
            verified = await self._prove(asked, verified, self._ledger, self._trust)
        return Answer(
            outputs={tensor.name: to_array(tensor) for tensor in reply.outputs},
            request_id=asked.request_id,
            receipt=verified.receipt,
            checks=verified.checks,
            bundle=reply.bundle,
            salt=asked.salt,
            price_units=verified.release.price_units,
        )

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
        self.receipts.keep(asked.request_id, encode_bundle(_strip(bundle)), contents)

    def _keep_settled(self, request_id: RequestId, kept: bytes, bundle: bytes) -> VerifiedBundle:
        assert self._trust is not None, "settle has checked it"
        verified = check_bundle(bundle, self._trust)
        is_ours = verified.receipt.request.request_id == request_id
        if not is_ours or _strip(kept) != _strip(bundle):
            hint = "ask again: it is the bundle of another request"
            if is_ours:
                # Both are signed: together they convict whoever charged or signed twice.
                path = self.receipts.keep_other(request_id, bundle)
                hint = f"it is kept: try `probatum pay accuse {request_id} {path}`"
                hint += f", then `probatum receipt accuse {request_id} --against {path}`"
            raise Refusal(
                "client.other-receipt",
                "the gateway shows other records than it gave with the answer",
                hint=hint,
            )
        contents = self.receipts.load_contents(request_id)
        if contents is not None and (contents.outputs or not verified.receipt.outputs):
            verified = check_contents(verified, contents.salt, contents.inputs, contents.outputs)
        self.receipts.keep(request_id, bundle, None)
        return verified
