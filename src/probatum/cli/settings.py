"""What every command takes: where the network is, whom to trust, how to print.

A flag beats its environment variable, which beats the network that `probatum up` runs on this
machine (it leaves `running.json` in the home folder while it runs). Must not know any command.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
from cyclopts import Group, Parameter

from probatum.cli.helping import Brief
from probatum.cli.places import expand_home
from probatum.errors import Fault, Refusal
from probatum.protocol import limits
from probatum.protocol.trust import Trust, decode_trust

__all__ = ["DEFAULTS", "POINTER_FORMAT", "Common", "Pointer", "read_bounded", "read_pointer"]

POINTER_FORMAT: Final = "probatum-running/1"
_POINTER_BYTES: Final = 64 * limits.KIB
_EVERYWHERE: Final = Group("Everywhere", sort_key=100, help_formatter=Brief())
_HINT: Final = "start a network with `probatum up`, or name one: {flag} or {variable}"


class Pointer(msgspec.Struct, frozen=True, kw_only=True):
    """The network that `probatum up` runs on this machine, as `running.json` says.

    Attributes:
        account: Key file of a funded account, absent if there is none.
        pid: Of the process that runs the network; once it is gone, the file is void.
    """

    format: str
    gateway: str
    ledger: str
    trust: str
    pid: int
    nodes: tuple[str, ...] = ()
    account: str | None = None


@Parameter(name="*", group=_EVERYWHERE)
@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """Options that every command takes.

    Attributes:
        json: Print JSON for programs.
        gateway: Address of a gateway.
        ledger: Addresses of full nodes.
        trust: The trust file: which chain, and whose signature makes a header true.
        api_key: The gateway's, where it wants one.
        home: Folder for accounts, receipts and packages.
        debug: Show where an error arose.
    """

    json: Annotated[bool, Parameter(help="Print JSON, for programs.", show_default=False)] = False
    gateway: Annotated[
        str | None,
        Parameter(
            help="Address of a gateway; else the one that `probatum up` runs here.",
            env_var="PROBATUM_GATEWAY",
        ),
    ] = None
    ledger: Annotated[
        tuple[str, ...] | None,
        Parameter(
            help="Address of a full node; else the one here. Of several the first is asked, and "
            "`ledger status` holds them against each other.",
            env_var="PROBATUM_LEDGER",
            negative="",
        ),
    ] = None
    trust: Annotated[
        Path | None,
        Parameter(
            help="Trust file: whose headers to believe; else that of the network here.",
            env_var="PROBATUM_TRUST",
        ),
    ] = None
    api_key: Annotated[
        str | None,
        Parameter(
            help="API key of the gateway, where it wants one.",
            env_var="PROBATUM_API_KEY",
            show_default=False,
        ),
    ] = None
    home: Annotated[
        Path,
        Parameter(
            help="Folder for accounts, receipts and packages; else ~/.probatum.",
            env_var="PROBATUM_HOME",
            show_default=False,
        ),
    ] = Path("~/.probatum")
    debug: Annotated[
        bool,
        Parameter(help="Show where an error arose.", env_var="PROBATUM_DEBUG", show_default=False),
    ] = False

    @property
    def folder(self) -> Path:
        """The home folder, ``~`` resolved."""
        return expand_home(self.home)

    @property
    def pointer_path(self) -> Path:
        """Where the pointer to the network of this machine lies while it runs."""
        return self.folder / "running.json"

    def get_pointer(self) -> Pointer | None:
        """Get the network that runs on this machine, None if none does.

        Raises:
            Refusal: `settings.bad-pointer`.
        """
        return read_pointer(self.pointer_path)

    def get_gateway(self) -> str:
        """Get the gateway's address. Raises Refusal `settings.no-network`."""
        if self.gateway:
            return self.gateway.rstrip("/")
        if (pointer := self.get_pointer()) is None:
            raise _no_network("gateway", "--gateway", "PROBATUM_GATEWAY")
        return pointer.gateway

    def get_ledger(self) -> str:
        """Get the full node's address. Raises Refusal `settings.no-network`."""
        if self.ledger:
            return self.ledger[0].rstrip("/")
        if (pointer := self.get_pointer()) is None:
            raise _no_network("full node", "--ledger", "PROBATUM_LEDGER")
        return pointer.ledger

    def get_giver(self) -> str | None:
        """Get the funded account of the network here, None if another network's ledger is asked."""
        pointer = self.get_pointer()
        if pointer is None or self.get_ledger() != pointer.ledger.rstrip("/"):
            return None
        return pointer.account

    def list_ledgers(self) -> tuple[str, ...]:
        """List the full nodes that were named, or the one of this machine; as `get_ledger`."""
        named = tuple(dict.fromkeys(one.rstrip("/") for one in self.ledger or ()))
        return named or (self.get_ledger(),)

    def find_trust_path(self) -> Path | None:
        """Find the trust file, None if nobody named one."""
        if self.trust is not None:
            return expand_home(self.trust)
        pointer = None if self.ledger or self.gateway else self.get_pointer()
        return None if pointer is None else Path(pointer.trust)

    def find_trust(self) -> Trust | None:
        """Load the trust file if one was named; errors as `get_trust`."""
        path = self.find_trust_path()
        if path is None:
            return None
        try:
            return decode_trust(read_bounded(path, limits.TRUST_BYTES))
        except Refusal as refusal:
            if refusal.code.startswith("settings."):
                raise
            raise Refusal(
                refusal.code,
                f"{path}: {refusal.message}",
                hint=refusal.hint or "`probatum ledger trust -o FILE` writes one",
            ) from None

    def get_trust(self) -> Trust:
        """Load the trust file.

        Raises:
            Refusal: `settings.no-trust` if nobody named one; `encoding.*`, `settings.no-file`.
        """
        trust = self.find_trust()
        if trust is None:
            raise Refusal(
                "settings.no-trust",
                "no trust file, so nothing says whose headers to believe",
                hint="--trust FILE or PROBATUM_TRUST; whoever runs the network gives it out",
            )
        return trust


DEFAULTS: Final = Common()


def read_pointer(path: Path) -> Pointer | None:
    """Read what `probatum up` wrote, None if that network runs no longer.

    Raises:
        Refusal: `settings.bad-pointer`.
    """
    try:
        data = path.read_bytes()[:_POINTER_BYTES]
    except OSError:
        return None
    try:
        pointer = msgspec.json.decode(data, type=Pointer)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Refusal(
            "settings.bad-pointer",
            f"{path} is not what `probatum up` writes",
            hint="delete the file and start `probatum up` again",
        ) from None
    return pointer if pointer.format == POINTER_FORMAT and _is_running(pointer.pid) else None


def read_bounded(path: Path, limit_bytes: int) -> bytes:
    """Read a file that a command was given.

    Raises:
        Refusal: `settings.no-file`, `settings.file-too-large`.
        Fault: `settings.unreadable`.
    """
    try:
        with expand_home(path).open("rb") as file:
            data = file.read(limit_bytes + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise Refusal("settings.no-file", f"there is no file {path}") from None
    except IsADirectoryError:
        raise Refusal("settings.no-file", f"{path} is a folder, not a file") from None
    except OSError as error:
        raise Fault(
            "settings.unreadable", f"cannot read {path}: {error.strerror}", retryable=False
        ) from None
    if len(data) > limit_bytes:
        raise Refusal("settings.file-too-large", f"{path} has more than {limit_bytes} bytes")
    return data


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OverflowError, PermissionError):
        return pid > 0
    return pid > 0


def _no_network(what: str, flag: str, variable: str) -> Refusal:
    return Refusal(
        "settings.no-network",
        f"no {what} is known",
        hint=_HINT.format(flag=flag, variable=variable),
    )
