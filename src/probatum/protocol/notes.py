"""Signed notes and checkpoints of logs (`LOG-1`), in the form that C2SP specifies.

A note is text and signature lines; a checkpoint's text is the log's origin, its size and its
root. Go's ``sumdb/note`` reads them (conformance test). Stricter than the
specification: one signature, no extension lines, canonical base64, so that a checkpoint has one
encoding. Sources: c2sp.org/signed-note, c2sp.org/tlog-checkpoint. Read next: `merkle`, `tiles`.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from typing import Final

from probatum.errors import Misuse, Refusal
from probatum.protocol import limits
from probatum.protocol.ed25519 import OperatingSigner, check_signature
from probatum.protocol.eip712 import Domain
from probatum.protocol.hashing import sha256
from probatum.protocol.primitives import (
    Address,
    Digest,
    OperatingKey,
    address_to_hex,
    make_digest,
    make_operating_key,
    make_operating_signature,
)

__all__ = [
    "Checkpoint",
    "compute_key_hash",
    "decode_checkpoint",
    "encode_checkpoint",
    "key_text",
    "log_origin",
    "open_checkpoint",
    "open_note",
    "parse_key_text",
    "sign_checkpoint",
    "sign_note",
]

_ED25519: Final = b"\x01"
_DASH: Final = "\N{EM DASH} "
_SIZE_BOUND: Final = 1 << 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What a log says of itself at one moment.

    Attributes:
        origin: The log's name, one line; unique to the log.
        size: How many entries it has.
        root: The RFC 6962 root over them.
    """

    origin: str
    size: int
    root: Digest


def _is_line(text: str) -> bool:
    """Whether it is one bounded line of printable ASCII.

    What else is printable each version of Unicode says anew, and all nodes must refuse a
    checkpoint by the same code, whichever Python they run.
    """
    return 0 < len(text) <= limits.NAME_CHARS and text.isascii() and text.isprintable()


def _is_name(name: str) -> bool:
    """Whether Go's note package takes it as a key's name, and it is one line."""
    return _is_line(name) and not set(name) & {" ", "+"}


def _decode_base64(text: str) -> bytes:
    try:
        data = b64decode(text.encode("ascii"), validate=True)
    except (Base64Error, UnicodeEncodeError):
        raise Refusal("note.malformed", "not standard base64") from None
    if b64encode(data).decode("ascii") != text:
        raise Refusal("note.malformed", "not the canonical base64 of its bytes")
    return data


def compute_key_hash(name: str, key: OperatingKey) -> bytes:
    """Compute the four bytes by which a note names its key (signed-note, §Signatures)."""
    return sha256(name.encode() + b"\n" + _ED25519 + key)[:4]


def key_text(name: str, key: OperatingKey) -> str:
    """Write a verifier key as Go's ``note.NewVerifier`` reads it.

    Raises:
        Misuse: `note.bad-name`.
    """
    if not _is_name(name):
        raise Misuse("note.bad-name", f"not a name for a note's key: {name[:60]!r}")
    encoded = b64encode(_ED25519 + key).decode("ascii")
    return f"{name}+{compute_key_hash(name, key).hex()}+{encoded}"


def parse_key_text(text: str) -> tuple[str, OperatingKey]:
    """Read a verifier key: name and key.

    Raises:
        Refusal: `note.bad-key-text`.
    """
    name, _, rest = text[: limits.CHECKPOINT_BYTES].partition("+")
    encoded = rest.partition("+")[2]
    if _is_name(name):
        try:
            key = make_operating_key(_decode_base64(encoded)[1:])
        except Refusal:
            pass
        else:
            if text == key_text(name, key):
                return name, key
    raise Refusal("note.bad-key-text", f"not a verifier key: {text[:80]!r}")


def _is_note_text(text: str) -> bool:
    return text.endswith("\n") and all(char >= " " or char == "\n" for char in text)


def sign_note(text: str, name: str, signer: OperatingSigner) -> bytes:
    """Sign a text.

    Args:
        text: Lines, each ended by a newline; no control characters.
        name: The key's name, without spaces and plus signs.
        signer: The key.

    Raises:
        Misuse: `note.bad-name`, `note.bad-text`.
    """
    if not _is_name(name):
        raise Misuse("note.bad-name", f"not a name for a note's key: {name[:60]!r}")
    if not _is_note_text(text):
        raise Misuse("note.bad-text", "a note is lines that each end with a newline")
    signature = compute_key_hash(name, signer.key) + signer.sign(text.encode())
    note = f"{text}\n{_DASH}{name} {b64encode(signature).decode('ascii')}\n".encode()
    if len(note) > limits.CHECKPOINT_BYTES:
        raise Misuse("note.bad-text", f"the note has {len(note)} bytes")
    return note


def open_note(data: bytes, name: str, key: OperatingKey) -> str:
    """Check a note's one signature and return its text.

    Args:
        data: The note, from anybody.
        name: Whose key it must be signed with.
        key: That key.

    Raises:
        Refusal: `note.too-large`, `note.malformed`, `note.another-key`, `note.bad-signature`.
    """
    if len(data) > limits.CHECKPOINT_BYTES:
        raise Refusal("note.too-large", f"{len(data)} bytes of note")
    try:
        whole = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal("note.malformed", "not UTF-8") from None
    head, separator, line = whole.rpartition("\n\n")
    text = head + "\n"
    if not separator or not _is_note_text(text):
        raise Refusal("note.malformed", "not lines, an empty line and a signature")
    if not line.startswith(_DASH) or line.count("\n") != 1 or not line.endswith("\n"):
        raise Refusal("note.malformed", "not exactly one signature line")
    signer_name, _, encoded = line[len(_DASH) : -1].partition(" ")
    signature = _decode_base64(encoded)
    if signer_name != name or signature[:4] != compute_key_hash(name, key):
        raise Refusal(
            "note.another-key", f"signed by {signer_name[:60]!r}, not by the key asked for"
        )
    if len(signature) != 68:
        raise Refusal("note.malformed", "the signature has another length")
    try:
        check_signature(key, text.encode(), make_operating_signature(signature[4:]))
    except Refusal:
        raise Refusal("note.bad-signature", f"not a signature by {name}") from None
    return text


def log_origin(domain: Domain, operator: Address, session: int) -> str:
    """Write the origin of one log session: its checkpoints' first line and its key's name.

    The genesis hash is in it (its first 16 bytes, so that the line stays within its limit): two
    networks may share a chain id and a node its key, and a checkpoint must hold in one only.
    """
    genesis = domain.genesis_hash[:16].hex()
    return f"probatum/{domain.chain_id}/{genesis}/{address_to_hex(operator)}/{session}"


def encode_checkpoint(checkpoint: Checkpoint) -> str:
    """Write a checkpoint's text: origin, size, root, a line each (tlog-checkpoint).

    Raises:
        Misuse: `note.bad-checkpoint`.
    """
    origin = checkpoint.origin
    if not _is_line(origin):
        raise Misuse("note.bad-checkpoint", f"not an origin: {origin[:60]!r}")
    if not 0 <= checkpoint.size < _SIZE_BOUND:
        raise Misuse("note.bad-checkpoint", f"not a size: {checkpoint.size}")
    return f"{origin}\n{checkpoint.size}\n{b64encode(checkpoint.root).decode('ascii')}\n"


def decode_checkpoint(text: str) -> Checkpoint:
    """Read a checkpoint's text, without extension lines.

    Raises:
        Refusal: `note.bad-checkpoint`.
    """
    lines = text[: limits.CHECKPOINT_BYTES].split("\n")
    # Longer numbers than any size are refused before they are parsed.
    if len(lines) == 4 and len(lines[1]) <= 19 and lines[1].isdecimal():
        try:
            root = make_digest(_decode_base64(lines[2]))
            checkpoint = Checkpoint(origin=lines[0], size=int(lines[1]), root=root)
            # Leading zeros, other digits and the like come out differently.
            if encode_checkpoint(checkpoint) == text:
                return checkpoint
        except (Refusal, Misuse):
            pass
    raise Refusal("note.bad-checkpoint", f"not a checkpoint: {text[:80]!r}")


def sign_checkpoint(checkpoint: Checkpoint, signer: OperatingSigner) -> bytes:
    """Sign a checkpoint under its origin's name. Raises Misuse as `sign_note`."""
    return sign_note(encode_checkpoint(checkpoint), checkpoint.origin, signer)


def open_checkpoint(data: bytes, origin: str, key: OperatingKey) -> Checkpoint:
    """Check a signed checkpoint of one log.

    Raises:
        Refusal: as `open_note` and `decode_checkpoint`; `note.another-origin`.
    """
    checkpoint = decode_checkpoint(open_note(data, origin, key))
    if checkpoint.origin != origin:
        raise Refusal("note.another-origin", f"the checkpoint is of {checkpoint.origin[:60]!r}")
    return checkpoint
