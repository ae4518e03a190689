"""`probatum receipt recheck`: computes an answer again, here, and says right or wrong.

Offline: receipt, request and package are at hand. Must not know how anything is evaluated.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from probatum.cli.bundles import ContentFiles, find_bundle, is_request_id, load_tensors, resolve
from probatum.cli.failures import OK, REFUSED
from probatum.cli.fetching import open_store
from probatum.cli.output import print_json, print_lines, waiting
from probatum.cli.settings import DEFAULTS, Common, read_bounded
from probatum.errors import Refusal
from probatum.evidence.receipt import check_bundle, check_inputs, check_outputs, check_pending
from probatum.hub.package import load_package
from probatum.protocol import limits
from probatum.protocol.bundles import decode_bundle
from probatum.protocol.hexes import bytes_from_hex, digest_from_hex
from probatum.protocol.oip import decode_infer_request
from probatum.protocol.primitives import make_salt

if TYPE_CHECKING:
    from probatum.hub.package import Package
    from probatum.protocol.primitives import Digest, Salt
    from probatum.protocol.receipts import Receipt
    from probatum.protocol.tensors import Tensor
    from probatum.runtime.rechecking import Recheck

__all__ = ["recheck"]


def recheck(
    what: Annotated[
        str, Parameter(help="A bundle's file, the id of a request kept here, or: last")
    ],
    /,
    *,
    request: Annotated[
        Path | None,
        Parameter(help="What was asked: as `ask` keeps it, or as the inference protocol's JSON."),
    ] = None,
    salt: Annotated[str | None, Parameter(help="The salt in hex, where --request is JSON.")] = None,
    package: Annotated[
        Path | None, Parameter(help="The package's folder; else the store of fetched packages.")
    ] = None,
    common: Common = DEFAULTS,
) -> int:
    """Compute an answer of class exact again, here, and say whether the receipt's is right.

    Exit code 0 if it is right, bit for bit; 1 if it is wrong, naming the output and the first
    element that differ, or if the question cannot be asked of this receipt. Needs no network.

    Example: probatum receipt recheck receipt.json --request asked.contents --package my-model
    """
    what = resolve(common, what)
    data = find_bundle(common, what)
    is_settled = decode_bundle(data).settlement is not None
    trust = common.find_trust() if is_settled else None
    verified = check_pending(data) if trust is None else check_bundle(data, trust)
    receipt = verified.receipt
    secret, inputs, outputs = _load(common, what, request, salt)
    check_inputs(receipt, secret, inputs)
    if outputs is not None:
        check_outputs(receipt, secret, outputs)
    found = _open(common, digest_from_hex(receipt.request.model.package), package)
    outcome = _compute(receipt, found, secret, inputs, outputs)
    _report(common, receipt, outcome)
    return OK if outcome.difference is None else REFUSED


def _load(
    common: Common, what: str, request: Path | None, salt: str | None
) -> tuple[Salt, tuple[Tensor, ...], tuple[Tensor, ...] | None]:
    """Load what was asked, and what was answered if that is kept too."""
    if request is not None and salt is not None:
        asked = decode_infer_request(read_bounded(request, limits.REQUEST_BYTES))
        return make_salt(bytes_from_hex(salt)), asked.tensors, None
    if request is None and not is_request_id(what):
        raise Refusal(
            "receipt.half-content",
            "an answer is computed from its request",
            hint="--request FILE: what `ask` keeps, or JSON with --salt",
        )
    files = ContentFiles(contents=request, request=None, answer=None, salt=None)
    loaded = load_tensors(common, what, files)
    if loaded is None:
        raise Refusal("receipt.half-content", "this request's content is not kept here")
    return loaded


def _open(common: Common, digest: Digest, folder: Path | None) -> Package:
    if folder is not None:
        return load_package(folder.expanduser(), digest)
    return open_store(common).open(digest)


def _compute(
    receipt: Receipt,
    package: Package,
    salt: Salt,
    inputs: tuple[Tensor, ...],
    outputs: tuple[Tensor, ...] | None,
) -> Recheck:
    """Examine the package in a confined process, and only then compute with it here."""
    if receipt.request.arithmetic == "exact":
        from probatum.cli.examining import examine_file  # noqa: PLC0415 - costs start-up

        verdict = examine_file(package.folder / package.manifest.model)
        verdict.check_admitted()
    from probatum.runtime.rechecking import recheck_answer  # noqa: PLC0415 - brings numpy along

    with waiting("computing it again …"):
        return recheck_answer(
            receipt, package.manifest, package.read_model(), salt, inputs, outputs
        )


def _report(common: Common, receipt: Receipt, outcome: Recheck) -> None:
    wrong = outcome.difference
    if common.json:
        print_json(
            {
                "right": wrong is None,
                "request_id": receipt.request.request_id,
                "node": receipt.node.account,
                "package": receipt.request.model.package,
                "canonical": receipt.request.model.canonical,
                "difference": None
                if wrong is None
                else {
                    "tensor": wrong.tensor,
                    "element": wrong.element,
                    "right": wrong.right,
                    "given": wrong.given,
                },
            }
        )
        return
    if wrong is None:
        names = ", ".join(one.name for one in outcome.outputs)
        print_lines((f"right: {names} computed again here, equal to the last bit.",))
        return
    where = f"wrong: the output {wrong.tensor!r} is not the canonical one"
    if wrong.element is not None:
        at = "".join(f"[{index}]" for index in wrong.element)
        where = f"wrong: {wrong.tensor}{at} is {wrong.right}, the node signed {wrong.given}"
    print_lines((where, f"signed by the node {receipt.node.account}"))
