"""What a model's true output is: every step computed exactly and rounded once (`CANON-1`).

`graph`: what is computed, as records that a ledger can judge by. `arith`: exact numbers and their
one rounding. `primitives`: what each step means, one element at a time. `trace`: commitments to
every tensor. These four need no array library: the ledger loads them. `expand` makes a canonical
graph from an ONNX file and `evaluate` computes it fast; both are loaded on demand only.
"""
