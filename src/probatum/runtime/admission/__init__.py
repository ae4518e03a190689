"""Which ONNX files are admitted (`PUB-1`): judged by their bytes, before any engine reads them.

One way: bytes → a tree of fields (`messages`, `reading`) → reasons to refuse (`tensors`, `graphs`,
`functions`, `values`, gathered by `judge`). Standard library alone, so that a process that has
loaded nothing else can do it. Must not know engines or processes. Read next: `judge`.
"""
