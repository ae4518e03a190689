"""Folds that add up or compare: Dot, Conv, reductions, windows (`CANON-9`).

Read `totals`, then `dot`.
"""
