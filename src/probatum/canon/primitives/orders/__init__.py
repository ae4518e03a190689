"""Folds that compare: where the greatest is, and which come first (`CANON-9`)."""
