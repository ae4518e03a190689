"""The engine beside a full node: its ABCI calls answered, its commits fetched as seals (`SEAL-1`).

For a machine this is a transport with one endpoint: what is sent there is handed to the engine;
blocks come back as events. The store has one writer thread; the event loop goes on meanwhile. When
the application breaks, the process must end: the engine counts on its every answer. Must not know
what blocks hold, nor machines.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

from probatum.consensus.chain.sqlite_store import SqliteStore
from probatum.consensus.cometbft.adapter import Adapter
from probatum.consensus.cometbft.adapter_settings import AdapterSettings
from probatum.consensus.cometbft.light.seals import seal_header
from probatum.consensus.cometbft.server import Server
from probatum.consensus.cometbft.tip import Applied
from probatum.consensus.engine import Row
from probatum.errors import Fault, Misuse, Refusal
from probatum.ledger.genesis import Genesis
from probatum.machine.events import BlockFinal
from probatum.machine.wishes import Report
from probatum.nodes.shell.attack_reports import report_attack
from probatum.nodes.shell.drive import Driver
from probatum.nodes.shell.engine_rpc import EngineRpc
from probatum.nodes.shell.snapshots import KEPT, SnapshotShelf
from probatum.protocol.headers import Header, SignedHeader
from probatum.protocol.messages import Message, Noted, Refused, ReportAttack, Submit

__all__ = ["EngineLink"]

_SEAL_S: Final = 5.0
_PATIENCE_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Waits between two tries for one seal: an engine that starts has no RPC for some seconds."""
_AGAIN_S: Final = 0.25
_RETRYABLE: Final = frozenset({"light.not-yet", "mempool.full"})
_TELL_AFTER: Final = len(_PATIENCE_S)


class EngineLink:
    """Joins one application, its engine and the party's driver.

    Attributes:
        adapter: The application.
    """

    def __init__(
        self,
        *,
        store: SqliteStore,
        genesis: Genesis,
        socket: Path,
        rpc_port: int,
        report: Callable[[Report], None],
        shelf: SnapshotShelf | None = None,
        snapshot_blocks: int = 0,
        settings: AdapterSettings | None = None,
    ) -> None:
        """Open the application; `begin` opens its socket.

        Args:
            store: Where the chain is kept.
            genesis: The genesis document.
            socket: The path that the engine connects to.
            rpc_port: Where the engine is asked, on this machine.
            report: Is told what becomes of the engine.
            shelf: Where snapshots are kept.
            snapshot_blocks: One is made at each height that is a multiple of this; 0 for none.
            settings: The application's; the blocks since the oldest snapshot are kept in any case.

        Raises:
            Fault: `store.*`.
        """
        self._store = store
        self._report = report
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._committed = asyncio.Event()
        self._counts: dict[int, int] = {}
        # Whoever restores a snapshot is given the blocks after it.
        settings = settings or AdapterSettings()
        keep = settings.keep_blocks and max(settings.keep_blocks, (KEPT + 1) * snapshot_blocks)
        self.adapter = Adapter(
            store=store,
            genesis=genesis,
            settings=replace(settings, keep_blocks=keep),
            write=self._write,
            told=self._take_note,
            shelf=shelf,
            tell=self._tell_refusal,
            work=self._work,
        )
        self._shelf = shelf
        self._snapshot_blocks = snapshot_blocks
        self._snapshot: asyncio.Task[None] | None = None
        self._socket = socket
        self._rpc = EngineRpc(rpc_port)
        self._server: Server | None = None
        self._driver: Driver | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, driver: Driver) -> None:
        """Let the engine connect, and tell a driver of sealed blocks. Needs the event loop."""
        self._driver = driver
        self._server = Server(self.adapter, report=self._tell)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._serve(self._server)), loop.create_task(self._seal())]
        for task in self._tasks:
            task.add_done_callback(self._finish)

    async def converse(
        self, endpoint: str, message: Message, timeout_s: float
    ) -> AsyncGenerator[Message, None]:
        """Hand a transaction or evidence to the engine: `Noted` if it takes it, else `Refused`.

        Raises:
            Misuse: `engine.no-such-message`.
            Fault: `engine.*`.
        """
        try:
            match message:
                case Submit(transaction=transaction):
                    await self._hand_in(transaction, timeout_s)
                case ReportAttack():
                    sealed = self.adapter.sealed
                    await report_attack(self._rpc, sealed.domain, sealed.height, message, timeout_s)
                case _:
                    raise Misuse(
                        "engine.no-such-message", f"{type(message).__name__} for {endpoint}"
                    )
        except Refusal as refusal:
            yield Refused(
                code=refusal.code,
                message=refusal.message[:2_000],
                hint=refusal.hint[:2_000],
                retryable=refusal.code in _RETRYABLE,
            )
        else:
            yield Noted()

    async def _hand_in(self, transaction: bytes, timeout_s: float) -> None:
        """Hand a transaction in; an engine that is being started is waited for."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            try:
                return await self._rpc.hand_in(transaction, deadline - loop.time())
            except Fault as fault:
                left = deadline - loop.time() - _AGAIN_S
                if fault.code != "engine.unreachable" or left <= 0:
                    raise
            await asyncio.sleep(_AGAIN_S)

    async def close(self) -> None:
        """Let the call that is under way come to its end, and hang up."""
        tasks, self._tasks = self._tasks, []
        if self._snapshot is not None:
            tasks.append(self._snapshot)
        if self._server is not None:
            await self._server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._rpc.close()
        self._thread.shutdown(wait=True)

    # ------------------------------------------------------------------------------- the engine

    async def _serve(self, server: Server) -> None:
        await server.open(self._socket)
        await server.wait()

    def _finish(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and self._driver is not None:
            self._driver.fail(error)

    def _tell(self, what: str, why: str) -> None:
        level = "warning" if what == "refused" else "info"
        self._report(Report(level, f"engine.{what}", f"the engine's connection: {what}, {why}"))

    def _tell_refusal(self, refusal: Refusal) -> None:
        self._report(Report("warning", refusal.code, refusal.message))

    async def _write(self, rows: tuple[Row, ...]) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._store.commit, rows)

    async def _work(self, job: Callable[[], None]) -> None:
        """Do what takes long beside the event loop; the store has one writer, which this is."""
        await asyncio.get_running_loop().run_in_executor(self._thread, job)

    def _take_note(self, applied: Applied) -> None:
        self._counts[applied.block.height] = len(applied.block.transactions)
        self._committed.set()
        if self._snapshot_blocks and applied.block.height % self._snapshot_blocks == 0:
            self._begin_snapshot(applied)

    def _begin_snapshot(self, applied: Applied) -> None:
        """Freeze the state now: with the next block the store is another height's."""
        if self._shelf is None or not (self._snapshot is None or self._snapshot.done()):
            return  # the one before takes its time; the next height will do
        try:
            frozen = self._store.freeze()
        except Fault as fault:
            self._report(Report("warning", fault.code, f"no snapshot: {fault.message}"))
            return
        work = asyncio.to_thread(self._shelf.write, applied.header, frozen)
        self._snapshot = asyncio.get_running_loop().create_task(self._take_snapshot(work))

    async def _take_snapshot(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Fault as fault:
            self._report(Report("warning", fault.code, fault.message))

    # ------------------------------------------------------------------------------------ seals

    async def _seal(self) -> None:
        """Seal one header after the other, for ever."""
        sealed = self.adapter.sealed
        while True:
            header = sealed.get_unsealed_header()
            if header is None:
                self._committed.clear()
                await self._committed.wait()
                continue
            signed = await self._fetch(header)
            await self._write(sealed.make_rows(signed))
            sealed.advance(signed)
            assert self._driver is not None, "begun with a driver"
            count = self._counts.pop(header.height, 0)
            self._driver.post(BlockFinal(header.height, count))

    async def _fetch(self, header: Header) -> SignedHeader:
        """Fetch a header's seal, until it is there."""
        tries = 0
        while True:
            try:
                signed = seal_header(header, await self._rpc.get_seal(header.height, _SEAL_S))
            except (Fault, Refusal) as error:
                tries += 1
                if tries == _TELL_AFTER:
                    self._report(
                        Report(
                            "warning",
                            error.code,
                            f"no seal for height {header.height} yet: {error.message}",
                        )
                    )
                await asyncio.sleep(_PATIENCE_S[min(tries, len(_PATIENCE_S)) - 1])
            else:
                return signed
