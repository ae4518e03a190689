"""The inference node: runs models, signs receipts, keeps an append-only log of them."""
