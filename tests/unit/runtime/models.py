"""Makes small ONNX models, manifests that fit them, and tensors from arrays."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from probatum.canon.graph.packing import decode_graph
from probatum.canon.graph.records import compute_canonical_digest
from probatum.protocol.hashing import sha256
from probatum.protocol.manifests import Canonical, DimRange, FileEntry, Manifest
from probatum.protocol.tensors import Tensor
from probatum.runtime.checking.cell import expand_confined
from probatum.runtime.checking.report import Question
from probatum.runtime.schema import read_schema


def make_model(nodes, inputs, outputs, weights=()):
    """Make an ONNX file; the engine is behind the newest ONNX, so versions are fixed."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(*each) for each in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    model.ir_version = 10
    onnx.checker.check_model(model)
    return model


def make_manifest(model, batch_dim=None, **changes):
    schema = read_schema(model, batch_dim)
    fields = {
        "format": "probatum-package/1",
        "name": "small",
        "version": "1",
        "task": "test",
        "licence": "Apache-2.0",
        "description": "",
        "model": "model.onnx",
        "files": (FileEntry(path="model.onnx", size=len(model), sha256=sha256(model).hex()),),
        "inputs": schema.inputs,
        "outputs": schema.outputs,
        "parents": (),
        "batch_dim": batch_dim,
    }
    return Manifest(**{**fields, **changes})


def find_meaning(model, ranges):
    """Expand a model; the encoded graph, and what its package states of it (`EXACT-1`)."""
    _, graph = expand_confined(Question(model=model, ranges=ranges))
    dims = tuple(DimRange(name=name, least=a, greatest=b) for name, (a, b) in ranges.items())
    digest = compute_canonical_digest(decode_graph(graph)).hex()
    return graph, Canonical(digest=digest, graph="canonical.bin", dims=dims)


def make_entries(files):
    return tuple(
        FileEntry(path=name, size=len(data), sha256=sha256(data).hex())
        for name, data in sorted(files.items())
    )


def tensor_of(name, array):
    return Tensor(
        name=name,
        dtype=str(array.dtype),
        shape=array.shape,
        data=np.ascontiguousarray(array).tobytes(),
    )


def array_of(tensor):
    return np.frombuffer(tensor.data, tensor.dtype).reshape(tensor.shape)
