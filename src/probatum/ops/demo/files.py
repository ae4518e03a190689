"""Real files to ask about: what lies on any machine that runs this, and two made on the spot.

Must not know models or networks.
"""

from __future__ import annotations

import gzip
import struct
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DemoFile", "find_files"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoFile:
    """A file, and the label that a good classifier gives it."""

    path: Path
    expected: str


def find_files(made: Path, here: Path) -> tuple[DemoFile, ...]:
    """Find the files, making those that a machine may lack.

    Args:
        made: An existing folder for what is made.
        here: Where a README and a licence may lie; they are left out if they do not.
    """
    source = Path(__file__)
    picture = made / "stripes.png"
    picture.write_bytes(_draw_png(64, 64))
    archive = made / "files.py.gz"
    archive.write_bytes(gzip.compress(source.read_bytes(), mtime=0))
    found = (
        DemoFile(path=Path(sys.executable).resolve(), expected="elf"),
        DemoFile(path=source, expected="python"),
        DemoFile(path=here / "README.md", expected="markdown"),
        DemoFile(path=here / "LICENSE", expected="txt"),
        DemoFile(path=picture, expected="png"),
        DemoFile(path=archive, expected="gzip"),
    )
    return tuple(file for file in found if file.path.is_file())


def _draw_png(width: int, height: int) -> bytes:
    """Draw stripes as a PNG: eight bits of grey a pixel, no filter."""
    row = b"\0" + bytes(255 if x // 8 % 2 else 40 for x in range(width))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (
            (b"IHDR", head),
            (b"IDAT", zlib.compress(row * height)),
            (b"IEND", b""),
        )
    )
