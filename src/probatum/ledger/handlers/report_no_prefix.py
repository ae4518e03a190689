"""Convicting a node that signed one session as two different logs (`LOG-1`).

The prover shows what the longer checkpoint has at the size of the shorter one; one consistency
proof does it, because it leaves no choice of that root.
"""

from __future__ import annotations

from probatum.errors import Refusal
from probatum.ledger.context import Context
from probatum.ledger.offences import convict
from probatum.ledger.sessions import check_key, get_log
from probatum.ledger.state import State
from probatum.protocol.merkle import check_consistency
from probatum.protocol.notes import log_origin, open_checkpoint
from probatum.protocol.primitives import Address
from probatum.protocol.transactions.kinds import ReportNoPrefix

__all__ = ["apply_report_no_prefix"]


def apply_report_no_prefix(
    state: State, context: Context, sender: Address, body: ReportNoPrefix
) -> None:
    """Convict the operator of a fork; a session is forked once.

    Raises:
        Refusal: `ledger.no-such-log`, `ledger.key-retired`; `note.*` unless the checkpoints are
            of this session and signed by its key; `merkle.*` unless the proof shows the root;
            `ledger.no-conflict` if that root is the one that was signed;
            `ledger.convicted-already`.
    """
    log = get_log(state, body.operator, body.session)
    check_key(state, context, log, context.height)
    origin = log_origin(context.domain, body.operator, body.session)
    signed = open_checkpoint(body.checkpoint, origin, log.operating_key)
    pair = [(signed.size, signed.root), (log.size, log.root)]
    if body.against:
        other = open_checkpoint(body.against, origin, log.operating_key)
        pair[1] = (other.size, other.root)
    (size, root), (longer_size, longer_root) = sorted(pair)
    check_consistency(size, body.root, longer_size, longer_root, body.consistency)
    if body.root == root:
        raise Refusal("ledger.no-conflict", f"both begin with the same {size} entries")
    convict(state, context, log, kind="fork", index=0, reporter=sender)
