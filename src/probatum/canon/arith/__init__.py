"""Exact numbers and their one rounding, from integers alone (`CANON-1`, `CANON-3`).

Read `formats`, then `rounding`, `sums`, and `functions`.
"""
