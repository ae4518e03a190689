"""Where the demo's models come from: a publisher's key, signed packages, and the act that checks.

The packages are signed before they are published (`SIGN-1`), the key is registered by the account
that publishes them (`SIGN-2`); the act then checks it as a stranger would, against records that
the ledger proves. Must not know terminals. Read next: `acts`.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from probatum.client.client import Answer
from probatum.client.proofs import get_proven_state
from probatum.client.transport import HttpTransport
from probatum.errors import Fault, Refusal
from probatum.hub.files import disk_faults, read_bounded, write_flushed
from probatum.hub.package import Package, load_package
from probatum.hub.provenance import check_publisher
from probatum.hub.signing import open_signature, sign_package
from probatum.nodes.shell.keys import load_account_key
from probatum.ops.demo.offline import flip_bit
from probatum.ops.demo.stage import Stage
from probatum.ops.network import Network
from probatum.ops.onboarding import LedgerDesk
from probatum.ops.tables import shorten
from probatum.protocol import limits
from probatum.protocol.encoding import decode
from probatum.protocol.manifests import SIGNATURE_NAME
from probatum.protocol.p256 import PublisherSigner
from probatum.protocol.primitives import Digest, address_to_hex
from probatum.protocol.records import (
    ModelRecord,
    PublisherKeyRecord,
    get_model_key,
    get_publisher_key_key,
)
from probatum.protocol.transactions.kinds import RegisterPublisherKey
from probatum.protocol.transactions.possession import sign_possession
from probatum.protocol.trust import Trust, decode_trust, get_domain

__all__ = ["register_publisher", "show_origin", "sign_packages"]

_TIMEOUT_S: Final = 30.0
_NOTES: Final = "PROVENANCE.json"


def sign_packages(packages: Iterable[Package], signer: PublisherSigner) -> None:
    """Put a publisher's signature beside each package. Raises Fault `hub.disk`."""
    for package in packages:
        signature = sign_package(package.manifest, package.digest, signer)
        path = package.folder / SIGNATURE_NAME
        with disk_faults(f"cannot sign {package.folder}"):
            write_flushed(path, iter((signature,)))


def register_publisher(network: Network, signer: PublisherSigner) -> None:
    """Register the key on the ledger, from the account that published the network's models.

    Raises:
        Refusal: What the ledger refuses with.
        Fault: `transport.*`, `network.odd-reply`.
    """
    account = load_account_key(network.account_path)
    domain = get_domain(_load_trust(network))
    possession = sign_possession(domain, account.address, signer)
    body = RegisterPublisherKey(key=signer.key, possession=possession)

    async def send() -> None:
        async with HttpTransport() as transport:
            desk = LedgerDesk(
                converse=transport.converse, endpoint=network.endpoints.ledger, domain=domain
            )
            await desk.send(account, body)

    asyncio.run(send())


def show_origin(stage: Stage, name: str, answer: Answer) -> None:
    """Follow an answer back to the model's files, its publisher and where they were taken from.

    Args:
        stage: What the act stands on.
        name: The model that was asked.
        answer: What it answered.
    """
    teller, package = stage.teller, stage.get_package(name)
    manifest = package.manifest
    teller.line(f"The receipt names the package {answer.receipt.request.model.package}")
    teller.promise(
        answer.receipt.request.model.package == package.digest.hex(),
        "the receipt names this package",
    )
    if package.signature is None:
        raise Fault("demo.unsigned", f"{package.folder} has no signature", retryable=False)
    signature = open_signature(package.signature, manifest, package.digest)
    model, key = asyncio.run(_get_records(stage.network, package, signature.key_id))
    check_publisher(signature, key, model)
    parents = ", ".join(parent.package for parent in manifest.parents) or "none stated"
    teller.table(
        (),
        (
            ("model", f"{manifest.name} {manifest.version}, for {manifest.task}"),
            ("licence", manifest.licence),
            ("parents", parents),
            (
                "published by",
                f"{shorten(address_to_hex(model.publisher))}, block {model.published_at}",
            ),
            ("signed with", f"{signature.key_id.hex()[:16]}…, that account's P-256 key"),
            *_read_notes(stage.fetched / name),
        ),
    )
    rows = [(entry.path, f"{entry.size:,}", f"{entry.sha256[:32]}…") for entry in manifest.files]
    teller.table(("file", "bytes", "SHA-256"), rows)
    load_package(package.folder, package.digest)
    teller.line("Both records are proven against a signed header; every byte was hashed again.")
    _damage(stage, package)


def _damage(stage: Stage, package: Package) -> None:
    """Change one bit of one file of a copy, and see it refused."""
    smallest = min(package.manifest.files, key=lambda entry: entry.size)
    copy = stage.work / "damaged"
    shutil.copytree(package.folder, copy)
    path = copy / smallest.path
    path.write_bytes(flip_bit(path.read_bytes(), smallest.size * 4))
    try:
        load_package(copy)
        code = "nothing"
    except Refusal as refusal:
        code = refusal.code
    shutil.rmtree(copy)
    stage.teller.line(f"One bit of {smallest.path} changed in a copy: refused, {code}.")
    stage.teller.promise(code == "package.wrong-digest", "a changed file is refused")
    stage.teller.figure("model's publisher", "signature and ledger agree; a changed bit is refused")


async def _get_records(
    network: Network, package: Package, key_id: Digest
) -> tuple[ModelRecord, PublisherKeyRecord]:
    """Get what the ledger says of a package and of a key, proven."""
    manifest = package.manifest
    keys = (get_model_key(manifest.name, manifest.version), get_publisher_key_key(key_id))
    async with HttpTransport() as transport:
        _, values = await get_proven_state(
            transport, network.endpoints.ledger, _load_trust(network), keys, _TIMEOUT_S
        )
    found = [values[key] for key in keys]
    if found[0] is None or found[1] is None:
        raise Fault("demo.no-record", "the ledger does not know the model or its publisher's key")
    return (
        decode(ModelRecord, found[0], limit_bytes=limits.STATE_VALUE_BYTES),
        decode(PublisherKeyRecord, found[1], limit_bytes=limits.STATE_VALUE_BYTES),
    )


def _load_trust(network: Network) -> Trust:
    return decode_trust(network.trust_path.read_bytes())


def _read_notes(source: Path) -> tuple[tuple[str, str], ...]:
    """Read what `models/fetch.py` noted of where the files came from; nothing if it did not."""
    if not (source / _NOTES).is_file():
        return ()
    with disk_faults(f"cannot read {source}"):
        notes = json.loads(read_bounded(source / _NOTES, limits.MIB))
    made = sorted({each["by"] for each in notes.get("made", {}).values()})
    taken = f"the package {notes['package']} {notes['version']}, by its SHA-256"
    by = tuple(("made by", f"models/{page}.py, the same bytes everywhere") for page in made)
    return (("taken from", taken), *by)
