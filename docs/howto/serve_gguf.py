"""Serves a GGUF by llama.cpp's own server: ``python docs/howto/serve_gguf.py FILE CONTEXT``.

The package `xllamacpp` brings that server along. In its place you would start, with the same
meaning: ``llama-server -m FILE -c CONTEXT -np 1 --port 8080``. Prints where it listens.
"""

from __future__ import annotations

import sys
import threading

import xllamacpp

params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel = int(sys.argv[2]), 1
params.hostnames, params.port = ["127.0.0.1"], 0
params.ui = False
params.verbosity = -1
server = xllamacpp.Server(params)
sys.stdout.write(f"{server.listening_address}\n")
sys.stdout.flush()
threading.Event().wait()
