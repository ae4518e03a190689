"""Which publisher's key a command means: a name in the home folder, a key file, a PEM file.

Must not print; must not keep a secret longer than a command.
"""

from __future__ import annotations

from pathlib import Path

from probatum.cli.accounts import check_key_name
from probatum.cli.places import expand_home
from probatum.cli.settings import Common, read_bounded
from probatum.errors import Refusal
from probatum.nodes.shell.keys import load_publisher_key
from probatum.protocol import limits
from probatum.protocol.p256 import PublisherSigner, key_from_pem
from probatum.protocol.primitives import PublisherKey

__all__ = ["get_publisher_key_path", "load_public_key", "load_publisher_signer"]

_PUBLIC = b"-----BEGIN PUBLIC KEY-----"


def get_publisher_key_path(common: Common, name: str) -> Path:
    """Get where a named publisher's key lies. Raises Refusal `account.bad-name`."""
    return common.folder / "publisher-keys" / f"{check_key_name(name)}.json"


def load_publisher_signer(common: Common, key: str) -> PublisherSigner:
    """Load the key to sign with.

    Args:
        common: Where named keys lie.
        key: A name, or the path of a key file (it has a slash or a suffix); ours or PEM.

    Raises:
        Refusal: `publisher.unknown-key`, `account.bad-name`, `key.*`.
    """
    return load_publisher_key(_find(common, key))


def load_public_key(common: Common, key: str) -> PublisherKey:
    """Load the key to verify with: a public key in PEM, or the public part of one's own.

    Raises:
        Refusal: `publisher.unknown-key`, `p256.bad-pem`, `account.bad-name`, `key.*`.
    """
    path = _find(common, key)
    data = read_bounded(path, limits.TRUST_BYTES)
    if data.lstrip().startswith(_PUBLIC):
        return key_from_pem(data.decode("ascii", "replace"))
    return load_publisher_key(path).key


def _find(common: Common, key: str) -> Path:
    is_path = "/" in key or key.endswith((".json", ".pem", ".pub"))
    path = expand_home(Path(key)) if is_path else get_publisher_key_path(common, key)
    if not path.is_file():
        raise Refusal(
            "publisher.unknown-key",
            f"no publisher's key {key[:200]!r}: there is no file {path}",
            hint="`probatum account publisher-key new` makes one",
        )
    return path
