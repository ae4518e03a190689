"""The canonical graph: node records, their shapes and their one digest (`NODE-1`).

Read `sizes`, then `records`, then `binding`.
"""
