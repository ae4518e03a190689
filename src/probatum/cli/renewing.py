"""`probatum receipt renew`: proving a receipt's settlement again, against the last header.

For a receipt older than the trust file, or one whose gateway never showed its settlement: records
of logs and keys stay in the ledger, so any full node proves them anew. Where the log has grown the
ledger knows its new root alone, and what leads there is in files of the log: its node shows them,
or whoever copied them. Nobody of them is believed. Must not know how a bundle is printed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from probatum.cli.bundles import find_bundle, is_request_id, open_receipts, resolve
from probatum.cli.output import print_facts, print_json
from probatum.cli.places import expand_home
from probatum.cli.reading import get_record, reach_header, take
from probatum.cli.settings import DEFAULTS, Common, read_bounded
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
from probatum.client.whole_files import write_whole
from probatum.errors import Fault, Refusal
from probatum.evidence.receipt import VerifiedBundle, check_bundle, check_pending
from probatum.protocol import records
from probatum.protocol.bundles import (
    Settlement,
    add_settlement,
    decode_bundle,
    encode_bundle,
)
from probatum.protocol.hash_rows import HASH_BYTES
from probatum.protocol.headers import Header, SignedHeader
from probatum.protocol.hexes import digest_from_hex
from probatum.protocol.messages import GetLogFile, GetState, GotLogFile, GotState
from probatum.protocol.primitives import address_to_hex
from probatum.protocol.tiles import TILE_WIDTH, ProvenTiles, parse_tile_path, tile_path

__all__ = ["renew"]

What = Annotated[str, Parameter(help="A bundle's file, the id of a request kept here, or: last")]


def renew(
    what: What,
    /,
    *,
    output: Annotated[
        Path | None, Parameter(alias="-o", help="Where to write it; else where it came from.")
    ] = None,
    log: Annotated[
        Path | None,
        Parameter(help="A folder with copies of the log's files, by their paths in it."),
    ] = None,
    common: Common = DEFAULTS,
) -> None:
    """Prove a receipt's settlement again, against the ledger's last header.

    For a receipt that is older than your trust file, or whose gateway is gone: the bundle and any
    full node will do. Where the node's log has grown since, files of it are needed, too: from the
    node, or from a copy that somebody made; if nobody has them, it says which. The receipt itself
    stays as it is.

    Example: probatum receipt renew receipt.json -o renewed.json
    """
    what = resolve(common, what)
    data, verified = _renew(common, find_bundle(common, what), log)
    request_id = verified.receipt.request.request_id
    if output is None and is_request_id(what) and not Path(what).exists():
        open_receipts(common).keep(request_id, data, None)
    else:
        # In place it may be the only copy: what ends this halfway must not cut it off.
        path = Path(os.path.realpath(expand_home(output or Path(what))))
        write_whole(path, data, 0o644)
    assert verified.settlement is not None, "check_bundle has demanded one"
    facts = {"request_id": request_id, "height": verified.settlement.header.height}
    if common.json:
        print_json(facts)
    else:
        print_facts({"request": facts["request_id"], "proven at height": facts["height"]})


def _renew(common: Common, data: bytes, copies: Path | None) -> tuple[bytes, VerifiedBundle]:
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
    settled = add_settlement(pending, _settle(common, item, proven, bundle.settlement, copies))
    return settled, check_bundle(settled, check)


def _settle(
    common: Common,
    item: Pending,
    proven: ProvenLog,
    before: Settlement | None,
    copies: Path | None,
) -> bytes:
    if before is not None:
        try:
            return settle_again(item, proven, tuple(map(digest_from_hex, before.inclusion)))
        except Refusal as refusal:
            # The log has grown: what was added decides where the entry is now.
            if not refusal.code.startswith("merkle."):
                raise
    paths = list_tiles(item.index, proven.log.size)
    tiles = {path: data for path in paths if (data := _read_copy(copies, path)) is not None}
    missing = [path for path in paths if path not in tiles]
    if missing:
        tiles |= _fetch_tiles(common, item, proven, missing)
    return settle(item, proven, ProvenTiles(proven.log.size, proven.log.root, tiles))


def _read_copy(copies: Path | None, path: str) -> bytes | None:
    """Read a tile from a copy of the log; from a wider one of the same place, if it grew since."""
    if copies is None:
        return None
    tile = parse_tile_path(path)
    assert tile.level is not None, "inclusion takes tiles of hashes"
    size = tile.width * HASH_BYTES
    for width in range(tile.width, TILE_WIDTH + 1):
        found = copies / tile_path(tile.level, tile.index, width)
        if found.is_file():
            return read_bounded(found, TILE_WIDTH * HASH_BYTES)[:size]
    return None


def _fetch_tiles(
    common: Common, item: Pending, proven: ProvenLog, paths: list[str]
) -> dict[str, bytes]:
    """Fetch tiles from the log's node. Raises Fault `receipt.no-log`: which, and who has them."""
    node, _ = get_record(common, records.get_node_key(item.operator), records.NodeRecord)
    who = f"operator {address_to_hex(item.operator)}"
    if node is None:
        raise _lack(proven, paths, f"{who} has no node any more")
    try:
        return {
            path: take(
                GotLogFile, exchange(node.endpoint, GetLogFile(session=item.session, path=path))
            ).data
            for path in paths
        }
    except (Fault, Refusal) as error:
        why = f"{who} should have them at {node.endpoint}: {error.message}"
        raise _lack(proven, paths, why) from None


def _lack(proven: ProvenLog, paths: list[str], why: str) -> Fault:
    log = proven.log
    return Fault(
        "receipt.no-log",
        f"log session {log.session} has {log.size} entries by now, and the bundle shows its "
        f"receipt in a smaller log, if in any. Missing: {', '.join(paths)}. {why}",
        hint="try again when the node is there; or have these files from anybody who copied its "
        "log, put them into a folder under these paths, and name it: --log FOLDER",
    )
