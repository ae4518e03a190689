"""Bundles by file or request id, and what was asked and answered besides.

What is kept lies in the home folder's `receipts`, as `probatum.client.store` keeps it. Imports
little: `receipt verify` starts here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from probatum.cli.places import expand_home
from probatum.cli.settings import Common, read_bounded
from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.encoding import decode
from probatum.protocol.hexes import bytes_from_hex
from probatum.protocol.primitives import Salt, check_request_id, make_salt

if TYPE_CHECKING:
    from probatum.client.store import Contents, ReceiptStore
    from probatum.protocol.tensors import Tensor

__all__ = [
    "ContentFiles",
    "find_bundle",
    "is_request_id",
    "load_tensors",
    "open_receipts",
    "resolve",
]

_ID: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentFiles:
    """Where request and answer are: as `ask` keeps them, or as the inference protocol's JSON."""

    contents: Path | None
    request: Path | None
    answer: Path | None
    salt: str | None


def open_receipts(common: Common) -> ReceiptStore:
    """Open the folder of kept receipts."""
    from probatum.client.store import ReceiptStore  # noqa: PLC0415 - not for files elsewhere

    return ReceiptStore(common.folder / "receipts")


def is_request_id(text: str) -> bool:
    """Whether something has the form of a request id."""
    return _ID.fullmatch(text) is not None


def resolve(common: Common, what: str) -> str:
    """Turn ``last`` into the id of the request kept last; leave everything else as it is.

    Raises:
        Refusal: `receipt.none-kept`.
    """
    if what != "last":
        return what
    store = open_receipts(common)
    paths = [store.folder / f"{kept.request_id}.contents" for kept in store.list()]
    newest = max((path for path in paths if path.exists()), key=_get_time, default=None)
    if newest is None:
        raise Refusal(
            "receipt.none-kept", "no receipt is kept yet", hint="`probatum ask` keeps them"
        )
    return newest.stem


def _get_time(path: Path) -> int:
    return path.stat().st_mtime_ns


def find_bundle(common: Common, what: str) -> bytes:
    """Find a bundle: a file, or a request id whose bundle is kept.

    Raises:
        Refusal: `store.unknown-request`, `settings.no-file`, `settings.file-too-large`.
    """
    path = expand_home(Path(what))
    if is_request_id(what) and not path.exists():
        return open_receipts(common).load_bundle(check_request_id(what))
    return read_bounded(path, limits.BUNDLE_BYTES)


def load_tensors(
    common: Common, what: str, files: ContentFiles
) -> tuple[Salt, tuple[Tensor, ...], tuple[Tensor, ...]] | None:
    """Load salt, inputs and outputs; None if there are none to compare.

    A kept request's contents are found by its id, others by the files that are named.

    Raises:
        Refusal: `receipt.half-content` if one of request, answer and salt is missing;
            `encoding.*`, `oip.*`, `settings.*`.
    """
    if files.contents is not None:
        return _open(_decode(read_bounded(files.contents, 2 * limits.FRAME_BYTES)))
    if files.request is None and files.answer is None and files.salt is None:
        if not is_request_id(what) or Path(what).exists():
            return None
        kept = open_receipts(common).load_contents(check_request_id(what))
        return None if kept is None else _open(kept)
    if files.request is None or files.answer is None or files.salt is None:
        raise Refusal(
            "receipt.half-content",
            "content is compared as a whole",
            hint="give --request, --answer and --salt, or --contents",
        )
    from probatum.protocol.oip import (  # noqa: PLC0415 - only for content as JSON
        decode_infer_request,
        decode_infer_response,
    )

    request = decode_infer_request(read_bounded(files.request, limits.REQUEST_BYTES))
    answer = decode_infer_response(read_bounded(files.answer, limits.REQUEST_BYTES))
    return make_salt(bytes_from_hex(files.salt)), request.tensors, answer.tensors


def _decode(data: bytes) -> Contents:
    from probatum.client.store import Contents  # noqa: PLC0415 - only for kept content

    return decode(Contents, data, limit_bytes=2 * limits.FRAME_BYTES)


def _open(contents: Contents) -> tuple[Salt, tuple[Tensor, ...], tuple[Tensor, ...]]:
    return contents.salt, contents.inputs, contents.outputs
