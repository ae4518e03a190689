"""The gateway's door: messages, other people's dialects, and bundles by request id.

Thin. Read next: `doors.oip`, `machine`, `probatum.nodes.shell.front`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from starlette.routing import Route
from starlette.types import ASGIApp, Scope

from probatum.errors import Misuse
from probatum.nodes.gateway.doors import oip, openai, openai_text
from probatum.nodes.gateway.doors.asking import DoorParts
from probatum.nodes.gateway.doors.models import Catalogue, GatewayView
from probatum.nodes.shell.drive import Driver
from probatum.nodes.shell.front import FrontDoor, MessageEndpoint, ask_party
from probatum.nodes.shell.gate import Gate
from probatum.nodes.shell.intake import Intake
from probatum.nodes.shell.pages import Page, Shown, make_health
from probatum.protocol import limits
from probatum.protocol.messages import (
    Ask,
    AskLogprobs,
    CancelText,
    GetBundle,
    GetManifest,
    GetTab,
    GotBundle,
)
from probatum.protocol.primitives import check_request_id

__all__ = ["DoorRules", "make_app"]

_KINDS: Final = (Ask, AskLogprobs, CancelText, GetBundle, GetManifest, GetTab)
_FRAME_BYTES: Final = 64 * limits.KIB
"""What a frame has beside the tensors of a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorRules:
    """What a gateway's door takes.

    Attributes:
        gate: Who may ask, and how much.
        request_bytes: Body of one request, at most `limits.REQUEST_BYTES`.
        held_bytes: Bodies of all requests that are answered, together.
    """

    gate: Gate = field(default_factory=Gate)
    request_bytes: int = limits.REQUEST_BYTES
    held_bytes: int = 512 * limits.MIB


def make_app(driver: Driver, gateway: GatewayView, rules: DoorRules | None = None) -> ASGIApp:
    """Make the door of a gateway."""
    rules = rules or DoorRules()
    gate, intake = rules.gate, Intake(held_bytes=rules.held_bytes)
    limit_bytes = rules.request_bytes
    messages = MessageEndpoint(
        driver, intake, _KINDS, limit_bytes=limit_bytes + _FRAME_BYTES, gate=gate
    )
    parts = DoorParts(
        driver=driver,
        models=Catalogue(driver, gateway),
        intake=intake,
        gate=gate,
        limit_bytes=limit_bytes,
    )

    async def show_bundle(scope: Scope) -> Shown:
        request_id = check_request_id(scope["path_params"]["request_id"])
        found = await ask_party(driver, scope, GetBundle(request_id=request_id))
        if not isinstance(found, GotBundle):
            raise Misuse("gateway.not-a-bundle", "GetBundle was answered by something else")
        status = HTTPStatus.OK if found.settled else HTTPStatus.ACCEPTED
        return Shown(body=found.bundle, status=status)

    return FrontDoor(
        exact={
            "/message": messages,
            "/ask": messages,
            "/healthz": make_health(lambda: gateway.is_ready),
            **oip.make_endpoints(gateway),
        },
        routes=(
            Route("/receipts/{request_id}", Page(show_bundle)),
            *oip.make_routes(parts),
            *openai_text.make_routes(parts),
            *openai.make_routes(parts),
        ),
    )
