"""In what order transactions happen: engines behind one interface (`engine`).

`embedded` is one process that signs headers itself. Must not know models or money: what a
transaction does is `probatum.ledger`'s. Import the pages themselves; this one stays empty.
"""
