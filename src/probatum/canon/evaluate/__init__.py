"""A canonical graph computed fast with numpy, every element the judge's bit for bit (`CANON-2`).

Read `values` and `rounding`, then `ladder` and `dot`, then `plan` and `evaluating`. The bounds and
their proofs: docs/spec/evaluation.md. Loaded on demand: needs numpy, the ledger never imports it.
"""
