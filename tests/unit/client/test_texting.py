"""What a client hears of a text, and how it holds that to the answer (`TEXT-1`)."""

import numpy as np
import pytest

from probatum.client.answers import Answer
from probatum.client.checking import Asked
from probatum.client.texting import Listener
from probatum.errors import Refusal
from probatum.protocol.manifests import encode_manifest
from probatum.protocol.messages import Produced
from probatum.protocol.prefixes import Prefix, compute_prefix_root, sign_prefix
from probatum.protocol.primitives import make_request_id, make_salt
from probatum.protocol.texts import pack_ids
from probatum.storm.text_model import MANIFEST
from tests.unit.nodes.giver import party
from tests.unit.nodes.network import operating

SALT = make_salt(b"s" * 32)
ID = make_request_id(b"r" * 16)
ASKED = Asked(message=None, request_id=ID, salt=SALT, nonce=None)


def produced(start, *ids, prefix=b""):
    return Produced(start=start, ids=pack_ids(ids), prefix=prefix)


def make_listener(hear=None):
    stops = []
    return Listener(ASKED, 40, hear, lambda: stops.append(True)), stops


def sign(ids, digest="0" * 64, salt=SALT):
    prefix = Prefix(
        request_id=ID,
        request_digest=digest,
        node=party("a", "inference"),
        custody="1" * 64,
        count=len(ids),
        root=compute_prefix_root(salt, ids),
    )
    return sign_prefix(prefix, operating("a"))


def refuse(act):
    with pytest.raises(Refusal) as caught:
        act()
    return caught.value.code


def test_new_tokens_are_told_once():
    heard = []
    listener, _ = make_listener(heard.append)
    listener.take(produced(0, 5, 6))
    listener.take(produced(2, 7))
    listener.take(produced(0, 5, 6, 7, 8))  # the line was cut, and the gateway tells all again
    listener.take(produced(1, 6))
    assert heard == [(5, 6), (7,), (8,)]


@pytest.mark.parametrize("message", [produced(1, 5), produced(0, *range(1, 42))])
def test_tokens_have_a_place(message):
    listener, _ = make_listener()
    assert refuse(lambda: listener.take(message)) == "client.altered-text"


def test_tokens_are_not_taken_back():
    listener, _ = make_listener()
    listener.take(produced(0, 5, 6))
    assert refuse(lambda: listener.take(produced(1, 7, 8))) == "client.altered-text"
    assert refuse(lambda: listener.take(Produced(start=0, ids=b"abc"))) == "text.bad-ids"


def test_enough_is_said_once():
    listener, stops = make_listener(lambda _: True)
    listener.take(produced(0, 5))
    listener.take(produced(1, 6))
    assert stops == [True]


def test_a_signed_prefix_is_of_what_was_told():
    listener, _ = make_listener()
    ids = tuple(range(1, 17))
    listener.take(produced(0, *ids, prefix=sign(ids)))
    wrong = sign((9, *ids[1:]))
    assert refuse(lambda: listener.take(produced(16, prefix=wrong))) == "text.other-prefix"
    salted = sign(ids, salt=make_salt(b"t" * 32))
    assert refuse(lambda: listener.take(produced(16, prefix=salted))) == "text.other-prefix"


def finish(listener, ids, *, ended=True):
    answer = Answer(
        outputs={"answer": np.array(ids), "ended": np.array([ended])},
        request_id=ID,
        receipt=None,
        checks=(),
        bundle=b"",
        salt=SALT,
    )
    return listener.finish(answer, encode_manifest(MANIFEST))


def test_an_answer_that_begins_otherwise_is_refused():
    listener, _ = make_listener()
    listener.take(produced(0, 5, 6))
    assert refuse(lambda: finish(listener, (5, 7, 0))) == "client.altered-text"
