"""Answers to strangers who ask through the engine's RPC (`SEAL-1`): always of the sealed height.

    state     data: a key → value; with `prove` one `ProofOp` of type ``probatum:map``, whose data
              is the canonical JSON of a `mapproof.StateProof`
    header    data: height, 8 bytes big-endian, or nothing for the last → encoded `SignedHeader`
    outcome   data: a transaction's hash → encoded `Outcome`

Everything else a full node's own door answers. Must not know who asks.
"""

from __future__ import annotations

from probatum.consensus.chain.view import ChainView
from probatum.consensus.cometbft.messages import RequestQuery, ResponseQuery
from probatum.consensus.cometbft.parts import ProofOp, ProofOps
from probatum.consensus.cometbft.verdicts import CODE_OF_REFUSED
from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.encoding import encode
from probatum.protocol.primitives import make_digest

__all__ = ["PROOF_TYPE", "answer_query"]

PROOF_TYPE = "probatum:map"
_HEIGHT_BYTES = 8


def answer_query(chain: ChainView, request: RequestQuery) -> ResponseQuery:
    """Answer one question; a refusal is an answer with a code."""
    try:
        return _answer(chain, request)
    except Refusal as refusal:
        return ResponseQuery(
            code=CODE_OF_REFUSED,
            codespace=refusal.code,
            log=refusal.message[:2_000],
            height=chain.height,
        )


def _answer(chain: ChainView, request: RequestQuery) -> ResponseQuery:
    if not chain.height:
        raise Refusal("abci.nothing-sealed", "no header has a seal yet; ask again in a moment")
    if request.height not in (0, chain.height):
        raise Refusal(
            "abci.other-height",
            f"only height {chain.height} is answered for, the last that has a seal",
        )
    match request.path:
        case "state":
            return _answer_state(chain, request)
        case "header":
            value = _get_header(chain, request.data)
        case "outcome":
            outcome = chain.get_outcome(make_digest(request.data))
            value = b"" if outcome is None else encode(outcome)
        case _:
            raise Refusal("abci.unknown-path", "the paths are state, header and outcome")
    return ResponseQuery(key=request.data, value=value, height=chain.height)


def _answer_state(chain: ChainView, request: RequestQuery) -> ResponseQuery:
    if not 0 < len(request.data) <= limits.STATE_KEY_BYTES:
        raise Refusal("abci.bad-key", f"a key has 1 to {limits.STATE_KEY_BYTES} bytes")
    (item,) = chain.get_items((request.data,), prove=request.prove)
    proof = ProofOp(type=PROOF_TYPE, key=item.key, data=item.proof)
    return ResponseQuery(
        key=item.key,
        value=item.value or b"",
        height=chain.height,
        proof_ops=ProofOps(ops=(proof,)) if request.prove else None,
    )


def _get_header(chain: ChainView, data: bytes) -> bytes:
    if len(data) not in (0, _HEIGHT_BYTES):
        raise Refusal("abci.bad-height", "a height is 8 bytes, or none for the last")
    header = chain.get_header(int.from_bytes(data, "big") or chain.height)
    return b"" if header is None else encode(header)
