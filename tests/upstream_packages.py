"""Packages of models that another program runs, as a publisher would make them."""

from __future__ import annotations

from probatum.hub.upstreams import (
    RELAY_TEMPLATE,
    UpstreamFacts,
    make_byte_tokenizer,
    make_relay_model,
)
from probatum.hub.upstreams import write_upstream_package as write
from probatum.protocol.manifests import UpstreamModel
from tests.unit.hub.importing.foreign_models import CONTEXT, TEMPLATE, TOKENS, make_tokenizer

FACTS = UpstreamFacts(
    name="tiny-upstream", version="1", licence="MIT", description="Random weights."
)
TINY = UpstreamModel(
    engine="llama.cpp",
    served_as="tiny",
    numeric="F",
    weights="ab" * 32,
    vocabulary=len(TOKENS),
    context=CONTEXT,
    stop_ids=(0,),
    rule="engine",
    top_k=256,
)
RELAY = make_relay_model("some/model-1", context=4096)


def write_upstream(folder, model=TINY, facts=FACTS):
    if model.engine == "relay":
        tokenizer = make_byte_tokenizer()
        return write(facts, model, folder, tokenizer=tokenizer, template=RELAY_TEMPLATE)
    tokenizer = make_tokenizer().to_str().encode()
    return write(facts, model, folder, tokenizer=tokenizer, template=TEMPLATE)
