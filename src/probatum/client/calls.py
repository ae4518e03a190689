"""The calls of the SDK for asyncio: ask, have written, settle.

What a call promises is here; how it is kept is `asking`. Must not know roles' insides.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from probatum.client.answers import Answer, TextAnswer
from probatum.client.arrays import to_tensors
from probatum.client.asking import Asker, strip
from probatum.client.checking import Asked
from probatum.client.failures import make_failure
from probatum.client.proofs import make_check_now
from probatum.client.texting import Hear, Listener
from probatum.errors import Fault, Misuse, Refusal
from probatum.evidence.receipt import VerifiedBundle, check_bundle, check_contents
from probatum.protocol.messages import Ask
from probatum.protocol.parties import ArithmeticClass, EvidenceClass
from probatum.protocol.primitives import (
    RequestId,
    address_from_hex,
    check_request_id,
    make_nonce,
    make_request_id,
    make_salt,
)
from probatum.protocol.texts import TextQuestion, make_question

__all__ = ["AsyncClient"]

_POLL_S: Final = (0.2, 0.4, 0.8, 1.5)


def _draw(message: Ask) -> Asked:
    """Draw request id, salt and, if it has none yet, nonce (`SALT-1`)."""
    request_id = make_request_id(secrets.token_bytes(16))
    salt = make_salt(secrets.token_bytes(32))
    nonce = message.nonce or make_nonce(secrets.token_bytes(32))
    message = msgspec.structs.replace(message, request_id=request_id, salt=salt, nonce=nonce)
    return Asked(message=message, request_id=request_id, salt=salt, nonce=nonce)


class AsyncClient(Asker):
    """Asks models through a gateway and checks what comes back."""

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
        asked = _draw(
            Ask(
                model=model,
                version=version,
                inputs=to_tensors(inputs, dtypes),
                assurance=assurance,
                salt=None,
                nonce=None,
                request_id=None,
                timeout_ms=max(1, int(timeout_s * 1000)),
                arithmetic=arithmetic,
                node=None if node is None else address_from_hex(node),
            )
        )
        answer, _ = await self._ask(asked, timeout_s, max_price_units, None)
        return answer

    async def ask_text(  # noqa: PLR0913 - one parameter for each wish
        self,
        model: str,
        prompt: Sequence[int],
        *,
        limit: int,
        temperature: float = 0.0,
        top_k: int = 20,
        choice: int = 0,
        nonce: bytes | None = None,
        hear: Hear | None = None,
        version: str | None = None,
        timeout_s: float = 120.0,
        max_price_units: int | None = None,
        node: str | None = None,
        arithmetic: ArithmeticClass = "exact",
    ) -> TextAnswer:
        """Have a language model write, hear its tokens as they come, check the answer (`TEXT-1`).

        Args:
            model: Its name in the ledger.
            prompt: Token ids.
            limit: Tokens of the answer at most.
            temperature: What noise is multiplied by; with 0 the likeliest token is chosen.
            top_k: Candidates at each place; the package says how many there can be.
            choice: Which of several answers to one prompt this is.
            nonce: 32 bytes: the chance in the choice. The same ones make the same text.
            hear: Is given new tokens, in order, on the client's event loop; it must not block. If
                it returns True, no more are wanted, and the text ends.
            version: The newest one by default.
            timeout_s: For the whole request.
            max_price_units: As for `ask`.
            node: As for `ask`.
            arithmetic: ``float`` for a model that another program runs: nobody can compute its
                texts again, and the nonce is no more than its seed (`TEXT-2`).

        Raises:
            RequestRefused: As `ask`; `client.altered-text` if the answer is not what was heard.
            RequestFailed: As `ask`.
            Refusal: `text.bad-request`, `primitive.*` before anything is sent.
        """
        question = TextQuestion(
            prompt=tuple(prompt), limit=limit, temperature=temperature, top_k=top_k, choice=choice
        )
        asked = _draw(
            Ask(
                model=model,
                version=version,
                inputs=make_question(question),
                assurance="signed",
                salt=None,
                nonce=None if nonce is None else make_nonce(nonce),
                request_id=None,
                timeout_ms=max(1, int(timeout_s * 1000)),
                arithmetic=arithmetic,
                node=None if node is None else address_from_hex(node),
                stream=hear is not None,
            )
        )
        listener = Listener(asked, limit, hear, lambda: self._say_enough(asked))
        answer, manifest = await self._ask(asked, timeout_s, max_price_units, listener.take)
        try:
            return listener.finish(answer, manifest)
        except Refusal as refusal:
            raise make_failure(refusal, asked.request_id) from None

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

    def _keep_settled(self, request_id: RequestId, kept: bytes, bundle: bytes) -> VerifiedBundle:
        assert self._trust is not None, "settle has checked it"
        verified = check_bundle(bundle, make_check_now(self._trust))
        is_ours = verified.receipt.request.request_id == request_id
        if not is_ours or strip(kept) != strip(bundle):
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
