"""A gateway that charges twice for a request (`PAY-1`), and is honest in all else.

It answers as it must, with a release that charges; and when its customer comes back for the
settled bundle, that one has another release in it, which charges once more. What it writes down is
the first. Must not know who compares the two.
"""

from __future__ import annotations

import msgspec

from probatum.machine.machine import Machine
from probatum.machine.wishes import Reply, Wish
from probatum.protocol.bundles import decode_bundle, encode_bundle
from probatum.protocol.custody import Release, decode_release, encode_release
from probatum.protocol.dsse import decode_payload, sign_envelope
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.hexes import digest_from_hex
from probatum.protocol.messages import Answer, GotBundle
from probatum.storm.cast.cheats import Cheat
from probatum.storm.docket import Deeds
from probatum.storm.trace import Trace

__all__ = ["Overcharger"]


class Overcharger(Cheat):
    """Charges again in settled bundles."""

    def __init__(
        self, honest: Machine, signer: OperatingSigner, deeds: Deeds, trace: Trace
    ) -> None:
        """Wrap an honest gateway."""
        super().__init__(honest, signer, deeds, trace)
        self._told: set[bytes] = set()
        self._again: dict[bytes, bytes] = {}

    def _alter(self, wish: Wish) -> tuple[Wish, ...]:
        match wish:
            case Reply(message=Answer(bundle=raw)):
                # What nobody was told of is no first charge.
                self._told.add(decode_payload(decode_bundle(raw).release))
                return (wish,)
            case Reply(message=GotBundle(settled=True, bundle=raw)):
                message = GotBundle(settled=True, bundle=self._charge_again(raw))
                return (Reply(wish.conversation, message, last=wish.last),)
            case _:
                return (wish,)

    def _charge_again(self, raw: bytes) -> bytes:
        bundle = decode_bundle(raw)
        payload = decode_payload(bundle.release)
        release = decode_release(payload)
        if payload not in self._told or not release.price_units:
            return raw
        again = self._again.get(payload)
        if again is None:
            if not self._deeds.is_willing:
                return raw
            again = self._again[payload] = encode_release(_raise_total(release))
        self._note("charge", 0, 0, again, first_record=digest_from_hex(release.previous))
        forged = sign_envelope(again, (self._signer,))
        return encode_bundle(msgspec.structs.replace(bundle, release=forged))


def _raise_total(release: Release) -> Release:
    assert release.running_total_units is not None, "a price without a total"
    total = release.running_total_units + release.price_units
    return msgspec.structs.replace(release, running_total_units=total)
