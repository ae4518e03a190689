"""How each ONNX operator becomes primitives: one function an operator, a page a family.

`table` lists them all with the versions of their definitions that are admitted.
"""
