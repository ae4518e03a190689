"""An inference node that lies about canonical answers: one bit of the first output (EXACT-1)."""

import sys

import msgspec

from probatum.nodes.inference.run import main
from probatum.runtime.exact import ExactSession

honest = ExactSession.run_checked


def lie(self, tensors, dims, stop):
    first, *rest = honest(self, tensors, dims, stop)
    data = bytearray(first.data)
    data[4] ^= 1
    return (msgspec.structs.replace(first, data=bytes(data)), *rest)


if __name__ == "__main__":
    ExactSession.run_checked = lie
    sys.exit(main())
