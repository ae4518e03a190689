"""The full node: holds the ledger, orders transactions, answers with proofs."""
