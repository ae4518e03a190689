"""Tokenizers of packages, fetched from who serves the package and kept while there is room.

Every byte is held to the digest that the manifest names, so it does not matter who sent it. Texts
are turned into tokens beside the event loop, a few at a time. Must not know doors.
"""

from __future__ import annotations

import asyncio
from typing import Final

from probatum.client.lines import Lines, locate
from probatum.errors import Fault, Refusal
from probatum.hub.fetch import file_url
from probatum.machine.budget import Recent
from probatum.protocol import limits
from probatum.protocol.hashing import sha256
from probatum.protocol.manifests import FileEntry, Manifest
from probatum.protocol.primitives import Digest
from probatum.runtime.tokens import TOKENIZER_BYTES, TextTokenizer

__all__ = ["TokenShelf"]

_KEPT_BYTES: Final = 64 * limits.MIB
_FETCH_S: Final = 10.0
_AT_ONCE: Final = 2


class TokenShelf:
    """Tokenizers by package. Use within one running event loop."""

    def __init__(self) -> None:
        """Make it; nothing was fetched yet."""
        self._kept: Recent[Digest, tuple[int, TextTokenizer]] = Recent(
            limit=_KEPT_BYTES, weigh=lambda entry: entry[0]
        )
        self._coming: dict[Digest, asyncio.Task[TextTokenizer]] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def get(
        self, package: Digest, manifest: Manifest, sources: tuple[str, ...]
    ) -> TextTokenizer:
        """Get a package's tokenizer.

        Args:
            package: The package.
            manifest: Its manifest, which names the file.
            sources: Who serves it (``http://host:port``), best first.

        Raises:
            Refusal: `tokens.no-tokenizer` if the package has none, `tokens.*`.
            Fault: `tokens.unobtainable` if nobody sends the file.
        """
        kept = self._kept.get(package)
        if kept is not None:
            return kept[1]
        task = self._coming.get(package)
        if task is None:
            task = asyncio.create_task(self._fetch(package, manifest, sources))
            self._coming[package] = task
            task.add_done_callback(lambda _: self._coming.pop(package, None))
        # Whoever hangs up does not take the others' tokenizer along.
        return await asyncio.shield(task)

    async def encode(
        self, tokenizer: TextTokenizer, texts: tuple[str, ...]
    ) -> tuple[tuple[tuple[int, ...], bool], ...]:
        """Turn texts into token ids, and say of each whether it was cut.

        Raises:
            Refusal: as `probatum.runtime.tokens.TextTokenizer.encode`.
        """
        async with self._turns:
            found = await asyncio.to_thread(tokenizer.encode, texts)
        return tuple((one.ids, one.is_cut) for one in found)

    async def _fetch(
        self, package: Digest, manifest: Manifest, sources: tuple[str, ...]
    ) -> TextTokenizer:
        entry = next((one for one in manifest.files if one.path == manifest.tokenizer), None)
        if entry is None:
            raise Refusal(
                "tokens.no-tokenizer",
                "this model's package brings no tokenizer",
                hint="send token ids instead of text",
            )
        if entry.size > TOKENIZER_BYTES:
            raise Refusal("tokens.too-large", f"a tokenizer has at most {TOKENIZER_BYTES} bytes")
        for source in sources:
            data = await _get(file_url(source, package, entry.path), entry)
            if data is not None:
                break
        else:
            raise Fault("tokens.unobtainable", "nobody who offers this model sends its tokenizer")
        async with self._turns:
            made = await asyncio.to_thread(TextTokenizer, data, max_tokens=manifest.max_tokens)
        self._kept.put(package, (len(data), made))
        return made


async def _get(url: str, entry: FileEntry) -> bytes | None:
    """Fetch a file of known size and digest; None if this source does not have it."""
    lines = Lines(limit=1)
    data = bytearray()
    try:
        where = locate(url)
        head = b"GET %b HTTP/1.1\r\nHost: %b" % (where.path, where.name)
        line = await lines.send(where, head, b"", _FETCH_S)
        try:
            if line.status != 200:
                return None
            while len(data) <= entry.size and (piece := await line.read()):
                data += piece
        finally:
            lines.put_back(line)
    except (TimeoutError, OSError, ValueError):
        return None
    finally:
        lines.close()
    return bytes(data) if sha256(bytes(data)).hex() == entry.sha256 else None
