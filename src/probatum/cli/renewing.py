"""`probatum receipt renew`: proving a receipt's settlement again, against the last header.

For a receipt older than the trust file, or one whose gateway never showed its settlement: records
of logs and keys stay in the ledger, so any full node proves them anew; its node's log shows the
inclusion where the log has grown. Nobody of them is believed. Must not know how a bundle is
printed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from probatum.cli.bundles import find_bundle, is_request_id, open_receipts, resolve
from probatum.cli.output import print_facts, print_json
from probatum.cli.reading import get_record, reach_header, take
from probatum.cli.settings import DEFAULTS, Common
from probatum.cli.wire import exchange
from probatum.client.settling import (
    Pending,
    ProvenLog,
    list_tiles,
    read_pending,
    read_state,
    settle,
    settle_again,
)
from probatum.errors import Fault, Refusal
from probatum.evidence.receipt import VerifiedBundle, check_bundle, check_pending
from probatum.protocol import records
from probatum.protocol.bundles import (
    Settlement,
    add_settlement,
    decode_bundle,
    encode_bundle,
)
from probatum.protocol.headers import Header, SignedHeader
from probatum.protocol.hexes import digest_from_hex
from probatum.protocol.messages import GetLogFile, GetState, GotLogFile, GotState
from probatum.protocol.tiles import ProvenTiles

__all__ = ["renew"]

What = Annotated[str, Parameter(help="A bundle's file, the id of a request kept here, or: last")]


def renew(
    what: What,
    /,
    *,
    output: Annotated[
        Path | None, Parameter(alias="-o", help="Where to write it; else where it came from.")
    ] = None,
    common: Common = DEFAULTS,
) -> None:
    """Prove a receipt's settlement again, against the ledger's last header.

    For a receipt that is older than your trust file, or whose gateway is gone: any full node will
    do, and the node's own log where it has grown since. The receipt itself stays as it is.

    Example: probatum receipt renew receipt.json -o renewed.json
    """
    what = resolve(common, what)
    data, verified = _renew(common, find_bundle(common, what))
    request_id = verified.receipt.request.request_id
    if output is None and is_request_id(what) and not Path(what).exists():
        open_receipts(common).keep(request_id, data, None)
    else:
        path = (output or Path(what)).expanduser()
        try:
            path.write_bytes(data)
        except OSError as error:
            raise Fault("receipt.unwritable", f"cannot write {path}: {error.strerror}") from None
    assert verified.settlement is not None, "check_bundle has demanded one"
    facts = {"request_id": request_id, "height": verified.settlement.header.height}
    if common.json:
        print_json(facts)
    else:
        print_facts({"request": facts["request_id"], "proven at height": facts["height"]})


def _renew(common: Common, data: bytes) -> tuple[bytes, VerifiedBundle]:
    trust, ledger = common.get_trust(), common.get_ledger()
    check_pending(data)
    bundle = decode_bundle(data)
    pending = encode_bundle(msgspec.structs.replace(bundle, settlement=None))
    item = read_pending(pending)
    keys = (records.get_log_key(item.operator, item.session), *sorted(set(item.keys)))
    state = take(GotState, exchange(ledger, GetState(keys=keys, prove=True)))

    def check(signed: SignedHeader) -> Header:
        reach_header(ledger, trust, signed)
        return signed.header

    proven = read_state(state, keys, check)
    if item.index >= proven.log.size:
        raise Refusal(
            "receipt.not-settled",
            f"the node has settled {proven.log.size} entries; this one is number {item.index}",
            hint="`probatum receipt accuse` says whether it is overdue, and holds its node to it",
        )
    settled = add_settlement(pending, _settle(common, item, proven, bundle.settlement))
    return settled, check_bundle(settled, check)


def _settle(common: Common, item: Pending, proven: ProvenLog, before: Settlement | None) -> bytes:
    if before is not None:
        try:
            return settle_again(item, proven, tuple(map(digest_from_hex, before.inclusion)))
        except Refusal as refusal:
            # The log has grown: its node must show where the entry is now.
            if not refusal.code.startswith("merkle."):
                raise
    node, _ = get_record(common, records.get_node_key(item.operator), records.NodeRecord)
    if node is None:
        raise Fault("receipt.no-log", "the operator has no node any more that shows its log")
    tiles = {}
    for path in list_tiles(item.index, proven.log.size):
        wanted = GetLogFile(session=item.session, path=path)
        tiles[path] = take(GotLogFile, exchange(node.endpoint, wanted)).data
    return settle(item, proven, ProvenTiles(proven.log.size, proven.log.root, tiles))
