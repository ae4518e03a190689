"""Where a text is cut does not depend on how its tokens come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probatum.nodes.gateway.doors.wording import Wording
from probatum.runtime.text.chat import ChatTokenizer
from tests.unit.hub.importing.foreign_models import make_tokenizer

TOKENIZER = ChatTokenizer(make_tokenizer().to_str().encode(), None)


class Letters:
    """A spelling in which a token is a character."""

    def push(self, token):
        return chr(token)

    def finish(self):
        return ""


def word(text, *stops, runs=1):
    """Say a text in runs of so many characters; return the pieces and whether it was stopped."""
    wording = Wording(Letters(), stops)
    codes = [ord(letter) for letter in text]
    pieces = [wording.push(codes[at : at + runs]) for at in range(0, len(codes), runs)]
    pieces.append(wording.finish())
    return pieces, wording.is_stopped


def test_a_text_without_stops_is_told_at_once():
    assert word("abc") == (["a", "b", "c", ""], False)


def test_what_may_begin_a_stop_is_held_back():
    assert word("xENy", "END") == (["x", "", "", "ENy", ""], False)
    assert word("xEND!", "END") == (["x", "", "", "", "", ""], True)
    assert word("xEN", "END") == (["x", "", "", "EN"], False)
    assert word("aab!", "ab") == (["", "a", "", "", ""], True)


@pytest.mark.parametrize("runs", [1, 2, 3, 9])
def test_the_stop_that_is_whole_first_cuts(runs):
    assert "".join(word("abcd", "bcd", "c", runs=runs)[0]) == "ab"
    assert "".join(word("abcd", "abc", "c", runs=runs)[0]) == ""
    assert "".join(word("abcd", "d", "bcd", runs=runs)[0]) == "a"


@given(
    st.text("ab", max_size=30),
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
    st.integers(1, 31),
)
def test_runs_do_not_matter(text, stops, runs):
    singly, is_stopped = word(text, *stops)
    joined, also = word(text, *stops, runs=runs)
    assert ("".join(singly), is_stopped) == ("".join(joined), also)
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    assert is_stopped is bool(ends)
    if ends:
        assert any(text[: min(ends)] == "".join(singly) + stop for stop in stops)
    else:
        assert "".join(singly) == text


@given(st.text(max_size=20), st.integers(1, 9))
def test_characters_come_whole(text, runs):
    """The tokenizer's tokens are bytes: most characters lie across several."""
    ids = TOKENIZER.encode_text(text)
    wording = Wording(TOKENIZER.start_stream(), ())
    pieces = [wording.push(ids[at : at + runs]) for at in range(0, len(ids), runs)]
    assert "".join([*pieces, wording.finish()]) == TOKENIZER.decode(ids)
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in pieces)


def test_a_stop_may_lie_across_tokens_and_within_broken_characters():
    ids = TOKENIZER.encode_text("naïve hello")
    wording = Wording(TOKENIZER.start_stream(), ("ïve he",))
    assert "".join([wording.push((one,)) for one in ids]) == "na"
    assert wording.is_stopped
    assert wording.push((5,)) == wording.finish() == ""
    broken = TOKENIZER.encode_text("€")[:2]
    wording = Wording(TOKENIZER.start_stream(), ("!",))
    assert wording.push(broken) == ""
    assert set(wording.finish()) == {"\ufffd"}
