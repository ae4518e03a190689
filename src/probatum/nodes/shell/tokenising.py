"""Tokenizers of packages, fetched from who serves the package and kept while there is room.

Every byte is held to the digest that the manifest names, so it does not matter who sent it. Texts
are turned into tokens beside the event loop, a few at a time; a short one on it: a thread's turn
costs more. Must not know doors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from probatum.client.lines import Lines, locate
from probatum.errors import Fault, Refusal
from probatum.hub.fetch import file_url
from probatum.machine.budget import Recent
from probatum.protocol import limits
from probatum.protocol.hashing import sha256
from probatum.protocol.manifests import FileEntry, Manifest
from probatum.protocol.primitives import Digest
from probatum.runtime.tokens import TOKENIZER_BYTES, TextTokenizer

if TYPE_CHECKING:
    from probatum.runtime.text.chat import ChatTokenizer

__all__ = ["ChatShelf", "TokenShelf"]

_KEPT_BYTES: Final = 64 * limits.MIB
_TEMPLATE_BYTES: Final = 64 * limits.KIB
_FETCH_S: Final = 10.0
_AT_ONCE: Final = 2
_SHORT_CHARS: Final = 1_000
"""Texts together that are turned into tokens on the event loop: 0.2 ms."""
_SHORT_WORK: Final = 5_000
"""What a chat template may do there, in `probatum.runtime.text.sandbox`'s count: 0.1 ms."""

T = TypeVar("T")
R = TypeVar("R")


class _Shelf(Generic[T]):
    """What is made of some files of a package, by package. Use within one running event loop."""

    def __init__(self) -> None:
        """Make it; nothing was fetched yet."""
        self._kept: Recent[Digest, tuple[int, T]] = Recent(
            limit=_KEPT_BYTES, weigh=lambda entry: entry[0]
        )
        self._coming: dict[Digest, asyncio.Task[T]] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def get(self, package: Digest, manifest: Manifest, sources: tuple[str, ...]) -> T:
        """Get what is made of a package's files.

        Args:
            package: The package.
            manifest: Its manifest, which names the files.
            sources: Who serves them (``http://host:port``), best first.

        Raises:
            Refusal: `tokens.no-tokenizer` if the package has none, `tokens.*`, `template.*`.
            Fault: `tokens.unobtainable` if nobody sends a file.
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

    async def run(self, work: Callable[[], R]) -> R:
        """Do what takes a while beside the event loop, in turn."""
        async with self._turns:
            return await asyncio.to_thread(work)

    def _list_files(self, manifest: Manifest) -> tuple[FileEntry, ...]:
        """List the files that are needed. Raises Refusal."""
        return (_find_tokenizer(manifest),)

    def _make(self, manifest: Manifest, files: tuple[bytes, ...], /) -> T:
        """Make it of them. Raises Refusal."""
        raise NotImplementedError

    async def _fetch(self, package: Digest, manifest: Manifest, sources: tuple[str, ...]) -> T:
        entries = self._list_files(manifest)
        files = tuple([await _get_from(sources, package, entry) for entry in entries])
        made = await self.run(lambda: self._make(manifest, files))
        self._kept.put(package, (sum(map(len, files)), made))
        return made


class TokenShelf(_Shelf[TextTokenizer]):
    """Tokenizers of models that read texts."""

    async def encode(
        self, tokenizer: TextTokenizer, texts: tuple[str, ...]
    ) -> tuple[tuple[tuple[int, ...], bool], ...]:
        """Turn texts into token ids, and say of each whether it was cut.

        Raises:
            Refusal: as `probatum.runtime.tokens.TextTokenizer.encode`.
        """
        found = await self.run(lambda: tokenizer.encode(texts))
        return tuple((one.ids, one.is_cut) for one in found)

    def _make(self, manifest: Manifest, files: tuple[bytes, ...], /) -> TextTokenizer:
        return TextTokenizer(files[0], max_tokens=manifest.max_tokens)


class ChatShelf(_Shelf["ChatTokenizer"]):
    """Tokenizers and chat templates of models that write texts (`TEXT-1`)."""

    async def encode_texts(
        self, tokenizer: ChatTokenizer, texts: tuple[str, ...]
    ) -> tuple[tuple[int, ...], ...]:
        """Turn texts into tokens as they are.

        Raises:
            Refusal: as `probatum.runtime.text.chat.ChatTokenizer.encode_text`.
        """

        def encode() -> tuple[tuple[int, ...], ...]:
            return tuple(map(tokenizer.encode_text, texts))

        if sum(map(len, texts)) <= _SHORT_CHARS:
            return encode()
        return await self.run(encode)

    async def encode_chat(
        self, tokenizer: ChatTokenizer, turns: tuple[tuple[str, str], ...]
    ) -> tuple[int, ...]:
        """Turn a conversation, (role, content) each, into the tokens that a model goes on from.

        Raises:
            Refusal: as `probatum.runtime.text.chat.ChatTokenizer.encode_chat`.
        """
        from probatum.runtime.text.template import ChatMessage  # noqa: PLC0415 - costs start-up

        messages = tuple(ChatMessage(role=role, content=content) for role, content in turns)
        if sum(len(content) for _, content in turns) <= _SHORT_CHARS:
            try:
                return tokenizer.encode_chat(messages, work=_SHORT_WORK)
            except Refusal as refusal:
                if refusal.code != "template.too-much":
                    raise
        return await self.run(lambda: tokenizer.encode_chat(messages))

    def _list_files(self, manifest: Manifest) -> tuple[FileEntry, ...]:
        tokenizer = _find_tokenizer(manifest)
        path = manifest.language.template if manifest.language else None
        template = next((one for one in manifest.files if one.path == path), None)
        if template is None:
            return (tokenizer,)
        if template.size > _TEMPLATE_BYTES:
            raise Refusal("template.bad-form", f"it has more than {_TEMPLATE_BYTES} bytes")
        return (tokenizer, template)

    def _make(self, _: Manifest, files: tuple[bytes, ...], /) -> ChatTokenizer:
        # Both libraries cost start-up, and most gateways never need them.
        from probatum.runtime.text.chat import ChatTokenizer  # noqa: PLC0415

        try:
            template = files[1].decode() if len(files) > 1 else None
        except UnicodeDecodeError:
            raise Refusal("template.bad-form", "it is no UTF-8") from None
        return ChatTokenizer(files[0], template)


def _find_tokenizer(manifest: Manifest) -> FileEntry:
    entry = next((one for one in manifest.files if one.path == manifest.tokenizer), None)
    if entry is None:
        raise Refusal(
            "tokens.no-tokenizer",
            "this model's package brings no tokenizer",
            hint="send token ids instead of text",
        )
    if entry.size > TOKENIZER_BYTES:
        raise Refusal("tokens.too-large", f"a tokenizer has at most {TOKENIZER_BYTES} bytes")
    return entry


async def _get_from(sources: tuple[str, ...], package: Digest, entry: FileEntry) -> bytes:
    for source in sources:
        data = await _get(file_url(source, package, entry.path), entry)
        if data is not None:
            return data
    raise Fault("tokens.unobtainable", f"nobody who offers this model sends its {entry.path}")


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
