"""Asking a process on this machine whether it is well.

Must not know networks.
"""

from __future__ import annotations

import http.client
import urllib.parse

__all__ = ["is_good"]


def is_good(endpoint: str, path: str) -> bool:
    """Whether a GET is answered with 200; never by a proxy."""
    where = urllib.parse.urlsplit(endpoint)
    link = http.client.HTTPConnection(where.hostname or "", where.port, timeout=2)
    try:
        link.request("GET", path)
        return link.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        link.close()
