"""One machine of the demo's exact act: ``python -m probatum.ops.demo.exact_process MODEL HOW``.

Evaluates the model canonically on the windows that standard input brings (a ``.npy`` file), a
batch at a time, and writes the output's bytes. What differs between machines is said in `How`
and in the environment. Must not know what the answers are for.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from probatum.canon.evaluate.evaluating import Evaluator
from probatum.canon.expand.expansion import expand_model

__all__ = ["How", "main"]

_MOST: Final = 4096
_BYTES: Final = 1 << 24


class How(msgspec.Struct, frozen=True, kw_only=True):
    """How one machine goes about it.

    Attributes:
        dim: The batch's dim.
        output: Which output is wanted.
        batch: Requests that are evaluated together.
        threads: Worked on at a time.
        k_chunk: Terms that one matrix product sums.
    """

    dim: str
    output: str
    batch: int
    threads: int
    k_chunk: int


def main(arguments: list[str]) -> int:
    """Evaluate all windows, and write the output's bytes."""
    model, how = Path(arguments[0]).read_bytes(), msgspec.json.decode(arguments[1], type=How)
    windows = np.load(io.BytesIO(sys.stdin.buffer.read(_BYTES)), allow_pickle=False)
    expanded = expand_model(model, ranges={how.dim: (1, _MOST)})
    place = [record.name for record in expanded.graph.outputs].index(how.output)
    evaluator = Evaluator(
        expanded.graph, expanded.weights, threads=how.threads, k_chunk=how.k_chunk
    )
    for start in range(0, len(windows), how.batch):
        outputs = evaluator.evaluate([windows[start : start + how.batch]])
        sys.stdout.buffer.write(outputs[place].tobytes())
    evaluator.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
