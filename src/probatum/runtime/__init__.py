"""Who computes: ONNX Runtime behind one door, batching, and a pool that nodes hand work to.

Tensors in, tensors out; a session exists only for bytes that were held to a package's digest.
Must not know roles, ledgers or where packages lie. Read next: `session`, `worker`.
"""

from __future__ import annotations

import os

# The engine's official builds report to their maker over the network, from the moment they are
# imported, unless this is set before that. Nobody who runs a node has agreed to it, so it stands
# in the one place that is imported before any page of this room.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
