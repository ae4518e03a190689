"""Shows packages and tensors to people and programs. Must not know where a package came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from probatum.cli.output import print_facts, print_json
from probatum.cli.settings import Common
from probatum.protocol.manifests import Manifest, TensorSpec, TextModel, UpstreamModel
from probatum.protocol.primitives import Digest

__all__ = ["describe_package", "describe_spec", "describe_specs", "show_package"]


def describe_spec(spec: TensorSpec) -> str:
    """Say a tensor's name, type and shape: ``x float32 [n, 4]``."""
    return f"{spec.name} {spec.dtype} [{', '.join(map(str, spec.shape))}]"


def describe_specs(specs: tuple[TensorSpec, ...]) -> str:
    """Say several in a line."""
    return "; ".join(map(describe_spec, specs))


def show_package(
    common: Common,
    digest: Digest,
    manifest: Manifest,
    folder: Path | None,
    *,
    more: Mapping[str, str] | None = None,
    verdict: object = None,
) -> None:
    """Show a package.

    Args:
        common: Says whether for people or for programs.
        digest: Its digest.
        manifest: What it is.
        folder: Where it lies, None if it was not fetched.
        more: Further facts, for people.
        verdict: What an examination found, for programs.
    """
    if common.json:
        where = {} if folder is None else {"folder": str(folder)}
        found = {} if verdict is None else {"verdict": verdict}
        print_json({"package": digest.hex(), **where, "manifest": manifest, **found})
        return
    facts = describe_package(digest, manifest)
    if folder is not None:
        facts["folder"] = folder
    print_facts({**facts, **(more or {})})


def describe_package(digest: Digest, manifest: Manifest) -> dict[str, object]:
    """Say what a package is, for people."""
    facts: dict[str, object] = {
        "name": f"{manifest.name} {manifest.version}",
        "task": manifest.task,
        "licence": manifest.licence,
        "description": manifest.description,
        "inputs": describe_specs(manifest.inputs),
        "outputs": describe_specs(manifest.outputs),
        "text": _describe_text(manifest.text),
        "upstream": _describe_upstream(manifest.upstream),
        "exact": _describe_canonical(manifest),
        "bound": "; ".join(f"{one.name} {one.dtype} {list(one.shape)}" for one in manifest.bound),
        "files": f"{len(manifest.files)}, {sum(f.size for f in manifest.files):,} bytes",
        "package": digest.hex(),
    }
    return {name: value for name, value in facts.items() if value}


def _describe_text(text: TextModel | None) -> str:
    if text is None:
        return ""
    return (
        f"{text.architecture}, {text.layers} layers of width {text.width}, "
        f"{text.vocabulary} tokens, context {text.context}, {text.rule} over {text.top_k}"
    )


def _describe_upstream(model: UpstreamModel | None) -> str:
    if model is None:
        return ""
    if model.engine == "relay":
        return f"a closed service runs it as {model.served_as}: nobody knows what wrote its texts"
    return (
        f"{model.engine} runs it as {model.served_as}, numeric class {model.numeric}: checked by "
        "nobody"
    )


def _describe_canonical(manifest: Manifest) -> str:
    canonical = manifest.canonical
    if canonical is None:
        return ""
    dims = ", ".join(
        f"{one.name} {one.least}"
        if one.least == one.greatest
        else f"{one.name} {one.least} to {one.greatest}"
        for one in canonical.dims
    )
    return f"{canonical.digest}{f'; {dims}' if dims else ''}"
