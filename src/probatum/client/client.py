"""The SDK's front: `AsyncClient` for asyncio, and `Client`, the same for everybody else.

Must not know how an answer is asked for or checked. Read next: `calls`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from probatum.client.answers import Answer, TextAnswer
from probatum.client.calls import AsyncClient
from probatum.client.paying import PaymentRules
from probatum.client.texting import Hear
from probatum.errors import Misuse
from probatum.evidence.receipt import VerifiedBundle
from probatum.protocol.parties import ArithmeticClass, EvidenceClass
from probatum.protocol.trust import Trust

__all__ = ["Answer", "AsyncClient", "Client", "TextAnswer"]

T = TypeVar("T")


class Client:
    """`AsyncClient` for code without an event loop; takes the same arguments."""

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
        """Make a client; see `AsyncClient`."""
        self._client = AsyncClient(
            gateway,
            ledger=ledger,
            trust=trust,
            receipts=receipts,
            api_key=api_key,
            payment=payment,
        )
        self.receipts = self._client.receipts
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="probatum-client", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Self:
        """Enter; leaving closes the client."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the client."""
        self.close()

    def close(self) -> None:
        """Close all connections and end the client's thread; harmless when repeated."""
        if self._loop.is_closed():
            return
        self._run(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def ask(  # noqa: PLR0913 - one parameter for each wish
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
        """Ask a model and check the answer; see `AsyncClient.ask`."""
        return self._run(
            self._client.ask(
                model,
                inputs,
                version=version,
                dtypes=dtypes,
                assurance=assurance,
                timeout_s=timeout_s,
                max_price_units=max_price_units,
                arithmetic=arithmetic,
                node=node,
            )
        )

    def ask_text(  # noqa: PLR0913 - one parameter for each wish
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
        """Have a language model write; see `AsyncClient.ask_text`.

        `hear` is called on the client's own thread.
        """
        return self._run(
            self._client.ask_text(
                model,
                prompt,
                limit=limit,
                temperature=temperature,
                top_k=top_k,
                choice=choice,
                nonce=nonce,
                hear=hear,
                version=version,
                timeout_s=timeout_s,
                max_price_units=max_price_units,
                node=node,
                arithmetic=arithmetic,
            )
        )

    def settle(self, request: Answer | str, *, timeout_s: float = 60.0) -> VerifiedBundle:
        """Wait until a receipt's inclusion is proven; see `AsyncClient.settle`."""
        return self._run(self._client.settle(request, timeout_s=timeout_s))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop.is_closed():
            work.close()
            raise Misuse("client.closed", "this client has been closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            # Ctrl-C in the caller's thread: do not leave the request running behind its back.
            future.cancel()
            raise
