"""`probatum demo`: the story, and the parts of it that one can play with afterwards.

The story itself is `probatum.ops.demo`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from probatum.cli.output import print_facts, print_json, print_lines
from probatum.cli.settings import DEFAULTS, Common
from probatum.hub.package import MANIFEST_NAME, Package, load_package
from probatum.ops.demo.chat_story import run_chat_demo
from probatum.ops.demo.magika import make_input, read_features
from probatum.ops.demo.packages import FETCHED, MODELS, build_real, get_source
from probatum.ops.demo.smollm2 import IMPORTED
from probatum.ops.demo.story import run_demo
from probatum.protocol.oip import InferRequest, encode_infer_request

app = App(name="demo", help="Watch a network answer, lose a node, and prove what it said.")

NAMES = ", ".join(sorted(("magika", *MODELS)))


@app.default
def demo(
    *,
    keep: Annotated[bool, Parameter(help="Leave the network running until Ctrl-C.")] = False,
    files: Annotated[
        Path, Parameter(help="Folder with the fetched models, one folder each (models/fetch.py).")
    ] = FETCHED,
    validators: Annotated[
        int, Parameter(help="How many keep the ledger, under CometBFT; 0: one process alone.")
    ] = 0,
) -> int:
    """Watch a network answer, lose a node mid-request, and prove what it said; under a minute.

    It needs real models: `make demo` fetches them first. Acts whose model is not there are left
    out, and it says so; without magika there is no story.
    """
    return run_demo(keep=keep, models=files, validators=validators)


@app.command
def chat(
    *,
    files: Annotated[
        Path, Parameter(help="Folder with the fetched models, one folder each (models/fetch.py).")
    ] = FETCHED,
    imported: Annotated[
        Path, Parameter(help="Folder where the imported model is kept for the next time.")
    ] = IMPORTED,
) -> int:
    """Watch a language model write, be rechecked, and lose its node unnoticed; a minute or two.

    It needs SmolLM2-135M-Instruct (100 MB): `make demo-chat` fetches it first.
    """
    return run_chat_demo(models=files, imported=imported)


@app.command
def package(
    name: Annotated[str, Parameter(help=f"One of: {NAMES}.")] = "magika",
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o", help="The new package's folder.")],
    files: Annotated[
        Path | None,
        Parameter(help="Folder with the fetched files of the model (models/fetch.py)."),
    ] = None,
    common: Common = DEFAULTS,
) -> None:
    """Make the package of a real model, for `probatum up --model`; one that is there is left.

    Example: probatum demo package all-minilm-l6-v2 -o minilm
    """
    made = _find_made(name, output) or build_real(name, files or get_source(name), output)
    if common.json:
        print_json({"package": made.digest.hex(), "folder": str(output)})
    else:
        print_facts({"package": made.digest.hex(), "folder": output})


@app.command
def question(
    file: Annotated[Path, Parameter(help="Which file to ask about.")],
    /,
    *,
    output: Annotated[
        Path | None, Parameter(alias="-o", help="Where to write it; else it is printed.")
    ] = None,
) -> None:
    """Write the request that asks the demo's model what kind of file something is.

    Example: probatum demo question README.md -o question.json
    """
    tensor = make_input((read_features(file),))
    body = encode_infer_request(InferRequest(tensors=(tensor,)))
    if output is None:
        print_lines((body.decode(),))
    else:
        output.write_bytes(body + b"\n")


def _find_made(name: str, folder: Path) -> Package | None:
    """Take the package that is there already: pages that begin with it are read one by one."""
    if not (folder / MANIFEST_NAME).is_file():
        return None
    made = load_package(folder)
    return made if made.manifest.name == name else None
