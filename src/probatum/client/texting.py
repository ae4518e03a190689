"""Hearing a text as it is written, and holding it to its answer (`TEXT-1`).

Tokens that are heard are no promise; the answer is. What was heard must be how it begins, and every
signed prefix must be about it. Must not know the network.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Final, TypeAlias

from probatum.client.answers import Answer, TextAnswer
from probatum.client.checking import Asked
from probatum.errors import Refusal
from probatum.evidence.receipt import check_pending
from probatum.protocol.manifests import decode_manifest
from probatum.protocol.messages import Produced
from probatum.protocol.prefixes import Prefix, check_prefix, open_prefix
from probatum.protocol.requests import compute_request_digest
from probatum.protocol.texts import Text, check_text, get_text, unpack_ids

__all__ = ["Hear", "Listener"]

Hear: TypeAlias = Callable[[tuple[int, ...]], bool | None]
"""Is given new tokens, in order; True if no more are wanted."""

_MOST: Final = 1 << 20


class Listener:
    """Hears one text."""

    def __init__(
        self, asked: Asked, limit: int, hear: Hear | None, stop: Callable[[], None]
    ) -> None:
        """Make it.

        Args:
            asked: The request.
            limit: Tokens of the answer at most.
            hear: Is told new tokens.
            stop: Is called once if `hear` wants no more.
        """
        self._asked = asked
        self._limit = limit
        self._hear = hear
        self._stop = stop
        self._is_done = False
        self._heard: array[int] = array("I")
        self._prefix: Prefix | None = None

    def take(self, message: Produced) -> None:
        """Take more tokens; those that are known, as after a cut line, are told no second time.

        Raises:
            Refusal: `client.altered-text`, `text.*`, `encoding.*`, `dsse.*`, `statement.*`.
        """
        ids = unpack_ids(message.ids)
        heard, known = self._heard, len(self._heard) - message.start
        if known < 0 or message.start + len(ids) > min(self._limit, _MOST):
            raise Refusal("client.altered-text", "the gateway told tokens without a place")
        if tuple(heard[message.start : message.start + len(ids)]) != ids[:known]:
            raise Refusal("client.altered-text", "the gateway told other tokens than before")
        news = ids[known:]
        heard.extend(news)
        if message.prefix:
            self._take_prefix(message.prefix)
        if news and self._hear is not None and self._hear(news) and not self._is_done:
            self._is_done = True
            self._stop()

    def _take_prefix(self, statement: bytes) -> None:
        prefix, _ = open_prefix(statement)
        ids = tuple(self._heard[: prefix.count])
        check_prefix(prefix, prefix.request_digest, self._asked.salt, ids)
        if self._prefix is None or prefix.count > self._prefix.count:
            self._prefix = prefix

    def finish(self, answer: Answer, manifest: bytes) -> TextAnswer:
        """Hold what was heard to the answer.

        1. The answer begins with all tokens that were told, and the longest signed prefix is of
           this request.
        2. It is a text of this model, has ended if it says so, or was cancelled, and then has all
           that the gateway had heard.

        Args:
            answer: It has passed all other checks.
            manifest: The package's, held to its digest.

        Raises:
            Refusal: `client.altered-text`, `text.*`.
        """
        ids = tuple(int(one) for one in answer.outputs["answer"])
        ended = bool(answer.outputs["ended"][0])
        # 1.
        if ids[: len(self._heard)] != tuple(self._heard):
            raise Refusal(
                "client.altered-text",
                "the answer does not begin with the tokens that were told",
                hint="believe the answer: `receipt recheck` says whether it is right",
            )
        digest = compute_request_digest(answer.receipt.request).hex()
        if self._prefix is not None and self._prefix.request_digest != digest:
            raise Refusal("client.altered-text", "a signed prefix is of another request")
        # 2.
        model = get_text(decode_manifest(manifest))
        record = check_pending(answer.bundle).cancellation
        text = Text(ids=ids, ended=ended)
        check_text(model, self._limit, text, cancelled=record is not None)
        if record is not None and (ended or len(ids) < record.seen):
            raise Refusal("text.bad-answer", "the answer does not fit its cancellation")
        # Told again after a cut line, an answer comes without its tokens one by one.
        if self._hear is not None and (rest := ids[len(self._heard) :]):
            self._hear(rest)
        return TextAnswer(
            ids=ids, ended=ended, cancelled=record.reason if record else None, answer=answer
        )
