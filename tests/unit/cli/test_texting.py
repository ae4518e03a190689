"""How a text is drawn and shown at the command line."""

from __future__ import annotations

import pytest

from probatum.cli.asking_text import check_words, show_piece
from probatum.cli.drawing import Drawing
from probatum.errors import Refusal
from probatum.protocol.openai_text import make_seed_nonce


def test_a_seed_makes_the_nonces_of_all_turns():
    drawing = Drawing(seed=-2)
    assert drawing.make_nonce(0) == b"\xfe" + b"\xff" * 7 + bytes(24)
    assert drawing.make_nonce(0) == make_seed_nonce(-2)
    assert len({drawing.make_nonce(turn) for turn in range(100)}) == 100
    assert Drawing().make_nonce(0) is None
    with pytest.raises(Refusal) as caught:
        Drawing(seed=1 << 63).make_nonce(0)
    assert caught.value.code == "text.bad-seed"


def test_no_model_controls_a_terminal(capsys, monkeypatch):
    hostile = "a\x1b[2J\x9b31m\u202eb\r\n\tü\U0001f600"
    show_piece(hostile)
    assert capsys.readouterr().out == hostile
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    show_piece(hostile)
    assert capsys.readouterr().out == "a\\x1b[2J\\x9b31m\\u202eb\\r\n\tü\U0001f600"


def test_what_is_no_text_is_refused():
    check_words("ü")
    with pytest.raises(Refusal) as caught:
        check_words("\udcff")
    assert caught.value.code == "text.not-utf8"
