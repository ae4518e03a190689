"""A text's logprobs as a person and a program read them."""

import msgspec
import pytest

from probatum.cli.app import run
from probatum.cli.logprobs import list_places, say_places
from probatum.protocol.logprobs import TokenLogprobs
from probatum.protocol.texts import Text, make_answer
from tests.text_packages import write_text_package
from tests.unit.hub.importing.foreign_models import make_tokenizer
from tests.unit.runtime.text.llamas import TINY

OUTPUTS = make_answer(Text(ids=(3, 2), ended=True))
PLACES = (
    TokenLogprobs(chosen=-1.5, top=((2, -0.25), (3, -1.5))),
    TokenLogprobs(chosen=-0.5, top=((2, -0.5),)),
)


@pytest.fixture
def package(tmp_path):
    return write_text_package(tmp_path / "tiny", TINY)


def test_places_without_a_tokenizer_are_numbers(package):
    assert say_places(list_places(package, OUTPUTS, PLACES)) == (
        "    0  3 -1.5000  |  2 -0.2500  3 -1.5000",
        "    1  2 -0.5000  |  2 -0.5000",
    )
    assert list_places(package, OUTPUTS, ()) == ()


def test_places_with_a_tokenizer_are_spelled_and_move_no_cursor(package):
    class WithWords:
        manifest = msgspec.structs.replace(package.manifest, tokenizer="tokenizer.json")

        @staticmethod
        def read_file(_):
            return make_tokenizer().to_str().encode()

    places = list_places(WithWords, OUTPUTS, PLACES)
    assert [one.token for one in places] == [3, 2]
    assert places[0].text is not None
    assert all(line.isprintable() for line in say_places(places))
    assert places[1].text == "!"


@pytest.mark.parametrize("count", ["-1", "21", "many"])
def test_another_number_is_refused(count, capsys):
    assert run(["receipt", "recheck", "last", "--logprobs", count]) != 0
    assert "logprobs" in capsys.readouterr().err
