"""Asks a language model by LangChain (docs/howto/chat.md)."""

from __future__ import annotations

import os
import sys

os.environ["LANGSMITH_TRACING"] = "false"  # or it tells a service of its makers what was asked

from langchain_openai import ChatOpenAI

model = ChatOpenAI(
    model="smollm2", base_url=sys.argv[1], api_key="none", temperature=0, max_tokens=20
)
for piece in model.stream("What is the capital of France?"):
    sys.stdout.write(str(piece.content))
    sys.stdout.flush()
sys.stdout.write("\n")
