from base64 import b64encode

import pytest

from probatum.errors import Misuse, Refusal
from probatum.protocol import limits
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.hashing import sha256
from probatum.protocol.notes import (
    Checkpoint,
    compute_key_hash,
    decode_checkpoint,
    encode_checkpoint,
    key_text,
    open_checkpoint,
    open_note,
    parse_key_text,
    sign_checkpoint,
    sign_note,
)

SIGNER = OperatingSigner(b"\x04" * 32)
NAME = "probatum.example/log/7"
ROOT = sha256(b"root")
CHECKPOINT = Checkpoint(origin=NAME, size=1234, root=ROOT)
NOTE = sign_checkpoint(CHECKPOINT, SIGNER)


def code_of(function, *args):
    with pytest.raises(Refusal) as caught:
        function(*args)
    return caught.value.code


def test_note_of_the_specification():
    # The example of Go's note package: name, key and signed text.
    name, key = parse_key_text("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    note = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
        "\n"
        "\N{EM DASH} PeterNeumann "
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6K"
        "E6RyyBwJnAM=\n"
    )
    text = open_note(note.encode(), name, key)
    assert text.startswith("If you think cryptography")


def test_checkpoint_as_written():
    assert encode_checkpoint(CHECKPOINT) == f"{NAME}\n1234\n{b64encode(ROOT).decode()}\n"
    assert decode_checkpoint(encode_checkpoint(CHECKPOINT)) == CHECKPOINT
    assert open_checkpoint(NOTE, NAME, SIGNER.key) == CHECKPOINT


def test_key_text():
    text = key_text(NAME, SIGNER.key)
    assert parse_key_text(text) == (NAME, SIGNER.key)
    assert compute_key_hash(NAME, SIGNER.key) == sha256(NAME.encode() + b"\n\x01" + SIGNER.key)[:4]
    for bad in ("", "+", NAME, text + "=", text.replace("+A", "+B"), "x" + text, text[:-4]):
        assert code_of(parse_key_text, bad) == "note.bad-key-text"


def test_every_changed_bit_is_refused():
    for bit in range(8 * len(NOTE)):
        changed = bytearray(NOTE)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Refusal):
            open_checkpoint(bytes(changed), NAME, SIGNER.key)


def test_other_signers_are_refused():
    other = OperatingSigner(b"\x05" * 32)
    assert code_of(open_note, NOTE, NAME, other.key) == "note.another-key"
    assert code_of(open_note, NOTE, "another", SIGNER.key) == "note.another-key"
    forged = sign_checkpoint(CHECKPOINT, other).replace(
        b64encode(compute_key_hash(NAME, other.key))[:5],
        b64encode(compute_key_hash(NAME, SIGNER.key))[:5],
    )
    assert code_of(open_note, forged, NAME, SIGNER.key) in {
        "note.another-key",
        "note.bad-signature",
    }


def signed_twice():
    return NOTE + NOTE.rpartition(b"\n\n")[2]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\n\n",
        NOTE[:-1],
        NOTE + b"\n",
        NOTE + b"x",
        signed_twice(),
        NOTE.replace(b"\n\n", b"\n"),
        NOTE.replace("\N{EM DASH}".encode(), b"-"),
        b"\xff" + NOTE,
        b"\x00" + NOTE,
        b"\t" + NOTE,
        NOTE.replace(b"\n", b"\r\n"),
    ],
)
def test_other_forms_are_refused(data):
    assert code_of(open_note, data, NAME, SIGNER.key) == "note.malformed"


def test_notes_are_bounded():
    data = b"x" * limits.CHECKPOINT_BYTES + NOTE
    assert code_of(open_note, data, NAME, SIGNER.key) == "note.too-large"
    with pytest.raises(Misuse):
        sign_note("x" * limits.CHECKPOINT_BYTES + "\n", NAME, SIGNER)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n1\n",
        f"origin\n01\n{b64encode(ROOT).decode()}\n",
        f"origin\n-1\n{b64encode(ROOT).decode()}\n",
        f"origin\n+1\n{b64encode(ROOT).decode()}\n",
        f"origin\n1_0\n{b64encode(ROOT).decode()}\n",
        f"origin\n١\n{b64encode(ROOT).decode()}\n",
        f"origin\n{1 << 63}\n{b64encode(ROOT).decode()}\n",
        f"origin\n{'9' * 4000}\n{b64encode(ROOT).decode()}\n",
        f"\n1\n{b64encode(ROOT).decode()}\n",
        f"origin\n1\n{b64encode(ROOT[:31]).decode()}\n",
        f"origin\n1\n{b64encode(ROOT).decode()[:-1]}\n",
        f"origin\n1\n{b64encode(ROOT).decode()}\nextension\n",
        f"origin\n1\n{b64encode(ROOT).decode()}",
    ],
)
def test_other_checkpoints_are_refused(text):
    assert code_of(decode_checkpoint, text) == "note.bad-checkpoint"


@pytest.mark.parametrize("origin", ["prob\u00e9", "probatum\U0001fae8", "\uff50robatum"])
def test_an_origin_is_refused_alike_by_every_version_of_unicode(origin):
    """The second one's last character is printable from Unicode 15 (Python 3.12) on."""
    text = f"{origin}\n1\n{b64encode(ROOT).decode()}\n"
    assert code_of(decode_checkpoint, text) == "note.bad-checkpoint"
    note = sign_note(text, NAME, SIGNER)
    assert code_of(open_checkpoint, note, NAME, SIGNER.key) == "note.bad-checkpoint"


def test_a_checkpoint_of_another_log_is_refused():
    other = encode_checkpoint(Checkpoint(origin="another", size=1, root=ROOT))
    note = sign_note(other, NAME, SIGNER)
    assert code_of(open_checkpoint, note, NAME, SIGNER.key) == "note.another-origin"


def test_bad_names_and_texts_are_a_misuse():
    for name in ("", "a b", "a+b", "a\nb", "x" * 129):
        with pytest.raises(Misuse):
            sign_note("text\n", name, SIGNER)
        with pytest.raises(Misuse):
            key_text(name, SIGNER.key)
    for text in ("", "no newline", "tab\t\n"):
        with pytest.raises(Misuse):
            sign_note(text, NAME, SIGNER)
    for origin, size in (("", 1), ("a\nb", 1), ("a", -1), ("a", 1 << 63)):
        with pytest.raises(Misuse):
            encode_checkpoint(Checkpoint(origin=origin, size=size, root=ROOT))
