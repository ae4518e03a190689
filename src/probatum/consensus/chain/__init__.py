"""The kept chain, the same under every engine: rows, records, tree, headers and blocks.

`sqlite_store` is the only page with a disk, `memory_store` its twin without. Must not know how
blocks come to be.
"""
