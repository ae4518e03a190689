"""Takes the alphabet of PP-OCRv4's reader out of the notes in its ONNX file.

Must not know pictures.
"""

from __future__ import annotations

from collections.abc import Mapping

from models.onnxfile import read_metadata

__all__ = ["make"]


def make(sources: Mapping[str, bytes]) -> dict[str, bytes]:
    """List what each of the reader's outputs stands for.

    Args:
        sources: Holds `reader.onnx`.

    Returns:
        `characters.txt`: a character a line, in the order of the outputs. The first, written as
        `<blank>`, is the gap between two characters (CTC); the last is the space.
    """
    characters = read_metadata(sources["reader.onnx"])["character"].split("\n")
    lines = ["<blank>", *characters, " "]
    return {"characters.txt": "".join(f"{line}\n" for line in lines).encode()}
