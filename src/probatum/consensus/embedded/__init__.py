"""The embedded engine: one process, one key, one store.

Pure; what it shares with other engines is in `probatum.consensus.chain`.
"""
