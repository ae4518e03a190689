"""The acts with other models: searching by meaning, and a decision that a receipt backs.

Each is left out where its model is not hosted; `story` says so. Must not know terminals.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.parse
from typing import Final

import msgspec
import numpy as np

from probatum.client.client import Answer
from probatum.errors import Fault, Refusal
from probatum.evidence.receipt import check_contents
from probatum.ops.demo import minilm, volatility
from probatum.ops.demo.offline import flip_bit
from probatum.ops.demo.stage import Stage

__all__ = ["HEDGE_PERCENT", "decide_by_forecast", "search_by_meaning"]

HEDGE_PERCENT: Final = 20.0
"""Above this forecast, in percent a year, the demo's investor hedges."""
SENTENCES: Final = (
    "The bakery on the corner opens at six in the morning.",
    "Rain and strong winds are expected along the coast tonight.",
    "The central bank left interest rates where they were.",
    "She plays the violin in a small orchestra.",
    "Take one tablet twice a day, after meals.",
    "The train to the airport leaves every twenty minutes.",
    "Our cat sleeps on the warm keyboard all afternoon.",
    "The goalkeeper saved a penalty in the last minute.",
    "Turn the printer off and on again before you call support.",
    "The museum shows paintings from the seventeenth century.",
    "Volcanic ash has closed three runways.",
    "Water the tomatoes early, before the sun is high.",
)
QUERIES: Final = (
    ("where can I buy fresh bread early?", 0),
    ("how often should I swallow the medicine?", 4),
    ("a pet that likes computers", 6),
)
"""What somebody asks, and which sentence means it; they share no word that matters."""
DAYS: Final = (
    ("10/5/2017", "hold"),
    ("2/2/2018", "hold"),
    ("2/8/2018", "hedge"),
    ("12/24/2018", "hedge"),
)
"""A calm autumn, a storm that no price had announced, that storm once begun, and another; the
model was trained on none of them."""
_TIMEOUT_S: Final = 30.0
_REPLY_BYTES: Final = 1 << 20


def search_by_meaning(stage: Stage) -> Answer:
    """Find the sentence that means what somebody asks; return the last answer."""
    teller = stage.teller
    tokenizer = minilm.SentenceTokenizer(stage.get_package(minilm.NAME))

    def embed(*sentences: str) -> Answer:
        return stage.client.ask(minilm.NAME, tokenizer.encode(sentences), timeout_s=_TIMEOUT_S)

    answer = embed(*SENTENCES)
    known = answer.outputs["embedding"]
    teller.line(f"{len(SENTENCES)} sentences embedded in one request, then a request a question:")
    rows = []
    for question, meant in QUERIES:
        began = time.monotonic()
        answer = embed(question)
        ms = (time.monotonic() - began) * 1000
        alike = known @ answer.outputs["embedding"][0]
        best = int(alike.argmax())
        rows.append((question, SENTENCES[best], f"{alike[best]:.2f}", f"{ms:.0f} ms"))
        teller.promise(best == meant, f"{question!r} finds its sentence")
    teller.table(("question", "nearest sentence", "alike", "time"), rows)
    embedding = answer.outputs["embedding"][0]
    teller.promise(abs(float(np.linalg.norm(embedding)) - 1) < 1e-4, "embeddings have length 1")
    plain, receipt = _ask_plainly(stage, QUERIES[-1][0])
    apart = float(np.abs(plain - embedding).max())
    teller.line("The last question once more, as an OpenAI client asks it (POST /v1/embeddings):")
    same = "bit for bit the same" if apart == 0 else "the same, but for the last bits,"
    teller.line(f"{same} {len(plain)} numbers; receipt {receipt}.")
    teller.promise(apart < 1e-5 and receipt, "the OpenAI door gives the same, with a receipt")
    teller.figure("search by meaning", f"{len(QUERIES)} of {len(QUERIES)} questions answered")
    return answer


def _ask_plainly(
    stage: Stage, question: str
) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], str]:
    """Ask for an embedding as clients of the OpenAI API do; return it and the receipt's name."""
    where = urllib.parse.urlsplit(stage.network.endpoints.gateway)
    link = http.client.HTTPConnection(where.hostname or "", where.port, timeout=_TIMEOUT_S)
    body = json.dumps({"model": minilm.NAME, "input": question})
    try:
        link.request("POST", "/v1/embeddings", body, {"Content-Type": "application/json"})
        reply = link.getresponse()
        text = reply.read(_REPLY_BYTES)
        found = json.loads(text)["data"][0]["embedding"]
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
        raise Fault(
            "demo.odd-door", f"/v1/embeddings did not answer as it should: {error!r}"
        ) from None
    finally:
        link.close()
    return np.array(found, np.float64), reply.getheader("Probatum-Receipt") or ""


def decide_by_forecast(stage: Stage) -> Answer:
    """Decide by a forecast, and show that the receipt backs the decision; return its answer."""
    teller = stage.teller
    days = volatility.read_days(stage.fetched / volatility.NAME)
    at = {day.date: number for number, day in enumerate(days)}
    teller.line(stage.get_package(volatility.NAME).manifest.description)
    teller.line(f"The rule: hedge if the forecast is above {HEDGE_PERCENT:.0f} % a year.")
    rows, answers = [], []
    for date, expected in DAYS:
        window = volatility.make_window(days, at[date])
        answer = stage.client.ask(volatility.NAME, {"prices": window}, timeout_s=_TIMEOUT_S)
        answers.append(answer)
        percent = float(answer.outputs["volatility"][0, 0])
        decision = "hedge" if percent > HEDGE_PERCENT else "hold"
        came = volatility.compute_volatility(days[at[date] + 1])
        rows.append((date, f"{percent:.1f} %", decision, f"{came:.1f} %", answer.request_id))
        teller.promise(decision == expected, f"on {date} the rule says {expected}")
    teller.table(("evening of", "forecast", "decision", "next day was", "receipt"), rows)
    _hold_to_receipt(stage, answers[-1])
    return answers[-1]


def _hold_to_receipt(stage: Stage, answer: Answer) -> None:
    """Show prices and forecast to somebody who has the receipt; then a forecast of one bit less."""
    verified = stage.client.settle(answer, timeout_s=_TIMEOUT_S)
    contents = stage.client.receipts.load_contents(answer.request_id)
    if contents is None:
        raise Fault("demo.no-contents", f"{answer.request_id} was not kept")
    check_contents(verified, contents.salt, contents.inputs, contents.outputs)
    first, *others = contents.outputs
    forged = (msgspec.structs.replace(first, data=flip_bit(first.data, 0)), *others)
    try:
        check_contents(verified, contents.salt, contents.inputs, forged)
        code = "nothing"
    except Refusal as refusal:
        code = refusal.code
    teller = stage.teller
    teller.line("The second forecast was far too low, and its receipt says that too.")
    teller.line("Who is later shown prices, forecast and receipt can tell that the decision was")
    teller.line(f"made on these and no others: with one bit of the forecast changed, {code}.")
    teller.promise(code == "receipt.wrong-outputs", "another forecast does not fit the receipt")
    teller.figure("a decision's forecast", "bound by its receipt; one bit changed is refused")
