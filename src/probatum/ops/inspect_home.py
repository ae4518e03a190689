"""Whether a node's home is in order: configuration, keys, trust, packages.

Reads only; a node that runs there is not disturbed. Must not know networks. Read next: `doctor`.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from probatum.consensus.trust_files import make_trust
from probatum.errors import ProbatumError, Refusal
from probatum.hub.package import Package, load_package
from probatum.nodes.inference.upstreams import open_upstreams
from probatum.nodes.shell.api_keys import load_keys
from probatum.nodes.shell.config import (
    AnyConfig,
    FullConfig,
    GatewayConfig,
    InferenceConfig,
    load_any_config,
    load_node_key,
    load_payer_key,
    load_trust,
)
from probatum.nodes.shell.genesis_file import load_genesis
from probatum.ops.engine_homes import is_engine_home
from probatum.ops.findings import Finding, from_error
from probatum.protocol.hexes import digest_from_hex
from probatum.protocol.primitives import Address, address_to_hex
from probatum.protocol.trust import Trust

__all__ = ["Home", "inspect_home"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """What could be read of a home; None where it could not."""

    config: AnyConfig | None = None
    trust: Trust | None = None
    operating_key: str | None = None
    payer: Address | None = None


def inspect_home(home: Path) -> tuple[Home, tuple[Finding, ...]]:
    """Inspect a home; what was read serves further checks."""
    findings: list[Finding] = []

    def attempt(check: str, look: Callable[[], str]) -> None:
        try:
            findings.append(Finding(check=check, status="ok", detail=look()))
        except ProbatumError as error:
            findings.append(from_error(check, error))

    config: AnyConfig | None = None
    trust: Trust | None = None
    key: str | None = None
    payer: Address | None = None

    def look_at_config() -> str:
        nonlocal config
        config = load_any_config(home)
        return f"role {type(config).__name__.removesuffix('Config').lower()}"

    def look_at_keys() -> str:
        nonlocal key, payer
        if is_engine_home(home) and not (home / "keys" / "operating.json").exists():
            return "none, and none is needed: the engine beside it has keys of its own"
        key = load_node_key(home).key.hex()
        _check_folder(home / "keys")
        if isinstance(config, FullConfig | None) or not (home / "keys" / "account.json").exists():
            return f"operating key {key[:16]}…, readable by its owner alone"
        payer = load_payer_key(home).address
        shown = address_to_hex(payer)
        return f"operating key {key[:16]}…, fees from {shown}, readable by their owner alone"

    def look_at_api_keys() -> str:
        found = load_keys(home)
        revoked = sum(one.revoked for one in found)
        return f"{len(found) - revoked} valid, {revoked} revoked"

    def look_at_trust() -> str:
        nonlocal trust
        trust = _load_trust(home, config)
        return f"chain {trust.chain_id}, genesis {trust.genesis_hash[:16]}…"

    attempt("configuration", look_at_config)
    attempt("keys", look_at_keys)
    attempt("trust", look_at_trust)
    if isinstance(config, GatewayConfig):
        attempt("API keys", look_at_api_keys)
    if isinstance(config, InferenceConfig):
        findings += _inspect_packages(home / "packages", config)
    read = Home(config=config, trust=trust, operating_key=key, payer=payer)
    return read, tuple(findings)


def _check_folder(folder: Path) -> None:
    """Check that nobody else may put other keys in the place of these."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o022:
        raise Refusal(
            "key.loose-permissions",
            f"others may change what is in {folder} (mode {mode:04o})",
            hint=f"chmod 700 {folder}",
        )


def _load_trust(home: Path, config: AnyConfig | None) -> Trust:
    # Where its settings cannot be read, a full node's home is known by what it alone has.
    if not isinstance(config, FullConfig) and (config or not (home / "genesis.json").exists()):
        return load_trust(home)
    return make_trust(load_genesis(home / "genesis.json"))


def _inspect_packages(folder: Path, config: InferenceConfig) -> list[Finding]:
    """Hold every byte of every package to its digest."""
    try:
        here = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
    except OSError:
        here = []
    names = here if config.serve is None else list(config.serve)
    if not names:
        advice = "probatum node add-model puts a package there"
        return [Finding(check="packages", status="warn", detail="none to serve", advice=advice)]
    findings = []
    for name in names:
        check = f"package {name[:16]}…"
        try:
            package = load_package(folder / name, digest_from_hex(name))
        except ProbatumError as error:
            findings.append(from_error(check, error))
        else:
            detail = f"{package.manifest.name} {package.manifest.version}, every byte verified"
            findings.append(Finding(check=check, status="ok", detail=detail))
            findings += _inspect_upstream(package, config, folder.parent / "keys")
    return findings


def _inspect_upstream(package: Package, config: InferenceConfig, keys: Path) -> list[Finding]:
    """Ask the program that runs a package's model whether it is there (`TEXT-2`)."""
    if package.manifest.upstream is None:
        return []
    check = f"upstream of {package.manifest.name}"
    try:
        engines = open_upstreams({package.digest: package.manifest}, config.upstreams, keys)
        _, engine = engines[package.digest]
        facts = engine.profile()
    except ProbatumError as error:
        return [from_error(check, error)]
    if package.manifest.upstream.engine == "relay":
        detail = "a closed service, asked nothing now; its key is readable by its owner alone"
        return [Finding(check=check, status="ok", detail=detail)]
    detail = f"{facts.name} by {facts.build or 'an engine'}, {facts.context} tokens"
    return [Finding(check=check, status="ok", detail=detail)]
