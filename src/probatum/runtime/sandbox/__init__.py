"""Examines a stranger's ONNX file in a process of its own that may do nothing else (`PUB-1`).

`cell` starts the process and hears its verdict, `child` is what runs in it, `confine` takes its
rights away. The rest of a node never parses a file that has no verdict. Must not know packages.
Read next: `cell`.
"""
