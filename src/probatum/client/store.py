"""The receipts folder: what a client keeps of its requests, until their inclusion is proven.

Two files a request: ``<id>.bundle.json``, which may be shown to anybody, and ``<id>.contents``,
which holds request, answer and salt and is the owner's alone. A third, ``<id>.other.json``, is
there only where a gateway showed other records later. Files appear whole or not at all.
Must not know the network. Read next: `client`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta

from probatum.client.whole_files import write_whole
from probatum.errors import Fault, Refusal
from probatum.protocol import limits
from probatum.protocol.bundles import Bundle, decode_bundle
from probatum.protocol.encoding import LedgerValue, decode, encode
from probatum.protocol.primitives import RequestId, Salt, check_request_id
from probatum.protocol.tensors import Tensor

__all__ = ["Contents", "Kept", "ReceiptStore"]

_BUNDLE: Final = ".bundle.json"
_CONTENTS: Final = ".contents"
_OTHER: Final = ".other.json"
_CONTENTS_BYTES: Final = 2 * limits.FRAME_BYTES

Stand: TypeAlias = Literal["pending", "settled", "failed"]
Tensors = Annotated[tuple[Tensor, ...], Meta(max_length=limits.TENSORS_PER_REQUEST)]


class Contents(LedgerValue, frozen=True, kw_only=True):
    """What a bundle only commits to: keep it secret, or show it to whom you like (`SALT-1`).

    `outputs` is empty for a failed request.
    """

    gateway: str
    model: str
    version: str | None
    salt: Salt
    inputs: Tensors
    outputs: Tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One request in the folder."""

    request_id: RequestId
    stand: Stand


def _get_stand(bundle: Bundle) -> Stand:
    if bundle.receipt is None:
        return "failed"
    return "pending" if bundle.settlement is None else "settled"


class ReceiptStore:
    """A folder of receipts."""

    def __init__(self, folder: Path | str) -> None:
        """Open a folder, which is made when something is first kept."""
        self.folder = Path(folder).expanduser()

    def keep(self, request_id: RequestId, bundle: bytes, contents: Contents | None) -> None:
        """Keep a bundle; without contents, those already kept stay.

        A settled bundle is never replaced by a pending one.

        Raises:
            Refusal: `encoding.*` for bytes that are no bundle.
            Fault: `store.cannot-write`.
        """
        new = _get_stand(decode_bundle(bundle))
        old = self._read(request_id, _BUNDLE, limits.BUNDLE_BYTES)
        if contents is not None:
            self._write(request_id, _CONTENTS, encode(contents), 0o600)
        if old is not None and _get_stand(decode_bundle(old)) == "settled" != new:
            return
        self._write(request_id, _BUNDLE, bundle, 0o644)

    def keep_other(self, request_id: RequestId, bundle: bytes) -> Path:
        """Keep the first bundle that contradicts the one that is kept: both are signed.

        Returns:
            Its file, for whoever is accused with it.

        Raises:
            Fault: `store.cannot-write`, `store.cannot-read`.
        """
        if self._read(request_id, _OTHER, limits.BUNDLE_BYTES) is None:
            self._write(request_id, _OTHER, bundle, 0o644)
        return self._get_path(request_id, _OTHER)

    def load_bundle(self, request_id: RequestId) -> bytes:
        """Load a bundle. Raises Refusal `store.unknown-request`, Fault `store.cannot-read`."""
        data = self._read(request_id, _BUNDLE, limits.BUNDLE_BYTES)
        if data is None:
            raise Refusal(
                "store.unknown-request",
                f"no receipt of request {request_id} in {self.folder}",
                hint="`probatum receipt list` shows what is kept",
            )
        return data

    def load_contents(self, request_id: RequestId) -> Contents | None:
        """Load a request's contents, None if they are not here; raises as `load_bundle`."""
        data = self._read(request_id, _CONTENTS, _CONTENTS_BYTES)
        return None if data is None else decode(Contents, data, limit_bytes=_CONTENTS_BYTES)

    def list(self) -> tuple[Kept, ...]:
        """List what is kept, by request id; files that are no bundles are left out."""
        found = []
        for path in sorted(self.folder.glob("*" + _BUNDLE)):
            try:
                request_id = check_request_id(path.name.removesuffix(_BUNDLE))
                bundle = decode_bundle(self.load_bundle(request_id))
            except Refusal:
                continue
            found.append(Kept(request_id=request_id, stand=_get_stand(bundle)))
        return tuple(found)

    def remove(self, request_id: RequestId, *, even_pending: bool = False) -> None:
        """Forget a request.

        Raises:
            Refusal: `store.still-pending` unless its inclusion is proven, it failed, or
                `even_pending`: until then this copy may be all that holds the node to its word.
        """
        stand = _get_stand(decode_bundle(self.load_bundle(request_id)))
        if stand == "pending" and not even_pending:
            raise Refusal(
                "store.still-pending",
                f"the inclusion of {request_id} is not proven yet",
                hint="settle it first",
            )
        for ending in (_CONTENTS, _OTHER, _BUNDLE):
            self._get_path(request_id, ending).unlink(missing_ok=True)

    def _get_path(self, request_id: RequestId, ending: str) -> Path:
        return self.folder / (check_request_id(request_id) + ending)

    def _read(self, request_id: RequestId, ending: str, limit_bytes: int) -> bytes | None:
        path = self._get_path(request_id, ending)
        try:
            with path.open("rb") as file:
                return file.read(limit_bytes + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Fault("store.cannot-read", f"{path}: {error.strerror}") from None

    def _write(self, request_id: RequestId, ending: str, data: bytes, mode: int) -> None:
        write_whole(self._get_path(request_id, ending), data, mode)
