"""Who computes: ONNX Runtime behind one door, batching, and a pool that nodes hand work to.

Tensors in, tensors out; a session exists only for bytes that were held to a package's digest.
Must not know roles, ledgers or where packages lie. Read next: `session`, `worker`.
"""
