"""Whether a package's canonical graph is what its ONNX file expands to (`EXACT-1`, `NODE-1`).

Expansion happens in a confined process. Must not know where packages lie.
"""

from __future__ import annotations

from typing import Final

from probatum.errors import Refusal
from probatum.protocol.manifests import Manifest
from probatum.runtime.checking.cell import expand_confined
from probatum.runtime.checking.report import ExactReport, Question
from probatum.runtime.limits import WORKING_BYTES

__all__ = ["USUAL_RANGE", "check_meaning", "check_servable", "list_reasons", "make_question"]

USUAL_RANGE: Final = (1, 16)
"""What is admitted of a dim of which nothing is said."""


def make_question(manifest: Manifest, model: bytes) -> Question:
    """Make the question that expands a package's file again.

    Raises:
        Refusal: `schema.not-exact`.
    """
    if manifest.canonical is None:
        raise Refusal("schema.not-exact", f"{manifest.name} has no canonical meaning")
    return Question(
        model=model,
        ranges={one.name: (one.least, one.greatest) for one in manifest.canonical.dims},
        bind=tuple(one.to_tensor() for one in manifest.bound),
        is_measured=False,
    )


def check_meaning(manifest: Manifest, model: bytes, graph: bytes) -> ExactReport:
    """Check that a package's graph is its file's: digest, records and all roots of weights.

    Args:
        manifest: States the digest.
        model: The ONNX file; it was admitted.
        graph: The encoded graph of the package.

    Raises:
        Refusal: The first reason if the file has no canonical graph; `package.other-canonical`,
            `runtime.too-large`.
        Fault: `sandbox.broken`.
    """
    report, found = expand_confined(make_question(manifest, model))
    refusal = list_reasons(report)
    if refusal is not None:
        raise refusal
    assert manifest.canonical is not None, "the question was made of it"
    if report.digest != manifest.canonical.digest or found != graph:
        raise Refusal(
            "package.other-canonical",
            f"the ONNX file of {manifest.name} {manifest.version} expands to "
            f"{str(report.digest)[:16]}…, the package states {manifest.canonical.digest[:16]}…",
            hint="do not use it; its publisher packs it again with --exact",
        )
    check_servable(report)
    return report


def check_servable(report: ExactReport) -> None:
    """Check that nodes would lend what an answer may take, before anybody publishes it.

    Raises:
        Refusal: `runtime.too-large`.
    """
    if report.bounds is not None and report.bounds.peak_bytes > WORKING_BYTES:
        raise Refusal(
            "runtime.too-large",
            f"an answer may take {report.bounds.peak_bytes} bytes of memory",
            hint=f"nodes lend {WORKING_BYTES}; admit smaller dims",
        )


def list_reasons(report: ExactReport) -> Refusal | None:
    """Put all reasons of a report into one refusal, under the first one's code; None if none."""
    if report.is_admitted:
        return None
    first = report.reasons[0]
    said = "; ".join(f"{one.code}: {one.message}" for one in report.reasons[1:])
    more = f" (and {report.more_reasons} more)" if report.more_reasons else ""
    message = f"{first.message}{'; ' if said else ''}{said}{more}"
    return Refusal(first.code, f"class exact does not admit it: {message}", hint=first.hint)
