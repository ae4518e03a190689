"""Packages of language models out of other programs' files: GGUF, Hugging Face folders.

`sources` says what such a file gives, `gguf_file` and `hf_folder` read the two kinds, `writing`
makes a package of one: float32 weights in one safetensors file, the canonical graph that they and
the sizes make (`TEXT-1`), tokenizer and chat template. Streams: the largest tensor's rows are
never in memory together.
"""
