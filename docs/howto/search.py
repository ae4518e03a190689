"""Finds the sentence that means what somebody asks: ``python docs/howto/search.py PACKAGE``.

PACKAGE is the folder that `probatum demo package all-minilm-l6-v2` makes; only its tokeniser is
used here, the embedding is the network's. Gateway, ledger and trust file come from the environment.
"""

from __future__ import annotations

import os
import sys

import numpy as np
from tokenizers import Tokenizer

import probatum

tokenizer = Tokenizer.from_file(f"{sys.argv[1]}/tokenizer.json")
tokenizer.enable_truncation(256)
tokenizer.enable_padding()
sentences = ("The bakery opens at six.", "Interest rates stay where they are.", "Rain is expected.")

with probatum.Client(
    os.environ["PROBATUM_GATEWAY"],
    ledger=os.environ["PROBATUM_LEDGER"],
    trust=os.environ["PROBATUM_TRUST"],
) as client:

    def embed(*texts: str) -> np.ndarray:
        """Embed texts, with a receipt."""
        found = tokenizer.encode_batch(list(texts))
        inputs = {
            "input_ids": np.array([each.ids for each in found], np.int64),
            "attention_mask": np.array([each.attention_mask for each in found], np.int64),
        }
        answer = client.ask("all-minilm-l6-v2", inputs)
        print("receipt", answer.receipt_id)  # noqa: T201
        return answer.outputs["embedding"]

    known = embed(*sentences)
    alike = known @ embed("where can I buy bread?")[0]
    print(f"{alike.max():.2f}", sentences[alike.argmax()])  # noqa: T201
