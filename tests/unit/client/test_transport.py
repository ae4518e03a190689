"""Addresses that come from the ledger, and what a stranger's door says, end in errors of ours."""

import asyncio

import pytest

from probatum.client.transport import HttpTransport, _Problem
from probatum.errors import Fault, Refusal
from probatum.protocol.messages import GetStatus


@pytest.mark.parametrize(
    "endpoint", ["http://a..b:1", "http://.", "http://" + "a" * 64 + ".b", "http://[::1", "x:"]
)
def test_an_odd_address_is_an_error_of_ours(endpoint):
    async def ask():
        transport = HttpTransport()
        try:
            await transport.ask(endpoint, GetStatus(), 1.0)
        finally:
            await transport.close()

    with pytest.raises((Refusal, Fault)) as caught:
        asyncio.run(ask())
    assert caught.value.code.startswith("transport.")


@pytest.mark.parametrize("code", ["\x1b[31mred", "A.b", "a b", "x" * 200])
def test_only_a_code_is_taken_as_one(code):
    import msgspec

    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode({"code": code}), type=_Problem)
