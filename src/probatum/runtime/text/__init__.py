"""Text that can be checked: language models decoded exactly, token by token (`TEXT-1`, `CANON-7`).

Weights in, tokens out; every token is the one that the canonical graph of the whole text names.
Must not know roles, ledgers or requests' envelopes. Read next: `engine`, `decoder`.
"""
