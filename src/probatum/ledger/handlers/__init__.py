"""What each kind of transaction does: one page a kind, called by `probatum.ledger.apply`.

A handler takes the state, the block's context, the sender and the body; it writes to the state
or raises a Refusal, and then nothing that it wrote stays.
"""
