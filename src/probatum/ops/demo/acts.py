"""The acts of the demo, each a function that shows something and checks that it held.

Everything goes the way that anybody's request goes: the SDK asks the gateway's door, the verifier
is the command `probatum receipt verify`. Must not know terminals. Read next: `model_acts`, `story`.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from probatum.client.arrays import to_tensor
from probatum.client.client import Answer
from probatum.client.proofs import check_now
from probatum.client.transport import HttpTransport
from probatum.errors import Fault
from probatum.evidence.blame import Blame, assign_blame
from probatum.ops.demo.files import find_files
from probatum.ops.demo.killing import kill_the_holder, measure_journals
from probatum.ops.demo.magika import Guess, read_features, read_guesses
from probatum.ops.demo.offline import can_cut_off, flip_bit, verify
from probatum.ops.demo.stage import Stage
from probatum.ops.network import Network
from probatum.ops.tables import shorten
from probatum.protocol.bundles import decode_bundle
from probatum.protocol.messages import GetHeader, GotHeader
from probatum.protocol.trust import decode_trust

__all__ = [
    "ask_about_files",
    "find_blame",
    "lose_a_node",
    "show_network",
    "verify_offline",
]

MODEL: Final = "magika"
BATCH_ROWS: Final = 96
"""About a second of work: long enough to die in."""
_ATTEMPTS: Final = 3
_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.1


def show_network(stage: Stage) -> None:
    """Show who is there, and whose model they serve."""
    network, teller = stage.network, stage.teller
    endpoints = network.endpoints
    rows = list(network.list_ledger())
    parties = (*network.node_names, "gateway")
    for name, endpoint in zip(parties, (*endpoints.nodes, endpoints.gateway), strict=True):
        operator = shorten(network.get_operator(name))
        rows.append((name, operator, endpoint, str(network.get_pid(name))))
    teller.table(("party", "operator", "endpoint", "process"), rows)
    operators = {network.get_operator(name) for name in parties}
    teller.promise(len(operators) == len(parties), "every party has an operator of its own")
    for name in network.names:
        teller.promise(network.is_running(name), f"{name} runs as a process of its own")


def ask_about_files(stage: Stage) -> tuple[Answer, ...]:
    """Ask the model about real files, one by one, and wait until every receipt is settled."""
    teller = stage.teller
    rows, answers, times_ms = [], [], []
    for file in find_files(stage.work, stage.here):
        guess, answer, ms = _ask_one(stage, file.path)
        answers.append(answer)
        times_ms.append(ms)
        node = stage.name_operator(answer.receipt.node.account)
        score = f"{guess.score:.3f}"
        rows.append((file.path.name, guess.label, score, node, f"{ms:.0f} ms", answer.request_id))
        teller.promise(guess.label == file.expected, f"{file.path} is taken for {file.expected}")
    teller.table(("file", "label", "score", "node", "time", "receipt"), rows)
    teller.line("The SDK checked every answer before it returned it: signatures, who handed over")
    teller.line("to whom, and that input and output are those in the receipt.")
    teller.figure("answer, median", f"{statistics.median(times_ms):.0f} ms")
    began = time.monotonic()
    for answer in answers:
        stage.client.settle(answer, timeout_s=_TIMEOUT_S)
    teller.line(f"All {len(answers)} receipts are settled on the ledger.")
    teller.figure("receipts settled", f"within {time.monotonic() - began:.1f} s of the answer")
    return tuple(answers)


def _ask_one(stage: Stage, path: Path) -> tuple[Guess, Answer, float]:
    began = time.monotonic()
    answer = stage.client.ask(MODEL, {"bytes": read_features(path)[np.newaxis]})
    ms = (time.monotonic() - began) * 1000
    return _read(stage, answer)[0], answer, ms


def _read(stage: Stage, answer: Answer) -> tuple[Guess, ...]:
    ((name, scores),) = answer.outputs.items()
    return read_guesses(to_tensor(name, scores), stage.get_package(MODEL).read_labels())


def lose_a_node(stage: Stage) -> tuple[str, Answer]:
    """Ask about many files at once, kill the node that took it, and get the answer all the same.

    Returns:
        The name of the killed node, and the answer.
    """
    teller = stage.teller
    for attempt in range(_ATTEMPTS):
        found = _try_to_lose(stage, BATCH_ROWS << attempt)
        if found is not None:
            killed, answer = found
            break
        teller.line("The node was done before it could be killed; once more, with more work.")
    else:
        raise Fault("demo.too-fast", f"no node held a request for long in {_ATTEMPTS} attempts")
    bundle = decode_bundle(answer.bundle)
    takers = [stage.name_operator(line.taker.account) for line in _judge(answer, 0).branches]
    served = stage.name_operator(answer.receipt.node.account)
    teller.line(f"The answer came all the same, from {served}: the gateway had handed it on.")
    teller.promise(takers[0] == killed, "the killed node had taken the request")
    teller.promise(len(bundle.custody[0].signatures) == 2, "it had countersigned the hand-over")
    teller.promise(served != killed and served in takers[1:], "another node answered")
    guesses = _read(stage, answer)
    python = sum(guess.label == "python" for guess in guesses)
    teller.line(f"{python} of {len(guesses)} files are Python.")
    teller.promise(python > len(guesses) * 0.8, "files of the standard library are Python")
    return killed, answer


def _try_to_lose(stage: Stage, rows: int) -> tuple[str, Answer] | None:
    teller, network = stage.teller, stage.network
    library = Path(os.__file__).parent
    paths = islice((path for path in sorted(library.rglob("*.py")) if path.is_file()), rows)
    features = np.stack([read_features(path) for path in paths])
    teller.line(f"One request about {len(features)} files of Python's standard library …")
    before = measure_journals(network)
    began = time.monotonic()
    with ThreadPoolExecutor(max_workers=1) as pool:
        asked = pool.submit(stage.client.ask, MODEL, {"bytes": features}, timeout_s=_TIMEOUT_S)
        killed = kill_the_holder(network, before, asked.done, _TIMEOUT_S)
        if killed is not None:
            after_ms = round((time.monotonic() - began) * 1000)
            teller.line(f"{killed} took it; after {after_ms} ms it is killed (SIGKILL).")
        answer = asked.result()
    if killed is None:
        return None
    branches = _judge(answer, 0).branches
    if stage.name_operator(branches[-1].taker.account) == killed:
        # The answer was on its way already when the node was killed.
        network.restart(killed)
        return None
    teller.figure("answer, node killed meanwhile", f"{time.monotonic() - began:.1f} s")
    return killed, answer


def find_blame(stage: Stage, killed: str, answer: Answer) -> Blame:
    """Wait until the promise's height has passed, and let the records say who failed."""
    teller = stage.teller
    # The lapse is the first branch's; the branch that answered has a height of its own.
    due = _judge(answer, 0).branches[0].answer_by
    teller.line(f"{killed} had promised an answer by height {due}; waiting for it to pass …")
    deadline = time.monotonic() + _TIMEOUT_S
    while (height := asyncio.run(_get_height(stage.network))) <= due:
        if time.monotonic() > deadline:
            raise Fault("demo.ledger-stands-still", f"the ledger is still at height {height}")
        time.sleep(_POLL_S)
    blame = _judge(answer, height)
    named = stage.name_operator(blame.party.account) if blame.party else "nobody"
    teller.line(f"At height {height}: {blame.status}; {blame.reason}.")
    teller.line(f"Blame names {named}.")
    teller.promise(blame.status == "covered", "the lapse was covered by another node")
    teller.promise(named == killed, "blame names the killed node")
    return blame


def _judge(answer: Answer, height: int) -> Blame:
    return assign_blame(answer.bundle, height)


async def _get_height(network: Network) -> int:
    """Get a height that is sealed as the trust file demands."""
    async with HttpTransport() as transport:
        reply = await transport.ask(network.endpoints.ledger, GetHeader(height=0), _TIMEOUT_S)
    if not isinstance(reply, GotHeader):
        raise Fault("network.odd-reply", f"the full node replied {type(reply).__name__}")
    trust = decode_trust(network.trust_path.read_bytes())
    return check_now(trust, reply.header).height


def verify_offline(stage: Stage, answer: Answer) -> None:
    """Verify the settled receipt as a stranger would; then change one bit and watch it fail."""
    teller = stage.teller
    stage.client.settle(answer, timeout_s=_TIMEOUT_S)
    bundle = stage.client.receipts.load_bundle(answer.request_id)
    good, bad = stage.work / "receipt.json", stage.work / "flipped.json"
    good.write_bytes(bundle)
    trust = stage.network.trust_path
    cut_off = can_cut_off()
    how = "in a network namespace without any network" if cut_off else "without using the network"
    teller.line(f"probatum receipt verify {good} --trust {trust}")
    teller.line(f"… by another process, {how}:")
    verdict = verify(good, trust, cut_off=cut_off)
    for text in verdict.lines:
        teller.line(f"  {text}")
    teller.promise(verdict.exit_code == 0, "the receipt verifies offline")
    teller.figure("receipt, with all proofs", f"{len(bundle):,} bytes")
    teller.figure("verified offline", f"in {verdict.wall_ms} ms, start of the program included")
    bit = len(bundle) * 4
    bad.write_bytes(flip_bit(bundle, bit))
    teller.act(f"Flip one bit of {len(bundle) * 8:,}")
    verdict = verify(bad, trust, cut_off=cut_off)
    for text in verdict.lines:
        teller.line(f"  {text}")
    teller.promise(verdict.exit_code == 1, "a receipt with one bit changed is refused")
    teller.figure("one bit flipped", "refused")
