"""Asking the engine beside a full node, by CometBFT's RPC: transactions and evidence in, seals out.

The engine is this operator's own, yet what it answers is bounded before it is read and held to its
form: it passes on what strangers sent. Must not know what a seal proves; see
`probatum.consensus.cometbft.light`.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from probatum.client.lines import LineCut, Lines, Where
from probatum.consensus.cometbft.light.answers import read_commit, read_validators
from probatum.consensus.cometbft.light.attacks import Attack
from probatum.consensus.cometbft.light.writing import write_attack
from probatum.errors import Fault, Refusal
from probatum.protocol import limits
from probatum.protocol.commits import Validator
from probatum.protocol.headers import CommitSeal

__all__ = ["EngineRpc"]

_CALLS: Final = 64
_ANSWER_BYTES: Final = limits.MIB
_PAGE: Final = 100
"""More in one answer are cut off silently."""
_KNOWN: Final = "tx already exists in cache"
_FULL: Final = "mempool is full"
_LARGE: Final = "Tx too large"
_CODE: Final = r"^[a-z0-9]+(-[a-z0-9]+)*\.[a-z0-9]+(-[a-z0-9]+)*\Z"
_WORDS: Final = 2_000


class _Error(Struct, frozen=True):
    code: int
    message: Annotated[str, Meta(max_length=_WORDS)] = ""
    data: Annotated[str, Meta(max_length=_ANSWER_BYTES)] = ""


class _Envelope(Struct, frozen=True):
    result: msgspec.Raw = msgspec.Raw()
    error: _Error | None = None


class _Checked(Struct, frozen=True):
    """CheckTx's answer; a refusal's own code stands in `codespace` (`ABCI-1`)."""

    code: int
    log: Annotated[str, Meta(max_length=2 * _WORDS)] = ""
    codespace: Annotated[str, Meta(max_length=96)] = ""


_R = TypeVar("_R", bound=Struct)


class EngineRpc:
    """The engine on this machine. Use within one event loop."""

    def __init__(self, port: int) -> None:
        """Ask at a port of this machine; nothing is opened before it is used."""
        self._where = Where(
            host="127.0.0.1",
            port=port,
            secure=False,
            name=b"127.0.0.1:%d" % port,
            path=b"",
        )
        self._lines = Lines(limit=_CALLS)

    def close(self) -> None:
        """Let go of the connections."""
        self._lines.close()

    async def hand_in(self, transaction: bytes, timeout_s: float) -> None:
        """Give the engine a transaction; one that it has is as good as taken.

        Raises:
            Refusal: The code of CheckTx's refusal; `mempool.full`; `encoding.too-large`.
            Fault: `engine.unreachable`, `engine.odd-reply`, `engine.refused`.
        """
        said = await self._ask(
            "broadcast_tx_sync", {"tx": base64.b64encode(transaction).decode()}, timeout_s
        )
        if said.error is not None:
            _check_error(said.error)
            return
        checked = _convert(said, _Checked)
        if checked.code:
            raise _make_refusal(checked)

    async def get_seal(self, height: int, timeout_s: float) -> CommitSeal:
        """Get what proves our header of a height: the engine's next header, and who signed it.

        Raises:
            Refusal: `light.bad-answer`.
            Fault: `engine.unreachable`, `engine.odd-reply`, `engine.refused`.
        """
        at = {"height": str(height + 1)}
        said = await self._ask("commit", at, timeout_s)
        header, commit = read_commit(_get_result(said))
        if header.height != height + 1:
            raise _odd(f"height {header.height} came for {height + 1}")
        validators: list[Validator] = []
        total, page = 1, 1
        while len(validators) < total:
            params = {**at, "page": str(page), "per_page": str(_PAGE)}
            found = read_validators(_get_result(await self._ask("validators", params, timeout_s)))
            number, some, total = found
            if number != height + 1 or not some or total > limits.VALIDATORS:
                raise _odd(f"{len(some)} of {total} validators of height {number}")
            validators += some
            page += 1
        return CommitSeal(header=header, commit=commit, validators=tuple(validators))

    async def submit_attack(self, attack: Attack, timeout_s: float) -> None:
        """Give the engine evidence; what it has is as good as taken.

        Raises:
            Refusal: `light.evidence-refused`.
            Fault: `engine.unreachable`, `engine.odd-reply`.
        """
        evidence = {"evidence": write_attack(attack)}
        said = await self._ask("broadcast_evidence", evidence, timeout_s)
        if said.error is not None:
            raise Refusal(
                "light.evidence-refused",
                f"the engine refuses this evidence: {said.error.data[:1_500]}",
            )

    async def _ask(self, method: str, params: dict[str, Any], timeout_s: float) -> _Envelope:
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        head = b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Type: application/json" % self._where.name
        line, data = None, bytearray()
        try:
            line = await self._lines.send(self._where, head, msgspec.json.encode(call), timeout_s)
            while piece := await line.read():
                data += piece
                if len(data) > _ANSWER_BYTES:
                    raise _odd("the answer is too long")
        except TimeoutError:
            raise _unreachable(f"it did not answer within {timeout_s:g} s") from None
        except (LineCut, OSError) as error:
            raise _unreachable(str(error)) from None
        finally:
            if line is not None:
                self._lines.put_back(line)
        try:
            return msgspec.json.decode(data, type=_Envelope)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise _odd(str(error)) from None


def _get_result(said: _Envelope) -> bytes:
    if said.error is not None:
        raise _refused(said.error)
    return bytes(said.result)


def _convert(said: _Envelope, kind: type[_R]) -> _R:
    try:
        return msgspec.json.decode(said.result, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _odd(str(error)) from None


def _check_error(error: _Error) -> None:
    """Take an error that is none, and give the others our own names."""
    if error.data.startswith(_KNOWN):
        return
    if error.data.startswith(_FULL):
        raise Refusal("mempool.full", error.data[:_WORDS], hint="try again after the next block")
    if error.data.startswith(_LARGE):
        raise Refusal("encoding.too-large", error.data[:_WORDS])
    raise _refused(error)


def _make_refusal(checked: _Checked) -> Refusal:
    try:
        code: Any = msgspec.convert(checked.codespace, Annotated[str, Meta(pattern=_CODE)])
    except msgspec.ValidationError:
        raise _odd(f"a refusal with the code {checked.codespace!r}") from None
    return Refusal(code, checked.log or "the engine refused the transaction")


def _refused(error: _Error) -> Fault:
    return Fault("engine.refused", f"{error.message}: {error.data}"[:_WORDS])


def _unreachable(why: str) -> Fault:
    return Fault(
        "engine.unreachable",
        f"CometBFT does not answer: {why}",
        hint="is it running beside this full node?",
    )


def _odd(why: str) -> Fault:
    return Fault("engine.odd-reply", f"CometBFT gave no such answer: {why:.200}")
