"""llama.cpp's own server over the same model, in this process, so that one clock sees it.

Its weights are those that ours are imported from: widened to float32 by the `gguf` library, or as
they were quantised, which llama.cpp multiplies with activations rounded to eight bits.
"""

from __future__ import annotations

import http.client
import json
from pathlib import Path

import gguf
import numpy as np
import xllamacpp


def write_float32(source: Path, path: Path) -> Path:
    """Write a GGUF anew, all of its weights as float32."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(path, "llama")
    for field in reader.fields.values():
        # The writer sets what describes the file itself.
        if field.name.startswith("GGUF.") or field.name == gguf.Keys.General.ARCHITECTURE:
            continue
        kind, value = field.types[0], field.contents()
        if field.name == gguf.Keys.General.FILE_TYPE:
            value = int(gguf.LlamaFileType.ALL_F32)
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, value, kind, sub_type=inner)
    wide = [
        np.asarray(gguf.dequantize(one.data, one.tensor_type), np.float32) for one in reader.tensors
    ]
    for one, array in zip(reader.tensors, wide, strict=True):
        writer.add_tensor(one.name, array.reshape([int(size) for size in one.shape[::-1]]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


class LlamaPeer:
    """A server with one slot and one thread, which has read a prompt.

    Args:
        path: Of a GGUF.
        prompt: Tokens.
    """

    def __init__(self, path: Path, prompt: np.ndarray) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.n_parallel = 512, 1
        params.hostnames, params.port = ["127.0.0.1"], 0
        params.warmup = params.ui = False
        params.verbosity = -1
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        self._prompt = prompt.tolist()
        self._server = xllamacpp.Server(params)
        self._where = self._server.listening_address.removeprefix("http://")
        self.generate(1)

    def generate(self, count: int) -> None:
        """Generate greedily from the prompt on, of which it holds all but the last token."""
        body = {
            "prompt": self._prompt,
            "n_predict": count,
            "temperature": 0,
            "ignore_eos": True,
            "cache_prompt": True,
        }
        headers = {"Content-Type": "application/json"}
        # Anew each time: the server hangs up while others have their turn.
        connection = http.client.HTTPConnection(self._where, timeout=120)
        connection.request("POST", "/completion", json.dumps(body), headers)
        told = json.loads(connection.getresponse().read())
        connection.close()
        if told["tokens_predicted"] != count:
            raise RuntimeError(f"llama.cpp generated {told['tokens_predicted']} tokens of {count}")

    def close(self) -> None:
        """End the server."""
        del self._server
