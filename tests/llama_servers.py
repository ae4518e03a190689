"""llama.cpp's own server, in this process, over a tiny model with random weights."""

from __future__ import annotations

from contextlib import contextmanager

import xllamacpp

from tests.unit.hub.importing.foreign_models import make_weights, write_gguf

CONTEXT = 64


def write_tiny(path, seed=0):
    """Write a GGUF of two layers, 261 tokens and a context of 64."""
    return write_gguf(path, make_weights(seed))


@contextmanager
def serve(path, context=CONTEXT, slots=2):
    """Serve a GGUF on a local port; give its address."""
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel = context * slots, slots
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.warmup = params.ui = False
    params.verbosity = -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    try:
        yield server.listening_address
    finally:
        del server
