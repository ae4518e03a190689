"""Making trust files: of a genesis document, or a newer one of the one in use (`LIGHT-1`).

A trust file of validators can be started from for its trusting period; any full node helps to
renew it, and none has to be believed for that. Must not know how headers are checked.
"""

from __future__ import annotations

import time
from pathlib import Path

from probatum.cli.comparing import convict, make_patient_ask
from probatum.cli.describing import describe_value
from probatum.cli.places import expand_home
from probatum.cli.reading import ask_header, reach_header
from probatum.cli.settings import Common
from probatum.client.comparing import compare_ledgers
from probatum.consensus.trust_files import make_trust
from probatum.consensus.trusting import renew_trust
from probatum.errors import Refusal
from probatum.nodes.shell.genesis_file import load_genesis
from probatum.protocol.trust import CommitTrust, Trust

__all__ = ["describe_trust", "make_first_trust", "make_newer_trust"]


def make_first_trust(genesis: Path) -> Trust:
    """Make the trust file that a genesis document stands for. Raises as `load_genesis`."""
    return make_trust(load_genesis(expand_home(genesis)))


def make_newer_trust(common: Common) -> Trust:
    """Make a trust file of the ledger's last but one header, which the one in use leads to.

    Where several full nodes are named, they must all agree, and the header before the one that
    they agree on is taken: that one cites it. Asked again, one of them could show another.

    Raises:
        Refusal: `ledger.nothing-to-renew`, `ledger.no-agreement`, `light.*`, `trust.*`, and the
            full node's.
        Fault: `wire.*`.
    """
    trust, ledgers = common.get_trust(), common.list_ledgers()
    if not isinstance(trust, CommitTrust):
        raise Refusal(
            "ledger.nothing-to-renew",
            "this trust file names a key: it has no end",
            hint="only a network of validators has trust files that grow old",
        )
    now_ms = time.time_ns() // 1_000_000
    last = None
    if len(ledgers) > 1:
        found = compare_ledgers(ledgers, make_patient_ask(), trust, now_ms)
        if any(told.standing != "agrees" for told in found.told):
            path, _ = convict(common, found, trust)
            why = f"two pasts are sealed, kept in {path}" if path else "one lags, or lies"
            raise Refusal(
                "ledger.no-agreement",
                f"the full nodes that were named do not agree: {why}",
                hint="probatum ledger status, with the same --ledger, says who is the odd one",
            )
        last = found.told[0].common
    if last is None:
        last = ask_header(ledgers[0], 0)
    # The seal of the last header shows who comes after the header before.
    if last.header.height <= max(1, trust.height):
        raise Refusal(
            "ledger.nothing-to-renew",
            f"the ledger is at height {last.header.height}, the trust file names {trust.height}",
            hint="try again after the next blocks",
        )
    signed = ask_header(ledgers[0], last.header.height - 1)
    return renew_trust(reach_header(ledgers[0], trust, signed), last, now_ms)


def describe_trust(trust: Trust) -> dict[str, object]:
    """Describe a trust file for people: how long it can be started from, who is in it."""
    facts: dict[str, object] = describe_value(trust)
    if isinstance(trust, CommitTrust):
        end_s = (trust.time_ms + trust.trusting_period_ms) // 1_000
        facts["good_until"] = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(end_s))
        facts["validators"] = ", ".join(
            f"{found.key[:16]}… ({found.power})" for found in trust.validators
        )
    return facts
