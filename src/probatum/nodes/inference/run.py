"""The inference node as a process: ``python -m probatum.nodes.inference.run --home DIR``.

Its home holds ``node.toml``, ``trust.json``, ``keys/operating.json``, ``keys/account.json`` (which
pays fees), ``packages/`` and, once it has run, ``journal`` and ``verdicts/``. Every package is
checked byte by byte and examined in a process of its own (`PUB-1`) before it is offered. Read
next: `machine`, `app`, `probatum.nodes.shell.process`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from probatum.client.transport import HttpTransport
from probatum.errors import Refusal
from probatum.hub.package import Package
from probatum.hub.store import PackageStore
from probatum.hub.verdicts import VerdictShelf
from probatum.nodes.inference.app import make_app
from probatum.nodes.inference.compaction import compact
from probatum.nodes.inference.examining import examine_packages
from probatum.nodes.inference.machine import InferenceNode
from probatum.nodes.inference.settings import InferenceSettings
from probatum.nodes.inference.text_shelf import LIMITS, TextShelf, weigh_text
from probatum.nodes.inference.upstreams import open_upstreams
from probatum.nodes.shell.config import (
    InferenceConfig,
    load_node_key,
    load_payer_key,
    load_trust,
)
from probatum.nodes.shell.journal import COMPACT_FROM_BYTES
from probatum.nodes.shell.logs import write_report
from probatum.nodes.shell.process import (
    AFTER_GRACE_S,
    Party,
    Site,
    make_world,
    recover_journal,
    run_process,
)
from probatum.nodes.shell.scratch import ScratchFile
from probatum.nodes.shell.trust_keeping import keep_trust
from probatum.nodes.shell.witness import bear_witness
from probatum.protocol.hash_rows import HASH_BYTES, RUN_HASHES
from probatum.protocol.hexes import address_from_document, digest_from_hex
from probatum.protocol.manifests import Manifest
from probatum.protocol.primitives import Digest
from probatum.runtime.limits import PoolLimits
from probatum.runtime.worker import ComputePool

__all__ = ["main"]

_TURN_S: Final = 0.0005


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an inference node until it ends; return the process's exit code."""
    return run_process(InferenceConfig, _build, arguments)


def _build(site: Site[InferenceConfig]) -> Party:
    config = site.config
    packages = _open_packages(site.home / "packages", config)
    examine_packages(packages.values(), VerdictShelf(site.home / "verdicts"))
    settings = _make_settings(site, packages)
    with ExitStack() as held:
        journal, records = recover_journal(site.home)
        held.callback(journal.close)
        shelf = ScratchFile(site.home, run_bytes=HASH_BYTES * RUN_HASHES)
        held.callback(shelf.close)
        machine = InferenceNode(settings, records, shelf)
        keep = partial(compact, kept_bytes=settings.recent_bytes)
        journal.keep_compact(keep, from_bytes=COMPACT_FROM_BYTES)
        pool = _start_pool(packages, settings, config)
        held.callback(pool.close)
        if any(package.manifest.text is not None for package in packages.values()):
            # Engines hold the interpreter between products; tokens should not wait for a turn.
            sys.setswitchinterval(_TURN_S)
        upstreams = open_upstreams(settings.packages, config.upstreams, site.home / "keys")
        texts = TextShelf(packages, upstreams, threads=config.threads)
        held.callback(texts.close)
        close = held.pop_all().close
    transport = HttpTransport()
    return Party(
        machine=machine,
        world=make_world(journal=journal, transport=transport, compute=pool, writer=texts),
        chores=(partial(keep_trust, site.home, config.ledger, transport, write_report),),
        make_app=partial(
            make_app,
            machine=machine,
            packages=packages,
            domain=settings.domain,
            operator=settings.operator,
        ),
        close=close,
        ready={
            "operator": config.operator,
            "key": settings.signer.key.hex(),
            "packages": ",".join(digest.hex() for digest in packages),
        },
        grace_s=settings.stop_grace_ms / 1000 + AFTER_GRACE_S,
        bear_witness=partial(bear_witness, site.home, config.ledger),
        halts_itself=True,
    )


def _make_settings(
    site: Site[InferenceConfig], packages: Mapping[Digest, Package]
) -> InferenceSettings:
    config = site.config
    return InferenceSettings(
        operator=address_from_document(config.operator),
        signer=load_node_key(site.home),
        payer=load_payer_key(site.home),
        trust=load_trust(site.home),
        ledger=config.ledger,
        packages={digest: package.manifest for digest, package in packages.items()},
        arithmetic=config.arithmetic,
        price_units=config.price_units,
        fee_units=config.fee_units,
        settle_every_blocks=config.settle_every_blocks,
        open_requests=config.requests_at_once,
        open_bytes=config.held_bytes,
        recent_bytes=config.recent_bytes,
        open_texts=LIMITS.texts,
        text_bytes=LIMITS.cache_bytes,
        weigh_text=weigh_text,
        stop_grace_ms=config.stop_grace_ms,
    )


def _open_packages(root: Path, config: InferenceConfig) -> Mapping[Digest, Package]:
    """Open what is to be served, in order of digests."""
    store = PackageStore(root)
    wanted = store.list()
    if config.serve is not None:
        wanted = tuple(digest_from_hex(digest) for digest in sorted(config.serve))
        missing = [digest for digest in wanted if not store.has(digest)]
        if missing:
            raise Refusal(
                "config.missing-package",
                f"package {missing[0].hex()} is not under {root}",
                hint="add it to the node's packages, or take it out of `serve`",
            )
    return {digest: store.open(digest) for digest in wanted}


def _start_pool(
    packages: Mapping[Digest, Package], settings: InferenceSettings, config: InferenceConfig
) -> ComputePool:
    """Start the pool with every session loaded: what does not load is found out now.

    So is a package whose file has another canonical meaning than it states (`EXACT-1`).
    """

    def load(digest: Digest) -> tuple[Manifest, bytes]:
        package = packages.get(digest)
        if package is None:
            raise Refusal("package.not-here", "this node does not have the package")
        return package.manifest, package.read_model()

    kept = PoolLimits(kept_bytes=config.kept_answer_bytes)
    pool = ComputePool(load, threads=config.threads, pool_limits=kept)
    try:
        for digest, package in packages.items():
            if package.manifest.language is not None:
                continue  # engines of their own write texts
            for arithmetic in settings.list_classes(digest):
                pool.warm(digest, exact=arithmetic == "exact")
    except BaseException:
        pool.close()
        raise
    return pool


if __name__ == "__main__":
    sys.exit(main())
