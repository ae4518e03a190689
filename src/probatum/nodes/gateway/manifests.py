"""The manifests of the models that a gateway is asked for, and who waits for one.

A manifest is fetched from whoever offers the package, once it is offered or when somebody needs
it, and held to the package's digest, so it does not matter who sent it. With it the gateway says
itself what is wrong with a request (`CANON-8`): no node's word is needed for that. A sub-machine:
its owner passes on the events that `owns` claims. Must not know what is done once a manifest is
there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from probatum.client.ledger_view import LedgerView
from probatum.errors import Refusal
from probatum.machine.budget import Held, Recent
from probatum.machine.events import Event, Fired, Moment, Returned, Unreachable
from probatum.machine.wishes import Send, SetTimer, Wish
from probatum.nodes.gateway.settings import GatewaySettings
from probatum.protocol import records
from probatum.protocol.blocks import BlockView
from probatum.protocol.hexes import digest_from_hex
from probatum.protocol.manifests import Manifest, compute_package_digest, decode_manifest
from probatum.protocol.messages import Ask, GetManifest, GotManifest, Message
from probatum.protocol.primitives import Address, Digest, make_digest
from probatum.protocol.records import NodeRecord

__all__ = ["Known", "ManifestStep", "Manifests", "Waiter"]

_CALL: Final = "manifest:"
_AGAIN: Final = "manifest-again:"
_FETCHES: Final = 64
"""Packages fetched at one time; half of them ahead of any question."""
_AHEAD: Final = 256
"""Once so many are known, others are fetched when they are needed."""
_DIGEST_BYTES: Final = 32

Question: TypeAlias = Ask | GetManifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A package's manifest; `manifest` is None if the bytes are none, whatever the digest."""

    data: bytes
    manifest: Manifest | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiter:
    """Somebody who can be answered once a manifest is there.

    Attributes:
        deadline_ms: When it is too late.
    """

    conversation: str
    caller: str
    question: Question
    deadline_ms: int

    @property
    def size_bytes(self) -> int:
        """Bytes of inputs that are held for it."""
        if isinstance(self.question, Ask):
            return sum(len(tensor.data) for tensor in self.question.inputs)
        return 0


@dataclass(slots=True, kw_only=True)
class _Fetch:
    """One package on its way.

    Attributes:
        call: The question that is open; empty during a pause.
        tried: Operators that were asked in this round.
        is_ahead: Whether it goes on for one round although nobody waits.
    """

    call: str = ""
    is_ahead: bool = False
    tried: set[Address] = field(default_factory=set)
    waiting: dict[str, Waiter] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestStep:
    """What a step brought: wishes, who need not wait any more, and who waited in vain."""

    wishes: tuple[Wish, ...] = ()
    served: tuple[Waiter, ...] = ()
    refused: tuple[tuple[Waiter, Refusal], ...] = ()


class Manifests:
    """Manifests by package, fetched when they are needed."""

    def __init__(self, settings: GatewaySettings, view: LedgerView) -> None:
        """Make it; nothing was fetched yet."""
        self._settings = settings
        self._view = view
        self._known: Recent[Digest, Known] = Recent(
            limit=settings.manifest_bytes, weigh=lambda known: len(known.data)
        )
        self._fetches: Held[Digest, _Fetch] = Held(limit=_FETCHES, code="gateway.busy")
        self._waiting: dict[str, Digest] = {}
        self._held_bytes = 0
        self._calls = 0

    def get(self, package: Digest) -> Known | None:
        """Look a package up."""
        return self._known.get(package)

    def look_ahead(self, blocks: tuple[BlockView, ...]) -> tuple[Wish, ...]:
        """Begin to fetch what is newly offered, as far as there is room; nobody waits for it."""
        offered = {
            make_digest(change.key[len(records.OFFER) :][:_DIGEST_BYTES])
            for block in blocks
            for change in block.changes
            if change.value is not None and change.key.startswith(records.OFFER)
        }
        wishes: list[Wish] = []
        for package in sorted(offered):
            room = len(self._fetches) < _FETCHES // 2 and len(self._known) < _AHEAD
            known = package in self._fetches or self._known.get(package) is not None
            if room and not known and self._list_nodes(package):
                fetch = _Fetch(is_ahead=True)
                self._fetches.add(package, fetch)
                wishes += self._ask(package, fetch)
        return tuple(wishes)

    def wait(self, package: Digest, waiter: Waiter) -> tuple[Wish, ...]:
        """Let somebody wait for a package that is not known yet.

        Raises:
            Refusal: `gateway.no-node` if nobody offers it, `gateway.busy`.
        """
        size = waiter.size_bytes
        full = len(self._waiting) >= self._settings.open_requests
        if full or self._held_bytes + size > self._settings.open_bytes:
            raise Refusal("gateway.busy", "enough requests wait for a model's manifest")
        wishes: tuple[Wish, ...] = ()
        fetch = self._fetches.get(package)
        if fetch is None:
            if not self._list_nodes(package):
                raise _nobody()
            fetch = _Fetch()
            self._fetches.add(package, fetch)
            wishes = self._ask(package, fetch)
        fetch.waiting[waiter.conversation] = waiter
        self._waiting[waiter.conversation] = package
        self._held_bytes += size
        return wishes

    def forget(self, conversation: str) -> None:
        """Learn that somebody went away."""
        package = self._waiting.get(conversation)
        fetch = self._fetches.get(package) if package is not None else None
        if fetch is not None:
            self._take_out(fetch, conversation)

    def close(self) -> tuple[Waiter, ...]:
        """Let nobody wait any more; return who did."""
        waiters: list[Waiter] = []
        for package, fetch in self._fetches.items():
            waiters += fetch.waiting.values()
            for conversation in tuple(fetch.waiting):
                self._take_out(fetch, conversation)
            self._fetches.remove(package)
        return tuple(waiters)

    def owns(self, event: Event) -> bool:
        """Tell whether an event is for this sub-machine."""
        match event:
            case Returned(call=call) | Unreachable(call=call):
                return call.startswith(_CALL)
            case Fired(timer=timer):
                return timer.startswith(_AGAIN)
            case _:
                return False

    def step(self, event: Event, moment: Moment) -> ManifestStep:
        """Take an event that `owns` claimed."""
        match event:
            case Fired(timer=timer):
                package = digest_from_hex(timer.removeprefix(_AGAIN))
                fetch = self._fetches.get(package)
                if fetch is None or fetch.call:
                    return ManifestStep()
                return self._go_on(package, fetch, moment)
            case Returned(call=call, message=message):
                return self._take(call, message, moment)
            case Unreachable(call=call):
                return self._take(call, None, moment)
            case _:
                return ManifestStep()

    def _take(self, call: str, message: Message | None, moment: Moment) -> ManifestStep:
        package = digest_from_hex(call.removeprefix(_CALL).partition(":")[0])
        fetch = self._fetches.get(package)
        if fetch is None or fetch.call != call:
            return ManifestStep()
        fetch.call = ""
        data = message.manifest if isinstance(message, GotManifest) else b""
        if compute_package_digest(data) != package:
            return self._go_on(package, fetch, moment)
        try:
            manifest = decode_manifest(data)
        except Refusal:
            manifest = None  # signed for by its digest, and still none: no node can help that
        self._known.put(package, Known(data=data, manifest=manifest))
        self._fetches.remove(package)
        waiters = tuple(fetch.waiting.values())
        for waiter in waiters:
            self._take_out(fetch, waiter.conversation)
        return ManifestStep(served=waiters)

    def _go_on(self, package: Digest, fetch: _Fetch, moment: Moment) -> ManifestStep:
        """Go on as long as somebody waits and somebody can be asked."""
        late = [w for w in fetch.waiting.values() if w.deadline_ms <= moment.now_ms]
        refused = [(waiter, _too_late()) for waiter in late]
        nodes = self._list_nodes(package)
        if not nodes:
            refused += [(w, _nobody()) for w in fetch.waiting.values() if w not in late]
        for waiter, _ in refused:
            self._take_out(fetch, waiter.conversation)
        untried = any(node.account not in fetch.tried for node in nodes)
        if not fetch.waiting and not (fetch.is_ahead and untried):
            self._fetches.remove(package)
            return ManifestStep(refused=tuple(refused))
        return ManifestStep(wishes=self._ask(package, fetch), refused=tuple(refused))

    def _ask(self, package: Digest, fetch: _Fetch) -> tuple[Wish, ...]:
        """Ask the next node, or all of them again after a pause."""
        nodes = self._list_nodes(package)
        node = next((node for node in nodes if node.account not in fetch.tried), None)
        if node is None:
            fetch.tried.clear()
            fetch.is_ahead = False
            return (SetTimer(f"{_AGAIN}{package.hex()}", self._settings.retry_pause_ms),)
        self._calls += 1
        fetch.call = f"{_CALL}{package.hex()}:{self._calls}"
        fetch.tried.add(node.account)
        ask = GetManifest(package=package)
        return (Send(fetch.call, node.endpoint, ask, self._settings.accept_timeout_ms),)

    def _list_nodes(self, package: Digest) -> tuple[NodeRecord, ...]:
        """List who offers a package, those first that were alive last."""
        offers = self._view.get_offers(package)
        found = (self._view.get_node(offer.operator) for offer in offers)
        nodes = [node for node in found if node is not None]
        return tuple(sorted(nodes, key=lambda node: (-node.heartbeat_at, node.account)))

    def _take_out(self, fetch: _Fetch, conversation: str) -> None:
        waiter = fetch.waiting.pop(conversation, None)
        if waiter is not None:
            self._held_bytes -= waiter.size_bytes
            self._waiting.pop(conversation, None)


def _nobody() -> Refusal:
    return Refusal(
        "gateway.no-node",
        "no node that is alive offers this model",
        hint="try again later, or start a node that offers it",
    )


def _too_late() -> Refusal:
    return Refusal(
        "gateway.no-manifest",
        "no node that offers this model sent its manifest",
        hint="try again later",
    )
