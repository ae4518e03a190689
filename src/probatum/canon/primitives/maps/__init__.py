"""Maps: each element is a function of one element of each operand (`CANON-1`).

Read `elementwise`, then any page of functions.
"""
