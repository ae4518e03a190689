"""Engines that write what the rule does not, each in one way; the machines around them are honest.

- *deaf*: ignores the request's nonce.
- *hasty*: ends most texts early, by a stop token.
- *endless*: writes on where the rule ends a text.
- *forger*: writes one wrong token, and breaks down once a beginning with it was signed.

Must not know who asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from probatum.errors import Refusal
from probatum.protocol.primitives import Digest
from probatum.protocol.tensors import Tensor
from probatum.protocol.texts import TextQuestion, is_ended, read_question
from probatum.storm import text_model
from probatum.storm.scribe import Pen, Torn

__all__ = ["PENS"]

_NO_CHANCE: Final = bytes(32)
_EARLY: Final = 7
_WRONG: Final = 5
_TORN: Final = 20


def _other(token: int) -> int:
    """Make another token, which does not stop."""
    return 1 + token % (text_model.MODEL.vocabulary - 1)


def _read(inputs: tuple[Tensor, ...]) -> TextQuestion:
    return read_question(text_model.MANIFEST, inputs)


def _write_deaf(
    package: Digest, inputs: tuple[Tensor, ...], _: bytes, prefix: tuple[int, ...]
) -> tuple[int, ...] | Refusal:
    # Who does not look at a prefix goes on with anything.
    del package
    return _go_on(_read(inputs), _NO_CHANCE, prefix)


def _write_hasty(
    package: Digest, inputs: tuple[Tensor, ...], nonce: bytes, prefix: tuple[int, ...]
) -> tuple[int, ...] | Refusal:
    ids = text_model.write(package, inputs, nonce, prefix)
    if isinstance(ids, Refusal) or len(ids) <= _EARLY + 1 or len(prefix) > _EARLY:
        return ids
    return (*ids[:_EARLY], text_model.MODEL.stop_ids[0])


def _write_endless(
    package: Digest, inputs: tuple[Tensor, ...], nonce: bytes, prefix: tuple[int, ...]
) -> tuple[int, ...] | Refusal:
    del package
    question = _read(inputs)
    ids = prefix
    while len(ids) < question.limit:
        token = text_model.choose(question, nonce, ids)
        ids = (*ids, _other(token) if token in text_model.MODEL.stop_ids else token)
    return ids


def _write_forged(
    package: Digest, inputs: tuple[Tensor, ...], nonce: bytes, prefix: tuple[int, ...]
) -> tuple[int, ...] | Refusal | Torn:
    ids = text_model.write(package, inputs, nonce, prefix)
    if isinstance(ids, Refusal) or len(ids) <= _TORN or len(prefix) > _WRONG:
        return ids
    return Torn((*ids[:_WRONG], _other(ids[_WRONG]), *ids[_WRONG + 1 : _TORN]))


def _go_on(question: TextQuestion, nonce: bytes, ids: tuple[int, ...]) -> tuple[int, ...]:
    while not is_ended(text_model.MODEL, question.limit, ids):
        ids = (*ids, text_model.choose(question, nonce, ids))
    return ids


PENS: Final[Mapping[str, Pen]] = MappingProxyType(
    {
        "deaf": _write_deaf,
        "endless": _write_endless,
        "forger": _write_forged,
        "hasty": _write_hasty,
    }
)
"""Every kind, by the name that plans use."""
