"""Checking that a receipt is final: steps 5 to 7 of `BUNDLE-1`, and with them `LOG-1`.

Everything hangs on one sealed header: the log session's record and the keys' records are proven
against its state root, the receipt's entry against the log's settled root. Whether the header
itself is believed, an argument decides (`HeaderCheck`), since that is a matter of the engine. Must
not know content or blame. Read next: `receipt`.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from typing import assert_never

import msgspec

from probatum.errors import Refusal
from probatum.evidence.custody import CheckedBranch
from probatum.evidence.log import check_log_entry, check_session
from probatum.protocol import limits
from probatum.protocol.bundles import Settlement
from probatum.protocol.commits import COMMITTED
from probatum.protocol.dsse import Envelope
from probatum.protocol.encoding import decode, encode
from probatum.protocol.headers import CommitSeal, Header, KeySeal, Seal, SignedHeader
from probatum.protocol.hexes import address_from_document, digest_from_hex, key_from_hex
from probatum.protocol.mapproof import check_state_proof
from probatum.protocol.parties import Party
from probatum.protocol.primitives import OperatingKey
from probatum.protocol.receipts import Receipt
from probatum.protocol.records import KeyRecord, LogRecord, get_key_key, get_log_key
from probatum.protocol.trust import HeaderCheck

__all__ = [
    "CheckedSettlement",
    "Signer",
    "check_against_header",
    "check_key_record",
    "check_settlement",
    "decode_header",
    "decode_key_record",
    "describe_seal",
    "describe_trust",
    "encode_header",
    "list_needed_keys",
    "list_signers",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedSettlement:
    """A settlement whose proofs hold.

    Attributes:
        header: The header that everything was proven against.
        seal: What made it believed.
        log: The receipt's log session as of that header.
        keys: Who held which of the other signing keys, in key order.
    """

    header: Header
    seal: Seal
    log: LogRecord
    keys: tuple[tuple[OperatingKey, KeyRecord], ...]


class Signer(msgspec.Struct, frozen=True, kw_only=True):
    """A key that signed something of a request, and must have been its party's then.

    Attributes:
        signed_at: The last height that its party stated: good then, it was good before.
    """

    key: OperatingKey
    party: Party
    signed_at: int


def encode_header(signed: SignedHeader) -> str:
    """Encode a signed header as bundles hold it: standard base64."""
    return b64encode(encode(signed)).decode("ascii")


def decode_header(text: str) -> SignedHeader:
    """Decode a bundle's header.

    Raises:
        Refusal: `receipt.bad-header`, `encoding.*`.
    """
    try:
        data = b64decode(text.encode("ascii"), validate=True)
    except (Base64Error, UnicodeEncodeError):
        raise Refusal("receipt.bad-header", "the header is not standard base64") from None
    if b64encode(data).decode("ascii") != text:
        raise Refusal("receipt.bad-header", "the header is not canonical base64")
    return decode(SignedHeader, data, limit_bytes=limits.SIGNED_HEADER_BYTES)


def list_needed_keys(
    receipt: Receipt, branches: tuple[CheckedBranch, ...]
) -> tuple[tuple[OperatingKey, Party], ...]:
    """List the keys that must be proven besides the receipt's own, which its log record proves.

    Those are the keys that signed anything: the gateway's, and of the takers those that
    countersigned. A taker that signed nothing is only named, which proves nothing about it.

    Raises:
        Refusal: `receipt.two-owners` if two parties sign with one key.
    """
    signers = [branches[0].record.giver]
    signers += [branch.record.taker for branch in branches if branch.acknowledged]
    owners: dict[str, Party] = {receipt.node.key: receipt.node}
    for party in signers:
        if owners.setdefault(party.key, party) != party:
            raise Refusal("receipt.two-owners", "two parties of the request sign with one key")
    return tuple(
        (key_from_hex(key), party)
        for key, party in sorted(owners.items())
        if key != receipt.node.key
    )


def list_signers(receipt: Receipt, branches: tuple[CheckedBranch, ...]) -> tuple[Signer, ...]:
    """List the same keys with when they signed last. Raises as `list_needed_keys`."""
    return tuple(
        [
            Signer(key=key, party=party, signed_at=_find_last(party, branches))
            for key, party in list_needed_keys(receipt, branches)
        ]
    )


def _find_last(party: Party, branches: tuple[CheckedBranch, ...]) -> int:
    records = [branch.record for branch in branches]
    return max([one.given_at for one in records if party in (one.giver, one.taker)])


def check_key_record(key: OperatingKey, record: KeyRecord, party: Party, signed_at: int) -> None:
    """Check that a key is its party's, and was not given up before it signed.

    Args:
        key: The key that signed.
        record: What the ledger says of it.
        party: Whose key the signed record says it is.
        signed_at: The height that the signed record states; the later height of settlement is
            what counts against a thief of an old key, see `receipt`.

    Raises:
        Refusal: `receipt.wrong-account`, `receipt.retired-key`.
    """
    if record.account != address_from_document(party.account):
        raise Refusal("receipt.wrong-account", f"the key {key.hex()[:16]}… is another account's")
    if record.retired_at is not None and record.retired_at <= signed_at:
        raise Refusal(
            "receipt.retired-key",
            f"the key {key.hex()[:16]}… was retired at height {record.retired_at}, "
            f"before it signed at {signed_at}",
        )


def _check_keys(
    settlement: Settlement, header: Header, receipt: Receipt, branches: tuple[CheckedBranch, ...]
) -> tuple[tuple[OperatingKey, KeyRecord], ...]:
    signers = list_signers(receipt, branches)
    if len(settlement.keys) != len(signers):
        raise Refusal(
            "receipt.wrong-keys", f"{len(settlement.keys)} keys are proven, {len(signers)} signed"
        )
    proven = []
    for signer, proof in zip(signers, settlement.keys, strict=True):
        value = check_state_proof(header.state_root, get_key_key(signer.key), proof)
        record = decode_key_record(signer.key, value)
        check_key_record(signer.key, record, signer.party, signer.signed_at)
        proven.append((signer.key, record))
    return tuple(proven)


def decode_key_record(key: OperatingKey, value: bytes | None) -> KeyRecord:
    """Decode what the ledger proves of a key.

    Raises:
        Refusal: `receipt.unknown-key`, `encoding.*`.
    """
    if value is None:
        raise Refusal("receipt.unknown-key", f"nobody registered the key {key.hex()[:16]}…")
    return decode(KeyRecord, value, limit_bytes=limits.STATE_VALUE_BYTES)


def check_settlement(
    settlement: Settlement,
    envelope: Envelope,
    receipt: Receipt,
    branches: tuple[CheckedBranch, ...],
    check: HeaderCheck,
) -> CheckedSettlement:
    """Check a settlement against the one thing that is trusted.

    Args:
        settlement: From the bundle.
        envelope: The signed receipt.
        receipt: Its content.
        branches: The checked hand-overs.
        check: Whether to believe its header.

    Raises:
        Refusal: what `check` raises, `mapproof.*`, `merkle.*`, `encoding.*`,
            `receipt.bad-header`, `receipt.unknown-log`, `receipt.wrong-log`,
            `receipt.wrong-key`, `receipt.not-covered`, `receipt.wrong-keys`,
            `receipt.unknown-key`, `receipt.wrong-account`, `receipt.retired-key`,
            `receipt.two-owners`.
    """
    signed = decode_header(settlement.header)
    check(signed)
    return check_against_header(settlement, signed, envelope, receipt, branches)


def check_against_header(
    settlement: Settlement,
    signed: SignedHeader,
    envelope: Envelope,
    receipt: Receipt,
    branches: tuple[CheckedBranch, ...],
) -> CheckedSettlement:
    """Check the proofs of a settlement against a header that is believed already.

    Raises:
        Refusal: as `check_settlement`, but for the header's.
    """
    header, operator = signed.header, address_from_document(receipt.node.account)
    key = get_log_key(operator, receipt.log.session)
    value = check_state_proof(header.state_root, key, settlement.log)
    if value is None:
        raise Refusal("receipt.unknown-log", "the node never opened the log of this receipt")
    log = decode(LogRecord, value, limit_bytes=limits.STATE_VALUE_BYTES)
    check_session(receipt, log)
    keys = _check_keys(settlement, header, receipt, branches)
    proof = tuple(digest_from_hex(item) for item in settlement.inclusion)
    check_log_entry(envelope, receipt, log, proof)
    return CheckedSettlement(header=header, seal=signed.seal, log=log, keys=keys)


def describe_seal(settled: CheckedSettlement) -> str:
    """Say why the header of a checked settlement is believed."""
    header, seal = settled.header, settled.seal
    match seal:
        case KeySeal():
            how = f"signed by the trusted key of chain {header.chain_id}"
        case CommitSeal():
            signed = sum(vote.flag == COMMITTED for vote in seal.commit.votes)
            how = (
                f"sealed by {signed} of {len(seal.validators)} validators of chain "
                f"{header.chain_id}, more than two thirds by power, who follow from those that "
                "the trust file names"
            )
        case _:
            assert_never(seal)
    return f"The header of height {header.height} is {how}."


def describe_trust(seal: Seal) -> str:
    """Say whom all of that still trusts."""
    match seal:
        case KeySeal():
            return (
                "The chain runs on the embedded engine: its one key is the root of all this "
                "trust, and whoever holds it could have signed another past."
            )
        case CommitSeal():
            return (
                "The trust file is the root of all this trust: whoever held two thirds of the "
                "power of its validators could have signed another past."
            )
        case _:
            assert_never(seal)
