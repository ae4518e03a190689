"""Why an answer may be believed: receipts, custody, blame, routing, each a pure function.

Records and proofs come in as bytes, what they show goes out as values; every check cites its
clause, and what was not checked is said in words. Must not know clocks, disks or the network.
Read next: `receipt`, which goes through a whole bundle step by step.
"""
