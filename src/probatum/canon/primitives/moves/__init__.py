"""Moves: primitives that copy bits as they are (`CANON-1`)."""
