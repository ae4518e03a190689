"""Sentences for all-MiniLM-L6-v2: their tokens, by the tokeniser in the package.

Must not know networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from tokenizers import Tokenizer

from probatum.hub.package import Package

__all__ = ["NAME", "TOKENS", "SentenceTokenizer"]

NAME: Final = "all-minilm-l6-v2"
TOKENS: Final = 256
"""What it was trained for; longer sentences are cut."""


class SentenceTokenizer:
    """Turns sentences into the model's inputs."""

    def __init__(self, package: Package) -> None:
        """Read the package's tokeniser, a listed file like every other.

        Raises:
            Refusal: `package.*` if it is not the file that the manifest names.
        """
        self._tokenizer = Tokenizer.from_str(package.read_file("tokenizer.json").decode())
        # As published it pads everything to 128 tokens and cuts there.
        self._tokenizer.enable_truncation(TOKENS)
        self._tokenizer.enable_padding()

    def encode(
        self, sentences: Sequence[str]
    ) -> dict[str, np.ndarray[tuple[int, int], np.dtype[np.int64]]]:
        """Encode sentences, padded to the longest, in the model's order of inputs."""
        found = self._tokenizer.encode_batch(list(sentences))
        return {
            "input_ids": np.array([each.ids for each in found], np.int64),
            "attention_mask": np.array([each.attention_mask for each in found], np.int64),
        }
