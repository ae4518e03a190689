"""Functions of one element, by float64 + - * / alone: no library's exp enters a proof (`CANON-2`).

Each page: coefficients, the evaluation, and the error bound that docs/spec/evaluation.md proves.
Read `exponential` first; `probatum.canon.evaluate.maps` applies them.
"""
