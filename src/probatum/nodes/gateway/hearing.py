"""A text on its way through a gateway: from a node to who asked, and back that it is enough.

`reading` says what a text is; this page says who is told, and when nobody wants more (`TEXT-1`).
Must not know other requests (`request_desk`).
"""

from __future__ import annotations

from typing import Final, Literal

from probatum.errors import Refusal
from probatum.machine.wishes import Reply, Send, SetTimer, Wish
from probatum.nodes.gateway.branches import Branch
from probatum.nodes.gateway.request import OpenRequest
from probatum.nodes.gateway.settings import GatewaySettings
from probatum.nodes.gateway.timers import QUIET, SILENCE
from probatum.protocol.messages import Produced

__all__ = [
    "CANCEL",
    "doubt",
    "end_if_done",
    "end_text",
    "hear",
    "join_text",
    "leave_text",
    "tell_cancelled",
]

CANCEL: Final = "cancel:"
"""Before request id, branch and a number: a call to a node."""


def hear(
    request: OpenRequest, branch: Branch, message: Produced, settings: GatewaySettings
) -> tuple[Wish, ...]:
    """Hear more of a text, and pass it on; who says something is not silent.

    Raises:
        Refusal: `gateway.wrong-answer`, and those of `Reading.hear`.
    """
    reading = request.reading
    if reading is None or not branch.acknowledged:
        raise Refusal("gateway.wrong-answer", "tokens that nobody waits for")
    news = reading.hear(branch, request.facts, request.salt, message)
    wishes: list[Wish] = []
    if branch.state == "accepted":
        wishes.append(SetTimer(f"{SILENCE}{branch.name}", settings.text_silence_ms))
    if news is not None:
        streams = [asker for asker in reading.streams if asker in request.askers]
        wishes += [Reply(asker, news, last=False) for asker in streams]
    if message.prefix:
        wishes += tell_cancelled(request, branch, settings)  # again: the first one may be lost
    return tuple(wishes)


def tell_cancelled(
    request: OpenRequest, branch: Branch, settings: GatewaySettings
) -> tuple[Wish, ...]:
    """Tell a node that nobody wants more of its text, if that is so."""
    message = request.reading.make_cancel(branch) if request.reading else None
    if message is None or branch.state == "ended":
        return ()
    request.cancels += 1
    call = f"{CANCEL}{branch.name}:{request.cancels}"
    return (Send(call, branch.node.endpoint, message, settings.accept_timeout_ms),)


def doubt(request: OpenRequest, branch: Branch) -> None:
    """Learn that a signed beginning of a text is wrong, says who was to go on with it.

    One node's word against another's. The text is one, so it is had from its beginning, also from
    who refused; whoever signed the other one has signed what anybody can compute.
    """
    if request.reading is not None and branch.record.prefix is not None:
        request.reading.is_doubted = True
        request.tried.discard(branch.node.account)


def join_text(request: OpenRequest, conversation: str) -> tuple[Wish, ...]:
    """Tell who comes later what others were told of a text, and the rest as it comes."""
    if request.reading is None:
        return ()
    request.reading.streams[conversation] = None
    told = request.reading.show_all()
    return () if told is None else (Reply(conversation, told, last=False),)


def leave_text(
    request: OpenRequest, conversation: str, settings: GatewaySettings
) -> tuple[Wish, ...]:
    """Let a conversation go; a text that nobody waits for is ended after a while."""
    if request.reading is None:
        return ()
    request.reading.streams.pop(conversation, None)
    if request.askers:
        return end_if_done(request, settings)
    return (SetTimer(f"{QUIET}{request.request_id}", settings.quiet_ms),)


def end_if_done(request: OpenRequest, settings: GatewaySettings) -> tuple[Wish, ...]:
    """End a text once all who wait for it have enough."""
    reading = request.reading
    if reading is None or not request.askers or not set(request.askers) <= reading.done:
        return ()
    return end_text(request, settings, "enough")


def end_text(
    request: OpenRequest, settings: GatewaySettings, reason: Literal["hung-up", "enough"]
) -> tuple[Wish, ...]:
    """Sign that nobody wants more than was heard, and tell the nodes that write."""
    reading = request.reading
    if reading is None or reading.cancelled is not None or request.outcome is not None:
        return ()
    reading.cancel(request.facts, request.digest.hex(), settings, reason)
    return tuple(
        wish for branch in request.branches for wish in tell_cancelled(request, branch, settings)
    )
