"""What all of the OpenAI API's doors do alike: names of models, and how a no looks.

Must not know any request. Read next: `openai`, `openai_text`.
"""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp

from probatum.errors import ProbatumError
from probatum.nodes.gateway.doors.asking import Door
from probatum.nodes.gateway.doors.models import read_model
from probatum.protocol import openai

__all__ = ["make_door", "make_error", "read_name"]

_KINDS: Final = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}


def make_door(endpoint: ASGIApp) -> Door:
    """Give an endpoint this API's form of refusal."""
    return Door(endpoint, lambda error, status: openai.encode_body(make_error(error, status)))


def make_error(error: ProbatumError, status: int) -> openai.ErrorBody:
    """Say a no in this API's form; `status` is the HTTP status that it has, or would have."""
    text = error.message + (f"; {error.hint}" if error.hint else "")
    usual = "invalid_request_error" if status < 500 else "server_error"
    detail = openai.ErrorDetail(message=text, type=_KINDS.get(status, usual), code=error.code)
    return openai.ErrorBody(error=detail)


def read_name(text: str) -> tuple[str, str | None]:
    """Read ``name`` or ``name@version``. Raises Refusal `gateway.unknown-model`."""
    name, at, version = text.partition("@")
    return read_model(name, version if at else None)
