"""What is said: values, canonical encoding, keys, envelopes, Merkle logs, receipts, custody.

Every page here is a pure function of its arguments: no clock, no disk, no socket, no chance.
Import the pages themselves (``from probatum.protocol import receipts``); this one stays empty.
"""
