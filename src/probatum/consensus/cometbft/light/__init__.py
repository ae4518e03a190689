"""Believing CometBFT's headers without running its engine: pure, from bytes to a verdict.

`hashing` is what is hashed and signed, `commits` whether a set of validators signed a header,
`states` what is believed and how that moves on, `seals` what it means for a header of ours.
"""
