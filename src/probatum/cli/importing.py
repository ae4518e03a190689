"""`probatum model import`: a language model's package, out of other programs' files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from probatum.cli.output import note, progress_bar
from probatum.cli.places import expand_home
from probatum.cli.settings import DEFAULTS, Common, read_bounded
from probatum.cli.showing import show_package
from probatum.errors import Refusal
from probatum.hub.importing.gguf_file import read_gguf
from probatum.hub.importing.hf_folder import read_folder
from probatum.hub.importing.sources import ModelSource
from probatum.hub.importing.writing import ImportFacts, write_text_package
from probatum.runtime.text.template import TEMPLATE_BYTES, ChatTemplate
from probatum.runtime.tokens import TOKENIZER_BYTES, TextTokenizer

__all__ = ["import_model"]

_CONTEXT: Final = 2048
_TOP_K: Final = 64


def import_model(  # noqa: PLR0913 - a command's options are its arguments
    source: Annotated[
        Path, Parameter(help="A GGUF file, or a Hugging Face folder, of a model of llama type.")
    ],
    /,
    *,
    name: Annotated[str, Parameter(help="What the model is to be called.")],
    version: Annotated[str, Parameter(help="Of the package.")] = "1",
    licence: Annotated[
        str, Parameter(help="SPDX expression; what the file says if it says one.")
    ] = "",
    description: Annotated[str, Parameter(help="A sentence or two.")] = "",
    context: Annotated[
        int, Parameter(help="Most tokens of prompt and answer together that are admitted.")
    ] = _CONTEXT,
    top_k: Annotated[int, Parameter(help="Candidates that the sampling rule looks at.")] = _TOP_K,
    tokenizer: Annotated[
        Path | None, Parameter(help="A tokenizer.json in place of the model's own.")
    ] = None,
    template: Annotated[
        Path | None, Parameter(help="A chat template (jinja) in place of the model's own.")
    ] = None,
    keep_blocks: Annotated[
        bool,
        Parameter(negative="", help="Keep weights quantised that are (GGUF: Q4_1, Q8_0)."),
    ] = False,
    output: Annotated[
        Path | None, Parameter(alias="-o", help="The new folder; NAME-VERSION if not said.")
    ] = None,
    common: Common = DEFAULTS,
) -> None:
    """Make a package of a language model whose every token can be checked.

    Weights become float32, which is exact for narrower floats and what the format's own reference
    makes of quantised ones; they are streamed, so memory stays small. Nothing of the source is run.
    With --keep-blocks the package is as small as its source and means the same; the compiled kernel
    reads it faster, numpy alone much slower.

    Example: probatum model import SmolLM2-135M-Instruct.Q4_1.gguf --name smollm2
    """
    found = _read_source(expand_home(source), top_k)
    if tokenizer is not None:
        found = replace(found, tokenizer=read_bounded(tokenizer, TOKENIZER_BYTES))
    if template is not None:
        found = replace(found, template=_decode(read_bounded(template, TEMPLATE_BYTES)))
    _check_texts(found)
    said = licence or found.licence
    if not said:
        raise Refusal(
            "import.no-licence",
            "the files do not say under which licence the model is",
            hint="look at the model's card, and give its SPDX expression: --licence Apache-2.0",
        )
    facts = ImportFacts(
        name=name,
        version=version,
        licence=said,
        description=description or found.name,
        context=context,
    )
    folder = output or Path(f"{name}-{version}")
    with progress_bar("Writing weights") as progress:
        package = write_text_package(found, facts, folder, progress, keeps_blocks=keep_blocks)
    show_package(common, package.digest, package.manifest, folder)
    if not common.json:
        note(f"Next: probatum model publish {folder}")


def _read_source(source: Path, top_k: int) -> ModelSource:
    if source.is_dir():
        return read_folder(source, top_k=top_k)
    if not source.is_file():
        raise Refusal(
            "import.no-source", f"{source} is not there", hint="name a .gguf file, or a folder"
        )
    return read_gguf(source, top_k=top_k)


def _check_texts(source: ModelSource) -> None:
    """Refuse now what a gateway would refuse later."""
    if source.tokenizer is None:
        raise Refusal(
            "import.no-tokenizer",
            "the files bring no tokenizer",
            hint="give the model's tokenizer.json: --tokenizer FILE",
        )
    TextTokenizer(source.tokenizer)
    if source.template is not None:
        ChatTemplate(source.template)


def _decode(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Refusal("template.bad-form", "the chat template is no UTF-8 text") from None
