"""What each primitive means: its types, and one element of it, judged from integers (`CANON-3`).

Read `interface`, then `registry`, then any page of one family.
"""
