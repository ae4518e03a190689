"""What a prosecutor comes to hold: receipts, those that contradict each other, two charges for one.

Reads customers' bundles once each and files them in the docket, which outlives it. Must not know
the ledger's state nor who accuses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from probatum.evidence import accusing
from probatum.evidence.double_charges import find_double_charge
from probatum.evidence.prosecution import find_rivals
from probatum.protocol.bundles import Bundle, decode_bundle
from probatum.protocol.custody import decode_release
from probatum.protocol.dsse import decode_payload
from probatum.protocol.hashing import sha256
from probatum.protocol.hexes import digest_from_hex
from probatum.protocol.primitives import Digest
from probatum.storm.docket import Case, ChargeCase, Docket

__all__ = ["Holdings"]


class Holdings:
    """Customers' bundles, as evidence."""

    def __init__(self, docket: Docket, collect: Callable[[], Iterable[bytes]]) -> None:
        """Hold nothing; `collect` lists the bundles that customers have by now."""
        self._docket = docket
        self._collect = collect
        self._seen: set[bytes] = set()
        self._rivals: dict[Digest, Case] = {}
        self._charged: dict[str, Bundle] = {}

    def find_rival(self, entry: Digest) -> Case | None:
        """Find another receipt for the place of a receipt."""
        return self._rivals.get(entry)

    def take(self, height: int) -> None:
        """Take in what is new.

        Args:
            height: Of the ledger, as its reader knows it.
        """
        for raw in self._collect():
            digest = sha256(raw)
            if digest in self._seen:
                continue
            self._seen.add(digest)
            bundle = decode_bundle(raw)
            if bundle.receipt is None:
                continue
            self._compare_charges(bundle, height)
            held = accusing.hold_bundle(bundle)
            self._docket.cases.setdefault(
                held.entry,
                Case(held=held, request_id=held.receipt.request.request_id, known_at=height),
            )
        holdings = [case.held for case in self._docket.cases.values()]
        for first, second in find_rivals(holdings):
            for one, other in ((first, second), (second, first)):
                if one.entry not in self._rivals:
                    self._rivals[one.entry] = self._docket.cases[other.entry]
                    self._docket.cases[one.entry].not_before = 0

    def _compare_charges(self, bundle: Bundle, height: int) -> None:
        """Hold a bundle against the first one of the same request (`PAY-1`)."""
        payload = decode_payload(bundle.release)
        release = decode_release(payload)
        if not release.price_units:
            return
        first = self._charged.setdefault(release.previous, bundle)
        if first.release == bundle.release:
            return
        self._docket.charges.setdefault(
            sha256(payload),
            ChargeCase(
                body=find_double_charge(first, bundle),
                first_record=digest_from_hex(release.previous),
                known_at=height,
            ),
        )
