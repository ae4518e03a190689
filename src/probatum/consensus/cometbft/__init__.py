"""The ledger under CometBFT v0.38: several machines decide the order, ours applies it (ABCI 2.0).

`messages` are the values that engine and application exchange, `wire` and `schema` their bytes,
`application` what an application answers, `server` the socket that the engine connects to. Import
the pages themselves; this one stays empty, so that what is pure can be had without the socket.
"""
