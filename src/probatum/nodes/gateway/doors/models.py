"""The models that a gateway's doors speak of: names as clients write them, manifests, readiness.

Must not know any door's wire format.
"""

from __future__ import annotations

from typing import Protocol

import msgspec
from starlette.types import Scope

from probatum.client.ledger_view import LedgerView
from probatum.errors import Misuse, Refusal
from probatum.nodes.shell.drive import Driver
from probatum.nodes.shell.front import ask_party
from probatum.protocol.manifests import Manifest, decode_manifest
from probatum.protocol.messages import GetManifest, GotManifest
from probatum.protocol.parties import ModelName, ModelVersion
from probatum.protocol.primitives import Digest
from probatum.protocol.records import ModelRecord

__all__ = ["Catalogue", "GatewayView", "read_model"]


class GatewayView(Protocol):
    """What doors read of the gateway's machine."""

    @property
    def view(self) -> LedgerView:
        """The ledger as the gateway follows it."""
        ...

    @property
    def is_ready(self) -> bool:
        """Whether it takes requests."""
        ...

    def get_manifest(self, package: Digest) -> Manifest | None:
        """Get a package's manifest if it is known already."""
        ...


class Catalogue:
    """The published models, as the gateway's view of the ledger shows them."""

    def __init__(self, driver: Driver, gateway: GatewayView) -> None:
        """Make it over a running gateway."""
        self._driver = driver
        self._gateway = gateway

    def find(self, name: str, version: str | None) -> ModelRecord | None:
        """Find a model; without a version the one published last."""
        return self._gateway.view.get_model(name, version)

    def get(self, name: str, version: str | None) -> ModelRecord:
        """Find a model. Raises Refusal `gateway.unknown-model`, `gateway.not-ready`."""
        if self._gateway.view.header is None:
            raise Refusal("gateway.not-ready", "the ledger has not been heard yet", hint="retry")
        model = self.find(name, version)
        if model is None:
            raise Refusal(
                "gateway.unknown-model",
                "the ledger knows no such model",
                hint="list the models that are published",
            )
        return model

    def list(self) -> tuple[ModelRecord, ...]:
        """List all models by name and version."""
        return self._gateway.view.get_models()

    def is_ready(self, model: ModelRecord) -> bool:
        """Tell whether somebody offers a model and the gateway takes requests."""
        return self._gateway.is_ready and bool(self._gateway.view.get_offers(model.package))

    def list_sources(self, model: ModelRecord) -> tuple[str, ...]:
        """List where a model's files are served: at who offers it, those alive last first."""
        view = self._gateway.view
        found = (view.get_node(offer.operator) for offer in view.get_offers(model.package))
        nodes = [node for node in found if node is not None]
        nodes.sort(key=lambda node: (-node.heartbeat_at, node.account))
        return tuple(node.endpoint for node in nodes)

    async def get_manifest(self, scope: Scope, model: ModelRecord) -> Manifest:
        """Get a model's manifest; the gateway fetches it from who offers the model.

        Raises:
            PartyRefusal: `gateway.no-node`, `gateway.no-manifest`, `gateway.busy`.
            Refusal: `encoding.*`, `manifest.bad-form` for a package that is none.
        """
        known = self._gateway.get_manifest(model.package)
        if known is not None:
            return known
        got = await ask_party(self._driver, scope, GetManifest(package=model.package))
        if not isinstance(got, GotManifest):
            raise Misuse("gateway.not-a-manifest", "GetManifest was answered by something else")
        return decode_manifest(got.manifest)


def read_model(name: str, version: str | None) -> tuple[str, str | None]:
    """Read a model's name and version. Raises Refusal `gateway.unknown-model`."""
    try:
        known: str = msgspec.convert(name, ModelName)
        return known, None if version is None else msgspec.convert(version, ModelVersion)
    except msgspec.ValidationError:
        raise Refusal("gateway.unknown-model", "no model has such a name or version") from None
