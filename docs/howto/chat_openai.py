"""Asks a language model twice under one seed, then hears it as it writes (docs/howto/chat.md)."""

from __future__ import annotations

import sys
from typing import Any

from openai import OpenAI

client = OpenAI(base_url=sys.argv[1], api_key="none")
wishes: dict[str, Any] = {
    "model": "smollm2",
    "messages": [{"role": "user", "content": "Say hello to Ada."}],
    "seed": 7,
    "max_tokens": 20,
}

first = client.chat.completions.create(**wishes)
second = client.chat.completions.create(**wishes)
same = first.choices[0].message.content == second.choices[0].message.content
sys.stdout.write(f"twice the same: {same}\nreceipt: {first.probatum[0]['receipt']}\n")

for chunk in client.chat.completions.create(stream=True, **wishes):
    sys.stdout.write(chunk.choices[0].delta.content or "")
    sys.stdout.flush()
sys.stdout.write("\n")
