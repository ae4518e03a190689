"""Whether requests may be joined: which primitives keep rows apart, and the proof of a graph."""
