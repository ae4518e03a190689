"""CometBFT's ``config.toml``: the settings that this network needs, and changing some in a text.

What is not named keeps the engine's default. Values were measured with the version that
`probatum.ops.cometbft` demands. Must not know where files lie.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from probatum.errors import Refusal
from probatum.protocol import limits

__all__ = [
    "CONFIG_BYTES",
    "SOCKET",
    "EngineSettings",
    "Peer",
    "SnapshotSource",
    "change_settings",
    "make_settings",
    "read_setting",
]

CONFIG_BYTES: Final = 256 * limits.KIB
SOCKET: Final = "abci.sock"
"""The application's socket, seen from the home: the engine runs with that as its folder, since a
whole path may be longer than a socket's name can be."""
Value: TypeAlias = str | int | bool
_SECTION: Final = re.compile(r"^\s*\[([^\[\]]+)\]\s*(?:#.*)?$")
_SETTING: Final = re.compile(r"^\s*([A-Za-z0-9_-]+)\s*=")
_BODY_BYTES: Final = 2 * limits.TRANSACTION_BYTES
"""A transaction in base64, and what is around it."""
_LOCAL_GOSSIP_MS: Final = 10
_LOCAL_PROPOSE_MS: Final = 1_500


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another engine: its id (hex of its node key's address), host and port."""

    id: str
    host: str
    port: int

    def __str__(self) -> str:
        """As ``persistent_peers`` wants it."""
        return f"{self.id}@{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSource:
    """From what an engine begins that does not compute every block again (`SNAP-1`).

    Attributes:
        servers: RPC addresses of other engines, two at least; none is believed.
        height, header_hash: The engine's header that is trusted.
        period_ms: How long after that header it may be started from.
    """

    servers: tuple[str, ...]
    height: int
    header_hash: bytes
    period_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What differs from one engine to the next.

    Attributes:
        moniker: A name for people.
        host: The address that other engines reach it at.
        p2p_port: For other engines.
        rpc_port: For this machine alone: the application and the watch ask there.
        peers: Whom it stays connected to.
        block_interval_ms: Wait after a block until the next; alike on all validators.
        is_local: Whether several engines share one machine.
        source: A snapshot to begin from; None begins with the first block.
    """

    moniker: str
    host: str = "127.0.0.1"
    p2p_port: int
    rpc_port: int
    peers: tuple[Peer, ...] = ()
    block_interval_ms: int = 1_000
    is_local: bool = True
    source: SnapshotSource | None = None


def make_settings(settings: EngineSettings) -> str:
    """Make a ``config.toml``: only what is not CometBFT's default, each for a reason."""
    local = settings.is_local
    listen = settings.host if local else "0.0.0.0"  # noqa: S104 - validators meet there
    sections: dict[str, list[tuple[str, Value, str]]] = {
        "": [
            ("moniker", settings.moniker, "A name for people."),
            ("proxy_app", f"unix://{SOCKET}", "The application, seen from the home folder."),
            ("log_level", "error", "Each block would be two kilobytes otherwise."),
            ("log_format", "json", ""),
        ],
        "rpc": [
            ("laddr", f"tcp://127.0.0.1:{settings.rpc_port}", "For this machine alone."),
            ("max_body_bytes", _BODY_BYTES, "The largest transaction in base64, and more."),
            ("pprof_laddr", "", ""),
        ],
        "p2p": [
            ("laddr", f"tcp://{listen}:{settings.p2p_port}", "For the other validators."),
            (
                "external_address",
                "" if local else f"{settings.host}:{settings.p2p_port}",
                "What others are told.",
            ),
            ("persistent_peers", _join(settings.peers), "Each as id@host:port."),
            ("pex", not local, "Whether to look for more peers than those."),
            ("addr_book_strict", not local, "Off where peers have private addresses."),
            ("allow_duplicate_ip", local, "On where several share one machine."),
        ],
        "mempool": [
            ("size", limits.BLOCK_TRANSACTIONS, "Also the most that a block can have."),
            ("cache_size", 4 * limits.BLOCK_TRANSACTIONS, "At least twice the size."),
            ("max_tx_bytes", limits.TRANSACTION_BYTES, "The protocol's limit."),
            ("max_txs_bytes", limits.MEMPOOL_BYTES, ""),
            ("recheck", True, "Drops what a block has made invalid."),
        ],
        "consensus": [
            (
                "timeout_commit",
                f"{settings.block_interval_ms}ms",
                "Time between blocks; alike on all validators.",
            ),
            ("create_empty_blocks", True, "Deadlines are counted in blocks."),
            ("double_sign_check_height", 0, ""),
        ],
        "tx_index": [("indexer", "null", "Outcomes are asked of the full node.")],
    }
    if local:
        quick = f"{_LOCAL_GOSSIP_MS}ms"
        note = "Peers are near: a quarter of a second less a block."
        sections["consensus"].append(("peer_gossip_sleep_duration", quick, note))
        note = "Whoever is down is passed over sooner."
        sections["consensus"].append(("timeout_propose", f"{_LOCAL_PROPOSE_MS}ms", note))
        sections["p2p"].append(("flush_throttle_timeout", quick, ""))
    if settings.source is not None:
        sections["statesync"] = _list_source(settings.source)
    return "\n".join(_list_lines(sections)) + "\n"


def _list_source(source: SnapshotSource) -> list[tuple[str, Value, str]]:
    return [
        ("enable", True, "Only while there is no block here yet."),
        ("rpc_servers", ",".join(source.servers), "They show headers; the trusted one judges."),
        ("trust_height", source.height, "The trust file's header,"),
        ("trust_hash", source.header_hash.hex().upper(), ""),
        ("trust_period", f"{source.period_ms}ms", "and how long it may be started from."),
        ("discovery_time", "5s", "Peers are asked for snapshots for so long."),
    ]


def _join(peers: tuple[Peer, ...]) -> str:
    return ",".join(map(str, peers))


def _list_lines(sections: Mapping[str, list[tuple[str, Value, str]]]) -> list[str]:
    lines = ["# CometBFT, as `probatum network init` set it; what is not here is its default."]
    for name, settings in sections.items():
        lines += ["", f"[{name}]"] if name else [""]
        lines += [
            f"{key} = {_write(value)}" + (f"  # {note}" if note else "")
            for key, value, note in settings
        ]
    return lines


def read_setting(text: str, section: str, key: str) -> Value | None:
    """Read one setting of a ``config.toml``; None if it is not named.

    Args:
        text: The file.
        section: Its table, empty for what stands before all of them.
        key: Its name.

    Raises:
        Refusal: `engine.bad-config`.
    """
    tables = _parse(text)
    table = tables.get(section, {}) if section else tables
    found = table.get(key) if isinstance(table, dict) else None
    return found if isinstance(found, str | int) else None


def change_settings(text: str, changes: Mapping[tuple[str, str], Value]) -> str:
    """Change settings and leave everything else as people wrote it, comments included.

    Args:
        text: The file: ours, or the long one that CometBFT writes.
        changes: New values by table (empty for none) and name; what is not there is added.

    Raises:
        Refusal: `engine.bad-config` if the text is not one that can be changed line by line.
    """
    left = dict(changes)
    lines: list[str] = []
    section = ""
    for line in text.splitlines():
        opened = _SECTION.match(line)
        if opened:
            lines += _take(left, section)
            section = opened[1].strip()
        named = None if opened else _SETTING.match(line)
        if named and (section, named[1]) in left:
            value = left.pop((section, named[1]))
            lines.append(f"{named[1]} = {_write(value)}{_get_comment(line)}")
        else:
            lines.append(line)
    lines += _take(left, section)
    for name in sorted({place for place, _ in left}):
        lines += ["", f"[{name}]", *_take(left, name)]
    changed = "\n".join(lines) + "\n"
    for (name, key), value in changes.items():
        if read_setting(changed, name, key) != value:
            raise _refuse(f"{key} cannot be changed in it")
    return changed


def _take(left: dict[tuple[str, str], Value], section: str) -> list[str]:
    """Write the settings of a table that its lines did not name."""
    missing = sorted(key for place, key in left if place == section)
    return [f"{key} = {_write(left.pop((section, key)))}" for key in missing]


def _get_comment(line: str) -> str:
    """Get the comment after a value; a ``#`` within a text is none."""
    found = re.match(r"""^[^"'#]*(?:"[^"\\]*"|'[^']*'|[^"'#])*(\s+#.*)$""", line)
    return f"  {found[1].strip()}" if found else ""


def _write(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            if not value.isprintable() or not value.isascii() or set(value) & {'"', "\\"}:
                raise _refuse(f"{value!r:.60} cannot stand in it")
            return f'"{value}"'


def _parse(text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _refuse(str(error)) from None


def _refuse(why: str) -> Refusal:
    return Refusal("engine.bad-config", f"config.toml of CometBFT: {why}")
