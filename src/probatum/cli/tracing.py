"""`probatum model show`: what a model is, who published it, what it was made from (`LINE-1`).

Names and publishers come from the ledger, manifests from the nodes that offer a package; both
are held to digests. What nobody knows is said to be unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any

from cyclopts import Parameter

from probatum.cli.describing import describe_value
from probatum.cli.fetching import fetch_manifest, find_sources
from probatum.cli.output import print_facts, print_json, print_lines
from probatum.cli.reading import find_model
from probatum.cli.settings import DEFAULTS, Common
from probatum.cli.showing import describe_package
from probatum.cli.vouching import Subject, find_publications, find_subject, vouch
from probatum.errors import Fault, Refusal
from probatum.hub.lineage import Known, Relative, trace_parents
from probatum.protocol.primitives import Digest, address_to_hex

__all__ = ["find_known", "show"]


def show(
    model: Annotated[str, Parameter(help="NAME, or NAME@VERSION; the newest version if absent.")],
    /,
    *,
    common: Common = DEFAULTS,
) -> None:
    """Show what a model is, who published it, and what it was made from.

    Example: probatum model show my-net@1.0
    """
    record, proven = find_model(common, model)
    subject = find_subject(common, f"{record.name}@{record.version}")
    manifest = subject.manifest
    relatives = trace_parents(manifest.parents, partial(find_known, common))
    signature = _describe_signature(common, subject)
    if common.json:
        print_json(
            {
                "record": {**describe_value(record), "is_proven": proven.is_proven},
                "manifest": manifest,
                "signature": signature,
                "parents": [_describe_relative(each) for each in relatives],
            }
        )
        return
    print_facts(
        {
            **describe_package(record.package, manifest),
            "publisher": f"{address_to_hex(record.publisher)}, in block {record.published_at}",
            "signature": signature["says"],
        }
    )
    if relatives:
        print_lines(("made from:", *_draw(relatives, "")))
    else:
        print_lines(("made from: its publisher names no parents",))
    print_lines((f"the ledger's record: {proven.describe_standing()}",))


def find_known(common: Common, package: Digest) -> Known:
    """Find what ledger and nodes know of a package; nothing if they know nothing.

    Raises:
        Refusal, Fault: Those of the full node; a node that does not answer is passed over.
    """
    models = find_publications(common, package)
    try:
        manifest = fetch_manifest(find_sources(common, package), package)
    except (Refusal, Fault):
        manifest = None
    # Anybody can publish a package again; the name in its own manifest is the one it was given.
    own = [
        each
        for each in models
        if manifest and (each.name, each.version) == (manifest.name, manifest.version)
    ]
    best = next(iter((*own, *models)), None)
    return Known(
        name=None if best is None else f"{best.name}@{best.version}",
        publisher=None if best is None else best.publisher,
        manifest=manifest,
    )


def _describe_signature(common: Common, subject: Subject) -> dict[str, Any]:
    try:
        found = vouch(common, subject)
    except Refusal as refusal:
        if refusal.code == "provenance.unsigned":
            says = "none is shown by any node"
        else:
            says = f"does not hold: {refusal.message}"
        return {"holds": False, "code": refusal.code, "says": says}
    key_id = found.key_id.hex()
    return {"holds": True, "key_id": key_id, "says": f"the publisher's, by key {key_id}"}


def _describe_relative(relative: Relative) -> dict[str, Any]:
    known = relative.known
    return {
        "package": relative.package.hex(),
        "relation": relative.relation,
        "name": known.name,
        "publisher": None if known.publisher is None else address_to_hex(known.publisher),
        "licence": None if known.manifest is None else known.manifest.licence,
        "is_known": known.manifest is not None,
        "is_cut": relative.is_cut,
        "parents": [_describe_relative(each) for each in relative.parents],
    }


def _draw(relatives: tuple[Relative, ...], indent: str) -> Iterator[str]:
    for place, relative in enumerate(relatives, 1):
        is_last = place == len(relatives)
        yield f"{indent}{'└─' if is_last else '├─'} {_say_relative(relative)}"
        yield from _draw(relative.parents, indent + ("   " if is_last else "│  "))


def _say_relative(relative: Relative) -> str:
    known = relative.known
    name = known.name.replace("@", " ") if known.name else relative.package.hex()
    parts = [f"{relative.relation} from {name}"]
    if known.manifest is not None:
        parts.append(known.manifest.licence)
    parts.append(
        "not published here" if known.publisher is None else f"by {address_to_hex(known.publisher)}"
    )
    if known.manifest is None:
        parts.append("its own parents are unknown: no node offers it")
    if relative.is_cut:
        parts.append("not followed further")
    return ", ".join(parts)
