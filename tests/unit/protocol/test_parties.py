"""What a party may say of itself: endpoints that everybody else's resolver survives."""

from typing import get_args
from urllib.parse import urlsplit

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probatum.protocol.parties import Endpoint


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8000",
        "http://localhost",
        "https://gateway.example:65535",
        "http://[::1]:80",
        "http://node-1",
        "https://" + "a" * 63 + ".example",
    ],
)
def test_names_and_addresses_are_endpoints(text):
    assert msgspec.convert(text, Endpoint) == text


@pytest.mark.parametrize(
    "text",
    [
        "http://.",
        "http://a..b",
        "http://a.",
        "http://" + "a" * 64,
        "http://-a",
        "http://[.:]",
        "http://[",
        "http://a:",
        "http://a:0",
        "http://a:123456",
        "http://a/",
        "http://a\n",
        "http://a_b",
        "ftp://a",
        "http://" + "a." * 130 + "a",
    ],
)
def test_what_trips_resolvers_is_none(text):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, Endpoint)


@settings(max_examples=300, deadline=None)
@given(text=st.from_regex(get_args(Endpoint)[1].pattern))
def test_a_resolver_takes_every_endpoint(text):
    try:
        msgspec.convert(text, Endpoint)
        host = urlsplit(text).hostname
    except (ValueError, msgspec.ValidationError):
        # Too long; or brackets around no address, which a URL's parser refuses by this error.
        return
    assert host
    assert host.encode("idna")
