"""`probatum model sign`, `verify` and `bom`: who made a model, and of what.

Signatures are in the OpenSSF model-signing format, bills of materials in CycloneDX; other
people's tools read both.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from probatum.cli.accounts import DEFAULT_NAME
from probatum.cli.output import note, print_facts, print_json, print_lines
from probatum.cli.places import expand_home
from probatum.cli.publisher_keys import load_public_key, load_publisher_signer
from probatum.cli.settings import DEFAULTS, Common
from probatum.cli.tracing import find_known
from probatum.cli.vouching import Subject, Vouched, find_subject, vouch
from probatum.errors import Refusal
from probatum.hub.bom import build_bom
from probatum.hub.files import disk_faults, flush_folder, write_flushed
from probatum.hub.package import load_package
from probatum.hub.signing import open_signature, sign_package
from probatum.protocol.hexes import digest_from_hex
from probatum.protocol.manifests import SIGNATURE_NAME
from probatum.protocol.p256 import compute_publisher_key_id
from probatum.protocol.primitives import PublisherKey, address_to_hex

__all__ = ["bom", "sign", "verify"]

What = Annotated[str, Parameter(help="A package's folder; else NAME or NAME@VERSION.")]


def sign(
    folder: Annotated[Path, Parameter(help="The package's folder.")],
    /,
    *,
    key: Annotated[
        str, Parameter(help="A publisher key's name, or the path of its file (ours or PEM).")
    ] = DEFAULT_NAME,
    common: Common = DEFAULTS,
) -> None:
    """Sign a package: every file and the manifest; the signature lies beside them.

    The package's digest stays what it is. A signature that is there is replaced.

    Example: probatum model sign my-model/package
    """
    folder = expand_home(folder)
    signer = load_publisher_signer(common, key)
    # A signature that is there is replaced, so a stale one must not stand in the way.
    package = load_package(folder, with_signature=False)
    signature = sign_package(package.manifest, package.digest, signer)
    # What is half written lies beside the package: a package holds nothing that is not its own.
    _put(folder / SIGNATURE_NAME, signature, folder.absolute().parent)
    key_id = compute_publisher_key_id(signer.key).hex()
    if common.json:
        where = str(folder / SIGNATURE_NAME)
        print_json({"package": package.digest.hex(), "key_id": key_id, "signature": where})
        return
    print_lines((f"Signed {len(package.manifest.files) + 1} files.",))
    print_facts(
        {
            "package": package.digest.hex(),
            "key id": key_id,
            "signature": folder / SIGNATURE_NAME,
        }
    )


def verify(
    what: What,
    /,
    *,
    key: Annotated[
        str | None,
        Parameter(help="Believe this key, and ask no ledger: a PEM file, or one of yours by name."),
    ] = None,
    common: Common = DEFAULTS,
) -> None:
    """Check that a package is signed by its publisher.

    The ledger says whose key it is and who published the package; with --key, you say it. Of a
    folder every byte is checked, of a published model the manifest, which binds every byte.

    Example: probatum model verify linear

    Example: probatum model verify my-model/package --key them.pub
    """
    subject = find_subject(common, what)
    if key is not None:
        _verify_by_key(common, subject, load_public_key(common, key))
        return
    found = vouch(common, subject)
    if common.json:
        print_json(_describe(subject, found))
        return
    signer = address_to_hex(found.key.account)
    facts: dict[str, object] = {
        "package": subject.package.hex(),
        "signed by": signer,
        "key id": found.key_id.hex(),
        "registered": f"in block {found.key.registered_at}",
    }
    if found.key.retired_at is not None:
        facts["replaced"] = f"in block {found.key.retired_at}"
    if found.model is not None:
        model = found.model
        facts["published"] = f"{model.name} {model.version} in block {model.published_at}"
    print_facts({**facts, "checked": _say_checked(subject), "standing": found.standing})
    if found.model is not None:
        print_lines(("This signature holds: the publisher's own.",))
    else:
        print_lines((f"This signature holds: that of {signer}; the package is not published.",))


def bom(
    what: What,
    /,
    *,
    output: Annotated[Path | None, Parameter(alias="-o", help="Write it to this file.")] = None,
    names: Annotated[
        bool, Parameter(help="Ask the ledger and nodes for ancestors' names and licences.")
    ] = False,
    common: Common = DEFAULTS,
) -> None:
    """Write a package's bill of materials: CycloneDX JSON, the same bytes each time.

    Example: probatum model bom my-model/package -o bom.json
    """
    subject = find_subject(common, what)
    parents = [digest_from_hex(parent.package) for parent in subject.manifest.parents]
    known = {digest: find_known(common, digest) for digest in parents} if names else {}
    text = build_bom(subject.manifest, subject.package, known=known)
    if output is None:
        print_lines(text.decode().splitlines())
        return
    target = expand_home(output).absolute()
    _put(target, text, target.parent)
    if common.json:
        print_json({"package": subject.package.hex(), "file": str(output)})
    else:
        note(f"wrote {output}")


def _verify_by_key(common: Common, subject: Subject, key: PublisherKey) -> None:
    refused = Refusal(
        "provenance.unsigned", f"no signature of package {subject.package.hex()} is shown"
    )
    for data in subject.signatures:
        try:
            signature = open_signature(data, subject.manifest, subject.package)
            signature.check(key)
        except Refusal as refusal:
            refused = refusal
            continue
        facts = {"package": subject.package.hex(), "key_id": signature.key_id.hex()}
        if common.json:
            print_json({**facts, "holds": True, "is_whole": subject.is_whole})
            return
        print_facts(
            {
                "package": facts["package"],
                "key id": facts["key_id"],
                "checked": _say_checked(subject),
            }
        )
        print_lines(("This signature holds: that of the key you gave.",))
        return
    raise refused


def _describe(subject: Subject, found: Vouched) -> dict[str, Any]:
    model = found.model
    published = None
    if model is not None:
        published = {
            "name": model.name,
            "version": model.version,
            "height": model.published_at,
        }
    return {
        "package": subject.package.hex(),
        "holds": True,
        "signer": address_to_hex(found.key.account),
        "key_id": found.key_id.hex(),
        "registered_at": found.key.registered_at,
        "retired_at": found.key.retired_at,
        "published": published,
        "is_whole": subject.is_whole,
        "is_proven": found.is_proven,
    }


def _say_checked(subject: Subject) -> str:
    return "every byte of the files" if subject.is_whole else "the manifest, which binds every file"


def _put(path: Path, data: bytes, work_in: Path) -> None:
    """Write a file, whole or not at all."""
    with (
        disk_faults(f"cannot write {path}"),
        tempfile.TemporaryDirectory(dir=work_in, prefix=".writing-") as work,
    ):
        fresh = Path(work) / path.name
        write_flushed(fresh, iter((data,)))
        fresh.replace(path)
        flush_folder(path.absolute().parent)
