"""Who plays beside the real machines: customers who keep every word, and a node that cheats."""
