"""Makes a package of a language model that another program runs (`TEXT-2`).

It holds no weights: what it says of them is the publisher's word, signed. What a gateway needs is
in it: sizes, stop tokens, tokenizer, chat template. Must not know engines.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from probatum.errors import Refusal
from probatum.hub.files import disk_faults, flush_folder, write_flushed
from probatum.hub.package import MANIFEST_NAME, Package, load_package
from probatum.protocol.hashing import sha256
from probatum.protocol.manifests import (
    MANIFEST_FORMAT,
    RELAY_END,
    TEXT_INPUTS,
    TEXT_OUTPUTS,
    FileEntry,
    Manifest,
    UpstreamModel,
    decode_manifest,
    encode_manifest,
)

__all__ = [
    "RELAY_TEMPLATE",
    "UpstreamFacts",
    "make_byte_tokenizer",
    "make_relay_model",
    "write_upstream_package",
]

ABOUT_NAME: Final = "about.txt"
_TOKENIZER_NAME: Final = "tokenizer.json"
_TEMPLATE_NAME: Final = "chat_template.jinja"
_END_TEXT: Final = "<|end|>"
RELAY_TEMPLATE: Final = (
    "{% for message in messages %}"
    "{% if loop.length > 1 %}{{ message.role }}: {% endif %}{{ message.content }}"
    "{% if not loop.last %}\n\n{% endif %}"
    "{% endfor %}"
)
"""A conversation as the one message that a relay passes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamFacts:
    """What a publisher says of the model; fields as in `Manifest`."""

    name: str
    version: str
    licence: str
    description: str


def write_upstream_package(
    facts: UpstreamFacts,
    model: UpstreamModel,
    folder: Path,
    *,
    tokenizer: bytes | None,
    template: str | None = None,
) -> Package:
    """Write a package into a new folder, all or nothing.

    Args:
        facts: What is said of it.
        model: How it is run; without the template's path.
        folder: Must not exist yet; its parent must.
        tokenizer: A `tokenizer.json`.
        template: The chat template.

    Returns:
        The package, loaded and checked like a stranger's.

    Raises:
        Refusal: `package.folder-taken`, `package.bad-facts`.
        Fault: `hub.disk`.
    """
    files = {ABOUT_NAME: _describe(model).encode()}
    if tokenizer is not None:
        files[_TOKENIZER_NAME] = tokenizer
    if template is not None:
        files[_TEMPLATE_NAME] = template.encode()
        model = msgspec.structs.replace(model, template=_TEMPLATE_NAME)
    manifest = encode_manifest(
        Manifest(
            format=MANIFEST_FORMAT,
            name=facts.name,
            version=facts.version,
            task="text-generation",
            licence=facts.licence,
            description=facts.description,
            model=ABOUT_NAME,
            files=tuple(
                FileEntry(path=path, size=len(data), sha256=sha256(data).hex())
                for path, data in sorted(files.items())
            ),
            inputs=TEXT_INPUTS,
            outputs=TEXT_OUTPUTS,
            parents=(),
            tokenizer=_TOKENIZER_NAME if tokenizer is not None else None,
            upstream=model,
        )
    )
    try:
        decode_manifest(manifest)
    except Refusal as refusal:
        raise Refusal("package.bad-facts", refusal.message, hint=refusal.hint) from None
    if folder.exists():
        raise Refusal("package.folder-taken", f"{folder} exists already", hint="name a new folder")
    with (
        disk_faults(f"cannot write the package to {folder}"),
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=".building-") as work,
    ):
        fresh = Path(work) / "package"
        fresh.mkdir()
        for path, data in (*files.items(), (MANIFEST_NAME, manifest)):
            write_flushed(fresh / path, iter((data,)))
        flush_folder(fresh)
        fresh.rename(folder)
        flush_folder(folder.parent)
    return load_package(folder)


def make_relay_model(served_as: str, context: int) -> UpstreamModel:
    """Make the description of a closed service, whose tokens are bytes.

    Args:
        served_as: The model's name there.
        context: Most bytes of question and answer together.
    """
    return UpstreamModel(
        engine="relay",
        served_as=served_as,
        numeric=None,
        weights=None,
        vocabulary=RELAY_END + 1,
        context=context,
        stop_ids=(RELAY_END,),
        rule="engine",
        top_k=1,
    )


def make_byte_tokenizer() -> bytes:
    """Make the `tokenizer.json` of a relay: each byte of a text in UTF-8 is its own token."""
    shown = {byte: char for char, byte in _list_byte_chars()}
    vocab = {shown[byte]: byte for byte in range(256)} | {_END_TEXT: RELAY_END}
    bytes_alone = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    document = {
        "version": "1.0",
        "added_tokens": [
            {
                "id": RELAY_END,
                "content": _END_TEXT,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
        ],
        "pre_tokenizer": {**bytes_alone, "trim_offsets": False},
        "decoder": {**bytes_alone, "trim_offsets": False},
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    }
    return msgspec.json.encode(document)


def _list_byte_chars() -> list[tuple[str, int]]:
    """List the visible character that byte-level tokenizers write for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    return [(chr(byte), byte) for byte in plain] + [
        (chr(256 + place), byte) for place, byte in enumerate(rest)
    ]


def _describe(model: UpstreamModel) -> str:
    if model.engine == "relay":
        return (
            f"Texts come from a closed service that calls its model {model.served_as}.\n"
            "A receipt proves which node said them. Nothing shows which model wrote them.\n"
        )
    return (
        f"Texts come from {model.engine}, which serves the model as {model.served_as}.\n"
        f"Stated, and checked by nobody: weights of SHA-256 {model.weights}, numeric class "
        f"{model.numeric}.\n"
        "A receipt proves which node said them.\n"
    )
