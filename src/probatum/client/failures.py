"""How a request fails for its asker: always with the id under which its records can be had.

Must not know who raises them.
"""

from __future__ import annotations

from probatum.errors import Fault, Refusal
from probatum.protocol.messages import Refused
from probatum.protocol.primitives import RequestId

__all__ = ["RequestFailed", "RequestRefused", "make_failure"]


class RequestRefused(Refusal):
    """A request that was refused, or an answer that did not pass its checks.

    Attributes:
        request_id: Its records, if there are any, are in the receipts folder under this id.
    """

    def __init__(
        self, code: str, message: str, *, hint: str = "", request_id: RequestId | None = None
    ) -> None:
        """Make it; see the class and `probatum.errors.ProbatumError`."""
        super().__init__(code, message, hint=hint)
        self.request_id = request_id


class RequestFailed(Fault):
    """A request that failed for reasons of the world; asking anew may succeed.

    Attributes:
        request_id: As in `RequestRefused`.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str = "",
        retryable: bool = True,
        request_id: RequestId | None = None,
    ) -> None:
        """Make it; see the class and `probatum.errors.Fault`."""
        super().__init__(code, message, hint=hint, retryable=retryable)
        self.request_id = request_id


def make_failure(reason: Refused | Refusal | Fault, request_id: RequestId) -> Refusal | Fault:
    """Make the error that an asker sees of whatever ended the request."""
    fault = isinstance(reason, Fault) or (isinstance(reason, Refused) and reason.retryable)
    if fault:
        return RequestFailed(
            reason.code,
            reason.message,
            hint=reason.hint,
            retryable=reason.retryable if isinstance(reason, Fault) else True,
            request_id=request_id,
        )
    return RequestRefused(reason.code, reason.message, hint=reason.hint, request_id=request_id)
