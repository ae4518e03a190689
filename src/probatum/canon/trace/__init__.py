"""Commitments to every tensor that a graph computes, and the checking of openings (`CANON-5`).

Read `roots`, then `tree` and `openings`; `compression` is BLAKE3 in plain Python.
"""
