"""Has every package examined before anything of it is loaded into the node (`PUB-1`).

The engine parses a stranger's file first in a process that may do nothing else; what that found
is kept beside the packages. Read next: `probatum.runtime.sandbox.cell`.
"""

from __future__ import annotations

from collections.abc import Iterable

from probatum.errors import Refusal
from probatum.hub.canonical import read_graph
from probatum.hub.files import open_regular
from probatum.hub.package import Package
from probatum.hub.texts import check_text_meaning
from probatum.hub.verdicts import VerdictShelf
from probatum.runtime.checking.meaning import check_meaning
from probatum.runtime.sandbox.bounds import SandboxBounds
from probatum.runtime.sandbox.cell import examine_model
from probatum.runtime.sandbox.verdict import Verdict, decode_verdict, encode_verdict, get_checker

__all__ = ["examine_package", "examine_packages"]


def examine_packages(
    packages: Iterable[Package], shelf: VerdictShelf, bounds: SandboxBounds | None = None
) -> None:
    """Examine packages, unless an earlier start of this node did.

    Raises:
        Refusal: The first reason of the first package that is not admitted; `runtime.unverified`
            if a file is not what its manifest says.
        Fault: `sandbox.broken`, `hub.disk`.
    """
    for package in packages:
        if _find_kept(package, shelf) is not None:
            continue
        verdict = examine_package(package, bounds)
        if verdict is None:
            continue
        # Only what was admitted: a process may fail once because the machine was busy.
        shelf.put(package.digest, get_checker(), encode_verdict(verdict))


def examine_package(package: Package, bounds: SandboxBounds | None = None) -> Verdict | None:
    """Examine one package, its canonical meaning too if it states one (`EXACT-1`).

    Returns:
        What was found of an ONNX file; None of a language model's weights, of which nothing is
        parsed but a bounded list of tensors (`TEXT-1`), and of what another program runs
        (`TEXT-2`).

    Raises:
        Refusal: As `examine_packages`; `package.other-canonical`, `canon.*`.
        Fault: `sandbox.broken`, `hub.disk`.
    """
    if package.manifest.text is not None:
        check_text_meaning(package)
        return None
    if package.manifest.upstream is not None:
        return None
    with open_regular(package.folder / package.manifest.model) as descriptor:
        verdict = examine_model(descriptor, bounds)
    _check(package, verdict)
    canonical = package.manifest.canonical
    if canonical is not None and read_graph(package) is not None:
        check_meaning(package.manifest, package.read_model(), package.read_file(canonical.graph))
    return verdict


def _find_kept(package: Package, shelf: VerdictShelf) -> Verdict | None:
    data = shelf.get(package.digest, get_checker())
    if data is None:
        return None
    try:
        verdict = decode_verdict(data)
        _check(package, verdict)
    except Refusal:
        return None
    return verdict


def _check(package: Package, verdict: Verdict) -> None:
    manifest = package.manifest
    try:
        verdict.check_admitted()
    except Refusal as refusal:
        raise Refusal(
            refusal.code,
            f"package {manifest.name} {manifest.version}: {refusal.message}",
            hint=refusal.hint,
        ) from None
    if verdict.sha256 != package.get_entry(manifest.model).sha256:
        raise Refusal("runtime.unverified", "the examined file is not the one of the manifest")
