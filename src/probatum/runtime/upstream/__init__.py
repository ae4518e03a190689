"""Language models that other programs run: their engines' HTTP interfaces, behind one contract.

Read next: `contract`, then `engine`, then any of `llama_cpp`, `vllm`, `relay`.
"""
