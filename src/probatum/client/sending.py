"""Sending a request until its last reply is there, again if the line is cut.

The same id under the same salt gets the same answer, so that repeating is safe. Must not know what
is asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from probatum.client.transport import HttpTransport
from probatum.errors import Fault
from probatum.protocol.messages import Ask, Message, Produced

__all__ = ["send"]

_GRACE_S: Final = 2.0
"""Longer than the gateway takes to say that it is out of time."""
_PAUSE_S: Final = 0.2


async def send(
    transport: HttpTransport,
    gateway: str,
    message: Ask,
    timeout_s: float,
    hear: Callable[[Produced], None] | None = None,
) -> Message:
    """Send a request and return its last reply.

    Args:
        transport: The client's.
        gateway: Whom to ask.
        message: The request, with an id and a salt.
        timeout_s: For all attempts.
        hear: Is given tokens of a text as they come; what it raises ends the conversation.

    Raises:
        Fault, Refusal: as `HttpTransport.ask`.
    """
    deadline = time.monotonic() + timeout_s
    cut = False
    while True:
        left = max(0.1, deadline - time.monotonic())
        try:
            return await _converse(transport, gateway, message, left + _GRACE_S, hear)
        except Fault as fault:
            cut = cut or fault.code == "transport.cut"
            again = cut and fault.code in {"transport.cut", "transport.unreachable"}
            if not again or time.monotonic() + _PAUSE_S > deadline:
                raise
        await asyncio.sleep(_PAUSE_S)


async def _converse(
    transport: HttpTransport,
    gateway: str,
    message: Ask,
    timeout_s: float,
    hear: Callable[[Produced], None] | None,
) -> Message:
    last: Message | None = None
    async for reply in transport.converse(gateway, message, timeout_s):
        if isinstance(reply, Produced):
            if hear is not None:
                hear(reply)
        else:
            last = reply
    if last is None:
        raise Fault("transport.cut", f"{gateway} said nothing")
    return last
