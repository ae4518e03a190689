"""The commands that make a package out of one's own model: `init`, `check`, `pack`.

Whatever ONNX file they are given is examined in the sandbox first; none is loaded here. Read
next: `drafting`, `examining`, `checking`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from probatum.cli.checking import (
    NOTHING_SAID,
    Exactness,
    check_exact,
    describe_exact,
    show_exact,
)
from probatum.cli.drafting import (
    DRAFT_NAME,
    TRAIN_NAME,
    Draft,
    check_complete,
    load_draft,
    write_draft,
)
from probatum.cli.enclosing import ALONE, Enclosure
from probatum.cli.exacting import (
    PLAIN,
    ExactPart,
    Packing,
    check_package_meaning,
    describe_joining,
    find_exact_part,
    join_packings,
)
from probatum.cli.examining import describe_verdict, examine_file, list_refused
from probatum.cli.failures import OK, REFUSED
from probatum.cli.output import note, print_facts, print_json, print_lines
from probatum.cli.places import expand_home
from probatum.cli.settings import DEFAULTS, Common, read_bounded
from probatum.cli.showing import describe_specs, show_package
from probatum.errors import Fault, Refusal
from probatum.hub.build import PackageFacts, build_package
from probatum.hub.files import open_regular
from probatum.hub.package import MANIFEST_NAME, Package, load_package
from probatum.protocol import limits
from probatum.protocol.hashing import sha256
from probatum.runtime.admission import bounds
from probatum.runtime.sandbox.verdict import Verdict
from probatum.runtime.schema import Schema, name_batch_dim

__all__ = ["check", "init", "pack"]

_BATCH_DIM: Final = "batch"


def init(
    folder: Annotated[Path, Parameter(help="The model's folder; made if it is not there.")],
    /,
    *,
    from_: Annotated[
        Path | None, Parameter(name="--from", help="An ONNX file to copy into it.")
    ] = None,
    sklearn: Annotated[
        bool, Parameter(help="Write a script that trains and exports a scikit-learn example.")
    ] = False,
    common: Common = DEFAULTS,
) -> None:
    """Begin a model: a folder with a commented model.toml to fill in.

    Example: probatum model init my-model --from net.onnx
    """
    if from_ is not None and sklearn:
        raise Refusal("draft.two-sources", "either --from a file, or --sklearn, not both")
    data = None if from_ is None else read_bounded(from_, bounds.MODEL_BYTES)
    written = write_draft(folder, with_training=sklearn)
    if data is not None:
        try:
            with (folder / "model.onnx").open("xb") as file:
                file.write(data)
        except OSError as error:
            raise Fault("draft.unwritable", f"cannot write {folder}: {error.strerror}") from None
        written = (*written, folder / "model.onnx")
    if common.json:
        print_json({"folder": str(folder), "written": [str(path) for path in written]})
        return
    print_lines(f"wrote {path}" for path in written)
    if sklearn:
        note(f"Next: pip install scikit-learn skl2onnx, and python {folder / TRAIN_NAME}")
    elif data is None:
        note(f"Next: put your ONNX file there as {folder / 'model.onnx'}")
    note(f"Then: say in {folder / DRAFT_NAME} what it is, and: probatum model check {folder}")


def check(
    path: Annotated[Path, Parameter(help="An ONNX file, a model's folder, or a package's folder.")],
    /,
    *,
    exactness: Exactness = NOTHING_SAID,
    common: Common = DEFAULTS,
) -> int:
    """Examine a model in a process that may do nothing else, and say whether it is admitted.

    Of a package every byte is checked too, and of a model's folder its model.toml. Of an ONNX file
    it says whether the class exact admits it, or each reason why not; what that costs at most; and
    on sample requests how fast it is here, and how far ONNX Runtime and narrower weights lie from
    the canonical result.

    Example: probatum model check net.onnx --dim batch=1..16
    """
    path = expand_home(path)
    if not path.is_dir():
        return _check_file(path, exactness, common)
    if (path / MANIFEST_NAME).is_file():
        return _check_package(path, common)
    draft = load_draft(path)
    verdict = examine_file(_find_model(path, draft))
    if not verdict.is_admitted:
        return _report_refused(verdict, common)
    check_complete(draft)
    labels = draft.read_labels(path)
    exact = _check_draft_exact(path, draft, verdict)
    schema = exact.schema or _read_schema(verdict, is_batch=draft.batch)
    if common.json:
        print_json({"folder": str(path), "verdict": verdict})
        return OK
    facts = {
        "name": f"{draft.name} {draft.version}",
        **_describe_schema(schema, verdict),
        "labels": f"{len(labels)} classes" if labels else "none: it does not classify",
        "requests": "may be joined" if draft.batch else "run one by one",
        **({"exact": _describe_ranges(exact)} if draft.exact else {}),
        **describe_verdict(verdict),
    }
    print_facts(facts)
    note(f"Next: probatum model pack {path}")
    return OK


def pack(  # noqa: PLR0913 - a command's options are its arguments
    source: Annotated[
        Path, Parameter(help="A model's folder (probatum model init), or an ONNX file.")
    ],
    /,
    *,
    name: Annotated[str | None, Parameter(help="Lower case; letters, digits, . - _")] = None,
    version: Annotated[str | None, Parameter(help="Free text, like 1.0")] = None,
    task: Annotated[str | None, Parameter(help="What it is for, in a word.")] = None,
    licence: Annotated[str | None, Parameter(help="An SPDX expression, like Apache-2.0")] = None,
    output: Annotated[
        Path | None,
        Parameter(alias="-o", help="The new package's folder; beside the model.toml if absent."),
    ] = None,
    description: Annotated[str | None, Parameter(help="A sentence or two.")] = None,
    labels: Annotated[
        Path | None, Parameter(help="Text file, one class a line, if it classifies.")
    ] = None,
    batch: Annotated[
        bool, Parameter(help="Rows do not depend on one another: requests may be joined.")
    ] = False,
    packing: Packing = PLAIN,
    enclosure: Enclosure = ALONE,
    common: Common = DEFAULTS,
) -> None:
    """Make a package out of a model's folder, or out of an ONNX file alone.

    What is said here counts, the folder's model.toml says the rest.

    Example: probatum model pack ./my-model

    Example: probatum model pack net.onnx --name my-net --version 1.0 --task regression --licence
    MIT -o my-net
    """
    source = expand_home(source)
    said: dict[str, object] = {
        "name": name,
        "version": version,
        "task": task,
        "licence": licence,
        "description": description,
    }
    said = {key: value for key, value in said.items() if value is not None}
    draft = _find_draft(source)
    values = {**_get_facts(draft), **said}
    missing = [key for key in ("name", "version", "task", "licence") if not values.get(key)]
    place = output or (source / "package" if draft is not None else None)
    missing += [] if place is not None else ["output"]
    if missing or place is None:
        raise _refuse_incomplete(source, draft, missing)
    facts = {key: str(value) for key, value in values.items()}
    is_batch = batch or (draft is not None and draft.batch)
    made, verdict = _build(
        source,
        draft,
        facts,
        place,
        labels=labels,
        is_batch=is_batch,
        packing=packing,
        enclosure=enclosure,
    )
    show_package(common, made.digest, made.manifest, place, verdict=verdict)
    if not common.json:
        note(f"Next: probatum up --model {place}, or probatum model publish {place}")


def _find_draft(source: Path) -> Draft | None:
    """Load what a model's folder says; None for an ONNX file alone."""
    if not source.exists():
        raise Refusal(
            "draft.no-source",
            f"there is nothing at {source}",
            hint="name an ONNX file, or a model's folder: `probatum model init` makes one",
        )
    return load_draft(source) if source.is_dir() else None


def _refuse_incomplete(source: Path, draft: Draft | None, missing: list[str]) -> Refusal:
    options = ", ".join(f"--{key}" for key in missing)
    hint = "or fill in a model.toml: `probatum model init FOLDER --from FILE`"
    if draft is not None:
        hint = f"or say it in {source / DRAFT_NAME}"
    return Refusal("draft.incomplete", f"a package needs {options}", hint=hint)


def _build(
    source: Path,
    draft: Draft | None,
    facts: Mapping[str, str],
    place: Path,
    *,
    labels: Path | None,
    is_batch: bool,
    packing: Packing,
    enclosure: Enclosure,
) -> tuple[Package, Verdict]:
    """Examine the model, and make the package of the very bytes that were examined."""
    model = source if draft is None else _find_model(source, draft)
    verdict = examine_file(model)
    verdict.check_admitted()
    data = read_bounded(model, bounds.MODEL_BYTES)
    if sha256(data).hex() != verdict.sha256:
        raise Refusal("draft.changed", f"{model} changed while it was examined", hint="try again")
    enclosed = enclosure.read()
    packing = join_packings(_read_packing(draft), packing)
    exact = find_exact_part(verdict, data, packing, is_batch=is_batch)
    schema = exact.schema or _read_schema(verdict, is_batch=is_batch)
    if labels is not None:
        lines = tuple(read_bounded(labels, limits.MIB).decode("utf-8", "replace").splitlines())
    else:
        lines = draft.read_labels(source) if draft is not None else ()
    said = PackageFacts(
        **{"description": "", **facts},
        inputs=schema.inputs,
        outputs=schema.outputs,
        labels=lines,
        parents=draft.parents if draft is not None else (),
        batch_dim=_find_batch_dim(exact, schema) if is_batch else None,
        max_tokens=enclosure.max_tokens,
        bound=exact.bound,
        dims=exact.dims,
    )
    return build_package(said, data, place, {**enclosed, **exact.files}), verdict


def _read_packing(draft: Draft | None) -> Packing:
    if draft is None:
        return PLAIN
    return Packing(exact=draft.exact, dim=draft.list_dims(), bind=draft.list_constants())


def _check_draft_exact(folder: Path, draft: Draft, verdict: Verdict) -> ExactPart:
    """Expand a draft's model if it is to be exact. Raises as `find_exact_part`."""
    data = read_bounded(_find_model(folder, draft), bounds.MODEL_BYTES) if draft.exact else b""
    return find_exact_part(verdict, data, _read_packing(draft), is_batch=draft.batch)


def _describe_ranges(exact: ExactPart) -> str:
    return ", ".join(("yes", *(f"{one.name} {one.least} to {one.greatest}" for one in exact.dims)))


def _find_batch_dim(exact: ExactPart, schema: Schema) -> str:
    return _BATCH_DIM if exact.schema is None else str(schema.inputs[0].shape[0])


def _check_file(path: Path, told: Exactness, common: Common) -> int:
    verdict = examine_file(path)
    if not verdict.is_admitted:
        return _report_refused(verdict, common)
    report, measured = check_exact(path, verdict, told)
    if common.json:
        print_json({"verdict": verdict, "exact": describe_exact(report, measured)})
        return OK
    schema = Schema(inputs=verdict.inputs, outputs=verdict.outputs)
    print_facts({**_describe_schema(schema, verdict), **describe_verdict(verdict)})
    show_exact(report, measured)
    note(f"Next: probatum model init FOLDER --from {path}")
    return OK


def _check_package(folder: Path, common: Common) -> int:
    package = load_package(folder)
    if package.manifest.upstream is not None:
        # Nothing of it is loaded by anybody: a stranger's program runs the model.
        show_package(common, package.digest, package.manifest, folder)
        return OK
    if package.manifest.text is not None:
        # Plain numbers: there is nothing to run, and the canonical graph says all.
        check_package_meaning(package)
        show_package(common, package.digest, package.manifest, folder)
        return OK
    verdict = examine_file(folder / package.manifest.model)
    if not verdict.is_admitted:
        return _report_refused(verdict, common)
    if verdict.sha256 != package.get_entry(package.manifest.model).sha256:
        raise Refusal("draft.changed", "the model changed while it was examined", hint="try again")
    check_package_meaning(package)
    more = {**describe_joining(package), **describe_verdict(verdict)}
    show_package(common, package.digest, package.manifest, folder, more=more, verdict=verdict)
    return OK


def _report_refused(verdict: Verdict, common: Common) -> int:
    if common.json:
        first = verdict.reasons[0]
        error = {"code": first.code, "message": first.message, "hint": first.hint}
        print_json({"error": {**error, "retryable": False}, "verdict": verdict})
    else:
        print_lines(list_refused(verdict))
    return REFUSED


def _find_model(folder: Path, draft: Draft) -> Path:
    """Find the ONNX file that a draft names; a folder may be a stranger's, so through no link."""
    path = folder / draft.file
    if not path.exists():
        raise Refusal(
            "draft.no-model",
            f"there is no {path} yet",
            hint=f"export your model there, or name another `file` in {DRAFT_NAME}",
        )
    if path.resolve() != folder.resolve() / draft.file:
        raise Refusal("package.symlink", f"{path} lies behind a symbolic link")
    with open_regular(path):
        return path


def _get_facts(draft: Draft | None) -> dict[str, object]:
    if draft is None:
        return {}
    names = ("name", "version", "task", "licence", "description")
    return {name: getattr(draft, name) for name in names}


def _read_schema(verdict: Verdict, *, is_batch: bool) -> Schema:
    schema = Schema(inputs=verdict.inputs, outputs=verdict.outputs)
    return name_batch_dim(schema, _BATCH_DIM) if is_batch else schema


def _describe_schema(schema: Schema, verdict: Verdict) -> dict[str, str]:
    return {
        "inputs": describe_specs(schema.inputs),
        "outputs": describe_specs(schema.outputs),
        "size": f"{verdict.size:,} bytes",
    }
