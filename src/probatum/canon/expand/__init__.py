"""Makes the canonical graph of an ONNX file (`CANON-1`): expand, fold, lay out, number.

Loaded on demand only: needs onnx and numpy, which neither ledger nor judge may know. The file must
have been admitted before (`PUB-1`). Read `expansion`, then `builder`, then any page of `operators`.
"""
