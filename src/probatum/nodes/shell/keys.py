"""Key files: one secret a file, readable by its owner alone.

A file is a JSON object with the kind, the public part (so that people can see whose it is) and
the secret. Looser permissions than 0600 are refused, as is a public part that is not the
secret's. Nothing here logs, and no error shows a secret.
"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

from probatum.errors import Fault, Refusal
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.primitives import address_to_hex
from probatum.protocol.secp256k1 import AccountSigner

if TYPE_CHECKING:
    from probatum.protocol.p256 import PublisherSigner

__all__ = [
    "create_account_key",
    "create_operating_key",
    "create_publisher_key",
    "load_account_key",
    "load_operating_key",
    "load_publisher_key",
    "load_secret_line",
    "lock_keys",
    "read_private",
    "save_account_key",
    "save_operating_key",
    "save_private",
    "save_publisher_key",
]

_FILE_BYTES: Final = 4096
_Kind: TypeAlias = Literal[
    "probatum-operating-key/1", "probatum-account-key/1", "probatum-publisher-key/1"
]


class _KeyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kind: _Kind
    public: str
    secret: str

    def __repr__(self) -> str:
        return f"_KeyFile({self.kind}, {self.public})"


def create_operating_key(path: Path) -> OperatingSigner:
    """Make a node's operating key (Ed25519) and save it; see `save_operating_key`."""
    signer = OperatingSigner(os.urandom(32))
    save_operating_key(path, signer)
    return signer


def create_account_key(path: Path) -> AccountSigner:
    """Make an account's key (secp256k1) and save it; see `save_account_key`."""
    while True:
        try:
            signer = AccountSigner(os.urandom(32))
        except Refusal:  # outside the group order: one chance in 2**128
            continue
        save_account_key(path, signer)
        return signer


def create_publisher_key(path: Path) -> PublisherSigner:
    """Make a publisher's key (P-256) and save it; see `save_publisher_key`."""
    from probatum.protocol.p256 import PublisherSigner  # noqa: PLC0415 - no node needs it

    while True:
        try:
            signer = PublisherSigner(os.urandom(32))
        except Refusal:  # outside the group order: one chance in 2**32
            continue
        save_publisher_key(path, signer)
        return signer


def save_operating_key(path: Path, signer: OperatingSigner) -> None:
    """Save an operating key to a new file of mode 0600.

    Raises:
        Refusal: `key.exists` if there is a file: a key is never overwritten.
        Fault: `key.unwritable`.
    """
    _save(path, "probatum-operating-key/1", signer.key.hex(), signer.seed)


def save_account_key(path: Path, signer: AccountSigner) -> None:
    """Save an account's key to a new file of mode 0600; errors as `save_operating_key`."""
    _save(path, "probatum-account-key/1", address_to_hex(signer.address), signer.secret)


def save_publisher_key(path: Path, signer: PublisherSigner) -> None:
    """Save a publisher's key to a new file of mode 0600; errors as `save_operating_key`."""
    _save(path, "probatum-publisher-key/1", signer.key.hex(), signer.secret)


def lock_keys(folder: Path) -> tuple[int, ...]:
    """Take a node's key files for this process; the locks end with the process.

    Two homes may have one folder of keys, or one file, by a link. Two nodes with one key, or one
    account to pay from, would each keep a tab of their own of what it owes (`PAY-1`). A *copy* of
    a key is another file, and not found out so.

    Returns:
        The descriptors that hold the locks; keep them open. Files that are not there hold none:
        whoever loads them says so.

    Raises:
        Fault: `home.locked` if another process has one.
    """
    held: list[int] = []
    for name in ("operating.json", "account.json"):
        path = folder / name
        try:
            held.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            continue
        try:
            fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            for descriptor in held:
                os.close(descriptor)
            raise Fault(
                "home.locked",
                f"another process runs with the key of {path}",
                hint="stop it first, or give this node keys of its own: `probatum node init`",
            ) from error
    return tuple(held)


def load_operating_key(path: Path) -> OperatingSigner:
    """Load a node's operating key.

    Raises:
        Refusal: `key.missing`, `key.loose-permissions`, `key.malformed`, `key.wrong-kind`.
    """
    file = _load(path, "probatum-operating-key/1")
    signer = OperatingSigner(_read_secret(path, file))
    _check_public(path, file, signer.key.hex())
    return signer


def load_account_key(path: Path) -> AccountSigner:
    """Load an account's key; errors as `load_operating_key`."""
    file = _load(path, "probatum-account-key/1")
    try:
        signer = AccountSigner(_read_secret(path, file))
    except Refusal:
        raise _malformed(path) from None
    _check_public(path, file, address_to_hex(signer.address))
    return signer


def load_publisher_key(path: Path) -> PublisherSigner:
    """Load a publisher's key, ours or an unencrypted PEM file; errors as `load_operating_key`."""
    from probatum.protocol.p256 import (  # noqa: PLC0415 - no node needs it
        PublisherSigner,
        signer_from_pem,
    )

    data = read_private(path)
    if data.startswith(b"-----BEGIN"):
        try:
            return signer_from_pem(data)
        except Refusal:
            raise _malformed(path) from None
    file = _parse(path, data, "probatum-publisher-key/1")
    try:
        signer = PublisherSigner(_read_secret(path, file))
    except Refusal:
        raise _malformed(path) from None
    _check_public(path, file, signer.key.hex())
    return signer


def _save(
    path: Path,
    kind: _Kind,
    public: str,
    secret: bytes,
) -> None:
    data = msgspec.json.format(
        msgspec.json.encode(_KeyFile(kind=kind, public=public, secret=secret.hex())), indent=1
    )
    save_private(path, data + b"\n")


def save_private(path: Path, data: bytes) -> None:
    """Save a secret to a new file of mode 0600; errors as `save_operating_key`."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise Refusal(
            "key.exists", f"there is a file at {path}", hint="move it away if you want a new key"
        ) from None
    except OSError as error:
        raise Fault("key.unwritable", f"cannot write {path}: {error.strerror}") from None


def load_secret_line(path: Path) -> str:
    """Load somebody else's key from a file that only its owner may read: one line of ASCII.

    Raises:
        Refusal: `key.missing`, `key.loose-permissions`, `key.malformed`.
    """
    data = read_private(path)
    try:
        line = data.decode("ascii").strip()
    except UnicodeDecodeError:
        line = ""
    if not line or len(data) > _FILE_BYTES or not line.isprintable():
        raise Refusal(
            "key.malformed", f"{path} holds no key of one line", hint="write the key alone into it"
        )
    return line


def _load(path: Path, kind: str) -> _KeyFile:
    return _parse(path, read_private(path), kind)


def read_private(path: Path) -> bytes:
    """Read a key file that nobody else may read; at most one byte beyond `_FILE_BYTES`.

    Raises:
        Refusal: `key.missing`, `key.loose-permissions`.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(_FILE_BYTES + 1)
    except OSError as error:
        raise Refusal(
            "key.missing",
            f"cannot read {path}: {error.strerror}",
            hint="make the key, or name the right home folder",
        ) from None
    if mode & 0o077:
        raise Refusal(
            "key.loose-permissions",
            f"others may read {path} (mode {mode:04o})",
            hint=f"chmod 600 {path}; if others did read it, replace the key",
        )
    return data


def _parse(path: Path, data: bytes, kind: str) -> _KeyFile:
    try:
        if len(data) > _FILE_BYTES:
            raise _malformed(path)
        found = msgspec.json.decode(data, type=_KeyFile, strict=True)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise _malformed(path) from None
    if found.kind != kind:
        raise Refusal("key.wrong-kind", f"{path} holds {found.kind}, not {kind}")
    return found


def _read_secret(path: Path, file: _KeyFile) -> bytes:
    try:
        secret = bytes.fromhex(file.secret)
    except ValueError:
        raise _malformed(path) from None
    if len(secret) != 32:
        raise _malformed(path)
    return secret


def _check_public(path: Path, file: _KeyFile, public: str) -> None:
    if file.public != public:
        raise _malformed(path)


def _malformed(path: Path) -> Refusal:
    return Refusal(
        "key.malformed",
        f"{path} is not a key file, or its public part is not its secret's",
        hint="restore it from a backup",
    )
