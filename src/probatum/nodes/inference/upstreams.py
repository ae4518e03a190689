"""Where the language models are that other programs run, as `node.toml` says it (`TEXT-2`).

Must not know requests. Read next: `probatum.runtime.upstream.engine`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from probatum.errors import Refusal
from probatum.nodes.shell.keys import load_secret_line
from probatum.protocol.hexes import digest_from_hex
from probatum.protocol.manifests import Manifest
from probatum.protocol.primitives import Digest
from probatum.runtime.upstream.engine import UpstreamEngine

__all__ = ["open_upstreams"]


def open_upstreams(
    packages: Mapping[Digest, Manifest], lines: tuple[str, ...], keys: Path
) -> dict[Digest, tuple[Manifest, UpstreamEngine]]:
    """Make the engine of each package that another program runs; none is asked anything.

    Args:
        packages: Manifests of what the node serves.
        lines: The setting `upstreams`: digest, place, perhaps a file below `keys`.
        keys: The folder of the node's keys.

    Raises:
        Refusal: `config.missing-upstream`, `config.doubled-upstream`, `key.*`, `upstream.bad-url`,
            `upstream.bad-key`.
    """
    places: dict[Digest, tuple[str, str | None]] = {}
    for line in lines:
        digest, url, *rest = line.split(" ")
        if digest_from_hex(digest) in places:
            raise Refusal(
                "config.doubled-upstream",
                f"upstreams names package {digest[:16]}… twice",
                hint="one engine a package; let a balancer stand before several",
            )
        places[digest_from_hex(digest)] = (url, rest[0] if rest else None)
    engines = {}
    for package, manifest in packages.items():
        if manifest.upstream is None:
            continue
        if package not in places:
            raise Refusal(
                "config.missing-upstream",
                f"{manifest.name} {manifest.version} is run by another program, and upstreams does "
                "not say where",
                hint=f'add "{package.hex()} http://HOST:PORT" to upstreams in node.toml',
            )
        url, name = places[package]
        secret = None if name is None else load_secret_line(keys / name)
        engines[package] = (manifest, UpstreamEngine(manifest, url, secret))
    return engines
