"""Packages of models that other programs run (`TEXT-2`)."""

import msgspec
import pytest

from probatum.errors import Refusal
from probatum.hub.upstreams import make_byte_tokenizer
from probatum.runtime.tokens import TextTokenizer
from tests.upstream_packages import RELAY, TINY, write_upstream


def test_a_package_says_what_it_is(tmp_path):
    package = write_upstream(tmp_path / "tiny")
    assert package.manifest.upstream == msgspec.structs.replace(
        TINY, template="chat_template.jinja"
    )
    assert package.manifest.canonical is None
    about = package.read_file("about.txt").decode()
    assert "checked by nobody" in about
    assert "ab" * 32 in about
    again = write_upstream(tmp_path / "again")
    assert again.digest == package.digest
    relayed = write_upstream(tmp_path / "relay", RELAY)
    assert "closed service" in relayed.read_file("about.txt").decode()


def test_what_does_not_fit_is_refused_at_once(tmp_path):
    for wrong in ({"stop_ids": (999,)}, {"served_as": "two words"}, {"numeric": None}):
        with pytest.raises(Refusal) as caught:
            write_upstream(tmp_path / "x", msgspec.structs.replace(TINY, **wrong))
        assert caught.value.code == "package.bad-facts"
    write_upstream(tmp_path / "x")
    with pytest.raises(Refusal) as caught:
        write_upstream(tmp_path / "x")
    assert caught.value.code == "package.folder-taken"


@pytest.mark.parametrize("text", ["hello", "Grüß Gott, 世界 🎈", "a\x00\t\r\n  b", ""])
def test_a_relays_tokens_are_bytes(text):
    tokenizer = TextTokenizer(make_byte_tokenizer(), max_tokens=4096)
    (found,) = tokenizer.encode((text,))
    assert found.ids == tuple(text.encode())
