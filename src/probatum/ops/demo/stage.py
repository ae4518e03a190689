"""What every act of the demo stands on. Must not know acts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from probatum.client.client import Client
from probatum.errors import Misuse
from probatum.hub.package import Package
from probatum.ops.demo.telling import Teller
from probatum.ops.network import Network

__all__ = ["Stage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What every act stands on.

    Attributes:
        work: An empty folder for files that are made.
        here: Where a README and a licence may lie.
        fetched: Where the fetched models lie, a folder each.
    """

    teller: Teller
    network: Network
    client: Client
    work: Path
    here: Path
    fetched: Path

    def has_model(self, name: str) -> bool:
        """Whether the network hosts a model."""
        return any(package.manifest.name == name for package in self.network.packages)

    def get_package(self, name: str) -> Package:
        """Get the package of a model that the network hosts."""
        for package in self.network.packages:
            if package.manifest.name == name:
                return package
        raise Misuse("demo.no-such-model", f"the network does not host {name}")

    def name_operator(self, account: str) -> str:
        """Find the process that an operator's account belongs to."""
        for name in self.network.names[1:]:
            if self.network.get_operator(name) == account:
                return name
        return account
