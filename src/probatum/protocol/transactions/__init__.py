"""Ledger transactions: `kinds` holds the bodies, `signed` the signed whole."""
