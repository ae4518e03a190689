"""`probatum model`: packages here, models in the ledger.

A package is an ONNX file with a manifest; its digest is what the ledger and every receipt name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from probatum.cli.accounts import load_signer
from probatum.cli.describing import describe_record
from probatum.cli.output import print_facts, print_json, print_lines, print_table
from probatum.cli.reading import find_model, list_records
from probatum.cli.sending import FEE_UNITS, send_body
from probatum.cli.settings import DEFAULTS, Common
from probatum.cli.showing import show_package
from probatum.errors import Refusal
from probatum.protocol import records
from probatum.protocol.transactions.kinds import PublishModel

app = App(name="model", help="Make, check, publish, list and fetch models.")

Folder = Annotated[Path, Parameter(help="The package's folder.")]
Model = Annotated[str, Parameter(help="NAME, or NAME@VERSION; the newest version if absent.")]


app.command(
    "probatum.cli.making:init",
    name="init",
    help="Begin a model: a folder with a commented model.toml to fill in.",
)
app.command(
    "probatum.cli.making:check",
    name="check",
    help="Examine a model in a process that may do nothing else, and say whether it is admitted.",
)
app.command(
    "probatum.cli.making:pack",
    name="pack",
    help="Make a package out of a model's folder, or out of an ONNX file alone.",
)
app.command(
    "probatum.cli.importing:import_model",
    name="import",
    help="Make a package of a language model, out of a GGUF file or a Hugging Face folder.",
)
app.command(
    "probatum.cli.upstreaming:make_upstream",
    name="upstream",
    help="Make a package of a language model that another program runs, as llama.cpp's server.",
)
app.command(
    "probatum.cli.upstreaming:make_relay",
    name="relay",
    help="Make a package of a closed service, whose texts a node passes on.",
)
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

    The bytes stay here: nodes run it once they have it (`probatum node add-model`). A package that
    states a canonical meaning is expanded again first, in a confined process.

    Example: probatum model publish ./my-package
    """
    from probatum.cli.exacting import check_package_meaning  # noqa: PLC0415 - costs start-up
    from probatum.hub.package import load_package  # noqa: PLC0415 - ditto

    package = load_package(folder)
    check_package_meaning(package)
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
    """Fetch a package from the nodes that run it; every byte is held to the ledger's digest.

    Example: probatum model fetch my-net@1.0 -o my-net
    """
    import shutil  # noqa: PLC0415 - with the rest of this command

    from probatum.cli.fetching import fetch_into_store  # noqa: PLC0415 - costs start-up

    if output is not None and output.exists():
        raise Refusal("package.folder-taken", f"{output} exists already", hint="name a new folder")
    record, _ = find_model(common, model)
    package = fetch_into_store(common, record.package)
    if output is not None:
        shutil.copytree(package.folder, output)
    show_package(common, package.digest, package.manifest, output or package.folder)
