"""The embedded engine: one process, one key, one store.

`engine` is pure; `sqlite_store` is the only page with a disk, `memory_store` its twin without.
"""
