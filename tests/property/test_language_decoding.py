"""Decoders and the whole graph: the same bits for any sizes, biases included (`CANON-7`)."""

import tempfile
from pathlib import Path

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from probatum.runtime.text.cache import KeyValueCache
from probatum.runtime.text.decoder import Decoder, Reading
from probatum.runtime.text.kernels import make_kernel
from probatum.runtime.text.pure import PureKernel
from tests.unit.runtime.text.llamas import TINY
from tests.unit.runtime.text.test_decoder import Model


@st.composite
def draw_texts(draw):
    kv = draw(st.integers(1, 3))
    return msgspec.structs.replace(
        TINY,
        layers=draw(st.integers(1, 2)),
        width=draw(st.integers(1, 40)),
        heads=kv * draw(st.integers(1, 3)),
        kv_heads=kv,
        head_width=2 * draw(st.integers(1, 9)),
        hidden=draw(st.integers(1, 50)),
        is_tied=draw(st.booleans()),
        qkv_bias=draw(st.booleans()),
    )


@given(text=draw_texts(), scale=st.sampled_from([0.01, 1.0, 30.0]), data=st.data())
@settings(max_examples=20, deadline=None)
def test_any_decoder_has_the_bits_of_the_graph(text, scale, data):
    tokens = st.integers(0, text.vocabulary - 1)
    prompt = tuple(data.draw(st.lists(tokens, min_size=1, max_size=12)))
    answer = tuple(data.draw(st.lists(tokens, min_size=1, max_size=8)))
    with tempfile.TemporaryDirectory() as folder:
        model = Model(Path(folder), text, scale)
        _, _, wanted = model.evaluate(prompt, answer)
        given_tokens = (*prompt, *answer[:-1])
        for kernel in (PureKernel(), make_kernel()):
            decoder = Decoder(model.weights, kernel)
            cache = KeyValueCache(text, len(given_tokens))
            found = []
            while cache.length < len(given_tokens):
                begin = cache.length
                size = data.draw(st.integers(1, len(given_tokens) - begin))
                some = given_tokens[begin : begin + size]
                (logits,) = decoder.read([Reading(cache=cache, tokens=some, wanted=size)])
                found.append(logits)
            kernel.close()
            if any(logits is None for logits in found):
                assert not np.isfinite(wanted).all() or scale > 1
                continue
            assert np.concatenate(found)[len(prompt) - 1 :].tobytes() == wanted.tobytes()
