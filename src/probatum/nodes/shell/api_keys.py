"""API keys of a door: made here, kept as hashes, looked up by their public part.

A key is ``pb-<id>-<secret>``. The id is public: it names the key in lists and in custody records.
The secret has 256 bits of chance, so a plain SHA-256 of the key is enough to keep: there is
nothing to guess. The file ``api-keys.json`` in a node's home may be changed while the node runs.
Must not know what a key allows (`gate`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from probatum.errors import Fault, Refusal
from probatum.protocol import limits
from probatum.protocol.hexes import HexDigest
from probatum.protocol.primitives import AMOUNT_BOUND, Amount

__all__ = [
    "ApiKey",
    "ApiKeys",
    "AtOnce",
    "Rate",
    "add_key",
    "load_keys",
    "looks_like_key",
    "revoke_key",
    "set_budget",
]

FILE_NAME: Final = "api-keys.json"
KEYS: Final = 4_096
_FILE_BYTES: Final = 2 * limits.MIB
_LOOK_S: Final = 1.0
"""How often the file is looked at while the node runs."""
_FORM: Final = re.compile(r"pb-([a-z2-7]{8})-([A-Za-z0-9_-]{43})")

Rate = Annotated[float, Meta(gt=0, le=1_000_000)]
AtOnce = Annotated[int, Meta(ge=1, le=1_000_000)]


class ApiKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of a key.

    Attributes:
        id: Its public part.
        sha256: Hash of the whole key.
        label: Whom it was made for, in the operator's words.
        made_on: The day, as year-month-day.
        per_s: Requests a second; None for no limit of its own.
        at_once: Requests at one time; None for no limit of its own.
        budget_units: What its requests may cost in all; the gateway pays (`PAY-1`).
    """

    id: Annotated[str, Meta(pattern=r"^[a-z2-7]{8}\Z")]
    sha256: HexDigest
    label: Annotated[str, Meta(max_length=100)] = ""
    made_on: Annotated[str, Meta(max_length=10)] = ""
    per_s: Rate | None = None
    at_once: AtOnce | None = None
    revoked: bool = False
    budget_units: Amount = 0


class _KeyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: Literal["probatum-api-keys/1"]
    keys: Annotated[tuple[ApiKey, ...], Meta(max_length=KEYS)]


def looks_like_key(text: str) -> bool:
    """Tell whether a text has the form of a key; others' clients send keys of other forms."""
    return _FORM.fullmatch(text) is not None


def load_keys(home: Path) -> tuple[ApiKey, ...]:
    """Load all keys of a home, none if there is no file.

    Raises:
        Refusal: `api-key.loose-file` if others may read or write it, `api-key.malformed`.
        Fault: `api-key.unreadable`.
    """
    path = home / FILE_NAME
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise Refusal(
                    "api-key.loose-file",
                    f"others may read or write {path}",
                    hint=f"chmod 600 {path}; if others could write it, look for keys not yours",
                )
            data = file.read(_FILE_BYTES + 1)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise Fault("api-key.unreadable", f"cannot read {path}: {error.strerror}") from None
    try:
        if len(data) > _FILE_BYTES:
            raise msgspec.ValidationError("it is too long")
        keys = msgspec.json.decode(data, type=_KeyFile).keys
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refusal("api-key.malformed", f"{path} is no file of API keys: {error}") from None
    if len({key.id for key in keys}) != len(keys):
        raise Refusal("api-key.malformed", f"{path} names a key twice")
    return keys


def add_key(
    home: Path,
    *,
    label: str = "",
    per_s: float | None = None,
    at_once: int | None = None,
    budget_units: int = 0,
) -> tuple[str, ApiKey]:
    """Make a key and keep its hash; the key itself is returned and nowhere else.

    Raises:
        Refusal: `api-key.full`, `api-key.bad-limit`, and as `load_keys`.
        Fault: `api-key.unwritable`, and as `load_keys`.
    """
    keys = load_keys(home)
    if len(keys) >= KEYS:
        raise Refusal("api-key.full", f"a node has at most {KEYS} keys")
    taken = {key.id for key in keys}
    while (public := base64.b32encode(os.urandom(5)).decode().lower()) in taken:
        pass
    text = f"pb-{public}-{base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip('=')}"
    values = {
        "id": public,
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "label": label,
        "made_on": time.strftime("%Y-%m-%d", time.gmtime()),
        "per_s": per_s,
        "at_once": at_once,
        "budget_units": budget_units,
    }
    try:
        key = msgspec.convert(values, ApiKey)
    except msgspec.ValidationError as error:
        raise Refusal("api-key.bad-limit", f"no key can be made so: {error}") from None
    _save(home, (*keys, key))
    return text, key


def revoke_key(home: Path, key_id: str) -> ApiKey:
    """Revoke a key for ever; it stays in the list, so that its id is never given again.

    Raises:
        Refusal: `api-key.unknown`, and as `load_keys`.
        Fault: `api-key.unwritable`, and as `load_keys`.
    """
    keys = load_keys(home)
    found = next((key for key in keys if key.id == key_id), None)
    if found is None:
        raise Refusal("api-key.unknown", f"there is no key {key_id!r}", hint="list them first")
    revoked = msgspec.structs.replace(found, revoked=True)
    _save(home, tuple(revoked if key.id == key_id else key for key in keys))
    return revoked


def set_budget(home: Path, key_id: str, budget_units: int) -> ApiKey:
    """Change what a key's requests may cost in all, what they have cost included.

    Raises:
        Refusal: `api-key.unknown`, `api-key.bad-limit`, and as `load_keys`.
        Fault: `api-key.unwritable`, and as `load_keys`.
    """
    keys = load_keys(home)
    found = next((key for key in keys if key.id == key_id), None)
    if found is None:
        raise Refusal("api-key.unknown", f"there is no key {key_id!r}", hint="list them first")
    if not 0 <= budget_units < AMOUNT_BOUND:
        raise Refusal("api-key.bad-limit", f"{budget_units} units are no budget")
    changed = msgspec.structs.replace(found, budget_units=budget_units)
    _save(home, tuple(changed if key.id == key_id else key for key in keys))
    return changed


class ApiKeys:
    """The keys of a running node, looked at again when their file changes."""

    def __init__(
        self,
        home: Path,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        complain: Callable[[str, str], None] = lambda _code, _message: None,
    ) -> None:
        """Load the keys.

        Args:
            home: The node's home.
            clock_s: Any clock that does not go back.
            complain: Is told code and message when a changed file cannot be used; the keys that
                were there before stay in force.

        Raises:
            Refusal: as `load_keys`.
            Fault: as `load_keys`.
        """
        self._home = home
        self._clock_s = clock_s
        self._complain = complain
        self._looked_s = clock_s()
        self._seen = self._look()
        self._keys = {key.id: key for key in load_keys(home)}

    def find(self, text: str) -> ApiKey | None:
        """Find the key that a client sent; revoked ones too.

        Every byte of the hash is compared, whatever the first difference.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            return None
        self._refresh()
        key = self._keys.get(match[1])
        sent = hashlib.sha256(text.encode()).hexdigest()
        return key if key is not None and hmac.compare_digest(sent, key.sha256) else None

    def get_budget(self, caller: str) -> int:
        """Get what a caller of the door may spend in all, in units."""
        self._refresh()
        key = self._keys.get(caller.removeprefix("key:"))
        return 0 if key is None or key.revoked else key.budget_units

    def _refresh(self) -> None:
        now_s = self._clock_s()
        if now_s - self._looked_s < _LOOK_S:
            return
        self._looked_s = now_s
        seen = self._look()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._keys = {key.id: key for key in load_keys(self._home)}
        except (Refusal, Fault) as error:
            self._complain(error.code, error.message)

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = (self._home / FILE_NAME).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


def _save(home: Path, keys: tuple[ApiKey, ...]) -> None:
    file = _KeyFile(format="probatum-api-keys/1", keys=keys)
    data = msgspec.json.format(msgspec.json.encode(file), indent=1) + b"\n"
    fresh = home / (FILE_NAME + ".new")
    try:
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        fresh.replace(home / FILE_NAME)
    except OSError as error:
        raise Fault("api-key.unwritable", f"cannot write {fresh}: {error.strerror}") from None
