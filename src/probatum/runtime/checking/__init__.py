"""Says whether a model is admissible to the class `exact`, and what exactness costs it (`PUB-1`).

All of it runs in a process of its own. Must not know packages, roles or ledgers. Read next:
`report`, `cell`, `child`.
"""
