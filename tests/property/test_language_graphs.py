"""Graphs of language models of any sizes: admitted, small to judge, one digest (`TEXT-1`)."""

from hypothesis import given, settings
from hypothesis import strategies as st

from probatum.canon.expand.language.llama import build_llama_graph
from probatum.canon.expand.language.weights import list_llama_weights
from probatum.canon.graph.records import compute_canonical_digest
from probatum.canon.primitives.admitting import admit_graph
from probatum.canon.primitives.bounds import OPENING_BYTES
from tests.unit.canon.expand.language.small import make_text


@st.composite
def draw_sizes(draw):
    kv, vocabulary = draw(st.integers(1, 8)), draw(st.integers(2, 300_000))
    context = draw(st.integers(4, 1 << 13))
    stops = draw(st.sets(st.integers(0, vocabulary - 1), min_size=1, max_size=16))
    return {
        "layers": draw(st.integers(1, 3)),
        "width": draw(st.integers(1, 16_384)),
        "heads": kv * draw(st.integers(1, 16)),
        "kv_heads": kv,
        "head_width": 2 * draw(st.integers(1, 128)),
        "hidden": draw(st.integers(1, 65_536)),
        "vocabulary": vocabulary,
        "context": context,
        "norm_epsilon_bits": draw(st.integers(1, 0x7F7FFFFF)),
        "is_tied": draw(st.booleans()),
        "qkv_bias": draw(st.booleans()),
        "stop_ids": tuple(sorted(stops)),
        "top_k": draw(st.integers(1, min(256, vocabulary))),
    }


@given(sizes=draw_sizes(), place=st.integers(0))
@settings(max_examples=15, deadline=None)
def test_every_model_is_admitted(sizes, place):
    text = make_text(**sizes)
    most = text.context - 1
    roots = [bytes(32)] * len(list_llama_weights(text))

    def build():
        return build_llama_graph(text, tuple(roots), prompts=(1, most), answers=(1, most)).graph

    graph = build()
    assert admit_graph(graph).opening_bytes <= OPENING_BYTES
    digest = compute_canonical_digest(graph)
    assert compute_canonical_digest(build()) == digest
    roots[place % len(roots)] = b"\1" * 32
    assert compute_canonical_digest(build()) != digest
