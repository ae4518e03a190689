"""`probatum model upstream` and `relay`: packages of models that other programs run (`TEXT-2`).

They bring what a gateway needs, sizes, tokenizer and template, and no weights. Must not know
engines.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import Parameter

from probatum.cli.output import note, waiting
from probatum.cli.places import expand_home
from probatum.cli.settings import DEFAULTS, Common
from probatum.cli.showing import show_package
from probatum.errors import Refusal
from probatum.hub.files import hash_file
from probatum.hub.upstreams import (
    RELAY_TEMPLATE,
    UpstreamFacts,
    make_byte_tokenizer,
    make_relay_model,
    write_upstream_package,
)
from probatum.protocol.manifests import UpstreamModel

if TYPE_CHECKING:
    from probatum.hub.importing.sources import ModelSource
    from probatum.hub.package import Package

__all__ = ["make_relay", "make_upstream"]

_TOP_K: Final = 64
_WEIGHTS_BYTES: Final = 1 << 42

_Name = Annotated[str, Parameter(help="What the model is to be called.")]
_Version = Annotated[str, Parameter(help="Of the package.")]
_Description = Annotated[str, Parameter(help="A sentence or two.")]
_Output = Annotated[
    Path | None, Parameter(alias="-o", help="The new folder; NAME-VERSION if not said.")
]


def make_upstream(  # noqa: PLR0913 - a command's options are its arguments
    source: Annotated[
        Path, Parameter(help="What the engine runs: a GGUF file, or a Hugging Face folder.")
    ],
    /,
    *,
    name: _Name,
    numeric: Annotated[
        Literal["F", "B", "Q"],
        Parameter(help="How it computes: F float32, B bfloat16 anywhere, Q eight bits or fewer."),
    ],
    engine: Annotated[
        Literal["llama.cpp", "vllm"], Parameter(help="Which program runs it.")
    ] = "llama.cpp",
    served_as: Annotated[
        str | None, Parameter(help="The model's name at that program; NAME if not said.")
    ] = None,
    version: _Version = "1",
    licence: Annotated[
        str, Parameter(help="SPDX expression; what the file says if it says one.")
    ] = "",
    description: _Description = "",
    context: Annotated[
        int, Parameter(help="Most tokens of prompt and answer; the engine must have room for them.")
    ] = 2048,
    output: _Output = None,
    common: Common = DEFAULTS,
) -> None:
    """Make a package of a language model of llama type that another program runs.

    Its receipts prove who said a text, and no more: what it says of weights and arithmetic is your
    word. The weights stay where the program has them.

    Example: probatum model upstream model.gguf --name my-model --numeric Q
    """
    path = expand_home(source)
    found = _read(path)
    said = licence or found.licence
    if not said:
        raise Refusal(
            "import.no-licence",
            "the files do not say under which licence the model is",
            hint="look at the model's card, and give its SPDX expression: --licence Apache-2.0",
        )
    with waiting("reading weights …"):
        digest = hash_file(_find_weights(path), _WEIGHTS_BYTES)
    model = UpstreamModel(
        engine=engine,
        served_as=served_as or name,
        numeric=numeric,
        weights=digest.hex(),
        vocabulary=found.text.vocabulary,
        context=min(context, found.text.context),
        stop_ids=found.text.stop_ids,
        rule="engine",
        top_k=min(_TOP_K, found.text.vocabulary),
    )
    folder = output or Path(f"{name}-{version}")
    facts = UpstreamFacts(
        name=name, version=version, licence=said, description=description or found.name
    )
    package = write_upstream_package(
        facts, model, folder, tokenizer=found.tokenizer, template=found.template
    )
    _show(common, package, folder)


def make_relay(
    served_as: Annotated[str, Parameter(help="The model's name at the service.")],
    /,
    *,
    name: _Name,
    licence: Annotated[
        str, Parameter(help="SPDX expression of what you may pass on: LicenseRef-… for terms.")
    ],
    version: _Version = "1",
    description: _Description = "",
    context: Annotated[int, Parameter(help="Most bytes of question and answer.")] = 1 << 16,
    output: _Output = None,
    common: Common = DEFAULTS,
) -> None:
    """Make a package of a closed service with the OpenAI chat interface, whose texts you pass on.

    Its receipts prove which node said a text. Nothing shows which model wrote it.

    Example: probatum model relay org/model --name that-model --licence LicenseRef-terms
    """
    folder = output or Path(f"{name}-{version}")
    facts = UpstreamFacts(
        name=name, version=version, licence=licence, description=description or "A relay."
    )
    package = write_upstream_package(
        facts,
        make_relay_model(served_as, context),
        folder,
        tokenizer=make_byte_tokenizer(),
        template=RELAY_TEMPLATE,
    )
    _show(common, package, folder)


def _show(common: Common, package: Package, folder: Path) -> None:
    show_package(common, package.digest, package.manifest, folder)
    if not common.json:
        digest = package.digest.hex()
        note(f'Its node\'s node.toml: upstreams = ["{digest} http://HOST:PORT"]')


def _read(source: Path) -> ModelSource:
    from probatum.hub.importing.gguf_file import read_gguf  # noqa: PLC0415 - brings numpy along
    from probatum.hub.importing.hf_folder import read_folder  # noqa: PLC0415 - ditto

    if source.is_dir():
        found = read_folder(source, top_k=1)
    elif source.is_file():
        found = read_gguf(source, top_k=1)
    else:
        raise Refusal(
            "import.no-source", f"{source} is not there", hint="name a .gguf file, or a folder"
        )
    if found.tokenizer is None:
        raise Refusal("import.no-tokenizer", "the files bring no tokenizer")
    return found


def _find_weights(source: Path) -> Path:
    """Find the one file of weights, which a package can name."""
    if source.is_file():
        return source
    files = sorted(source.glob("*.safetensors"))
    if len(files) != 1:
        raise Refusal(
            "import.several-files",
            f"{source.name} has {len(files)} files of weights, and a profile names one",
            hint="join them into one .safetensors file",
        )
    return files[0]
