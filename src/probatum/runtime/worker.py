"""A pool of threads that compute: bounded queue in, callbacks out.

The engine lets go of the interpreter while it computes, so an event loop beside the pool stays
awake. When a thread is free it takes the oldest job and whatever waits that may be joined with
it: nobody waits for company. Callbacks run on the pool's threads; an event loop's owner hands in
one that goes through `call_soon_threadsafe`. Must not know event loops, roles or the ledger.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, TypeAlias

from probatum.errors import Fault, ProbatumError, Refusal
from probatum.protocol.primitives import Digest
from probatum.protocol.tensors import Tensor
from probatum.runtime.batching import choose_rows, compute_batch_key, count_rows, join, split
from probatum.runtime.engine import EngineOptions, Stop
from probatum.runtime.limits import PoolLimits, RequestLimits, check_request
from probatum.runtime.sessions import LoadPackage, Session, SessionCache

__all__ = ["ComputePool", "Done", "Outcome"]

Outcome: TypeAlias = tuple[Tensor, ...] | ProbatumError
"""What became of a job: every output, or why there is none."""
Done: TypeAlias = Callable[[Outcome], None]
"""Takes the outcome, once, on a thread of the pool; must return soon and raise nothing."""

_WATCH_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Job:
    package: Digest
    tensors: tuple[Tensor, ...]
    done: Done
    size_bytes: int
    exact: bool
    batch_key: Hashable | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A job whose inputs were checked."""

    job: _Job
    dims: dict[str, int]


class ComputePool:
    """Threads, the sessions that they share, and a queue of jobs."""

    def __init__(
        self,
        load: LoadPackage,
        *,
        threads: int = 1,
        options: EngineOptions | None = None,
        request_limits: RequestLimits | None = None,
        pool_limits: PoolLimits | None = None,
    ) -> None:
        """Start the threads.

        Args:
            load: Gives a package's manifest and model by digest.
            threads: How many jobs run side by side.
            options: How a session computes.
            request_limits: What one request may cost.
            pool_limits: What the pool may hold.
        """
        self._request_limits = request_limits or RequestLimits()
        self._pool_limits = pool_limits or PoolLimits()
        self._sessions = SessionCache(
            load,
            limit_bytes=self._pool_limits.session_bytes,
            options=options or EngineOptions(),
            limits=self._request_limits,
        )
        self._sessions_lock = threading.Lock()
        self._changed = threading.Condition()
        self._queue: deque[_Job] = deque()
        self._waiting_bytes = 0
        self._row_seconds: dict[Digest, float] = {}
        self._running: dict[int, tuple[float, Stop]] = {}
        self._closing = threading.Event()
        targets = [self._work] * threads + [self._watch]
        self._threads = [
            threading.Thread(target=target, name=f"compute-{number}", daemon=True)
            for number, target in enumerate(targets)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, package: Digest, tensors: tuple[Tensor, ...], done: Done) -> None:
        """Queue a job.

        Args:
            package: The package whose model is to run.
            tensors: Every input, in the manifest's order.
            done: Called once with the outcome.

        Raises:
            Refusal: `runtime.busy`, `runtime.closing`, `runtime.too-large`, `tensor.*`.
        """
        self._queue_job(package, tensors, done, exact=False)

    def submit_exact(self, package: Digest, tensors: tuple[Tensor, ...], done: Done) -> None:
        """Queue a job of class `exact` (`EXACT-1`); arguments and errors as `submit`."""
        self._queue_job(package, tensors, done, exact=True)

    def _queue_job(
        self, package: Digest, tensors: tuple[Tensor, ...], done: Done, *, exact: bool
    ) -> None:
        size = check_request(tensors, self._request_limits)
        job = _Job(
            package=package,
            tensors=tensors,
            done=done,
            size_bytes=size,
            exact=exact,
            batch_key=None if exact else compute_batch_key(tensors),
        )
        with self._changed:
            if self._closing.is_set():
                raise Refusal("runtime.closing", "this node is shutting down")
            if (
                len(self._queue) >= self._pool_limits.jobs
                or self._waiting_bytes + size > self._pool_limits.waiting_bytes
            ):
                raise Refusal(
                    "runtime.busy",
                    f"{len(self._queue)} requests wait already",
                    hint="ask again in a moment, or ask another node",
                )
            self._queue.append(job)
            self._waiting_bytes += size
            self._changed.notify()

    def count_waiting(self) -> int:
        """Count the jobs that wait."""
        with self._changed:
            return len(self._queue)

    def warm(self, package: Digest, *, exact: bool = False) -> None:
        """Load a package's session now, on the caller's thread.

        Raises:
            Refusal: Those of `SessionCache.get`.
            Fault: Those of `SessionCache.get`.
        """
        self._get_session(package, exact=exact)

    def close(self) -> None:
        """Refuse what waits, end what runs, and return when no thread is left."""
        with self._changed:
            self._closing.set()
            abandoned = list(self._queue)
            self._queue.clear()
            for _, stop in self._running.values():
                stop.stop()
            self._changed.notify_all()
        for job in tuple(abandoned):
            _deliver(abandoned, job, Refusal("runtime.closing", "this node is shutting down"))
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while batch := self._take():
            try:
                self._compute(batch)
            except Exception as error:  # noqa: BLE001 - a thread's outermost loop
                fault = Fault("runtime.broken", f"{type(error).__name__}: {error}", retryable=False)
                for job in tuple(batch):
                    _deliver(batch, job, fault)

    def _take(self) -> list[_Job]:
        """Wait for the oldest job and take what can be joined with it; nothing on closing."""
        with self._changed:
            while not self._queue and not self._closing.is_set():
                self._changed.wait()
            if self._closing.is_set():
                return []
            batch = [self._queue.popleft()]
            if batch[0].batch_key is not None:
                self._take_company(batch)
            self._waiting_bytes -= sum(job.size_bytes for job in batch)
            return batch

    def _take_company(self, batch: list[_Job]) -> None:
        first = batch[0]
        rows = count_rows(first.tensors)
        most = choose_rows(
            self._row_seconds.get(first.package),
            most_rows=self._pool_limits.batch_rows,
            most_seconds=self._pool_limits.batch_seconds,
        )
        stay: deque[_Job] = deque()
        while self._queue and rows < most:
            job = self._queue.popleft()
            fits = job.package == first.package and job.batch_key == first.batch_key
            if fits and rows + count_rows(job.tensors) <= most:
                batch.append(job)
                rows += count_rows(job.tensors)
            else:
                stay.append(job)
        stay.extend(self._queue)
        self._queue = stay

    def _get_session(self, package: Digest, *, exact: bool) -> Session:
        with self._sessions_lock:
            return self._sessions.get(package, exact=exact)

    def _compute(self, batch: list[_Job]) -> None:
        """Compute jobs of one package and key, together if that goes well; empties the list."""
        try:
            session = self._get_session(batch[0].package, exact=batch[0].exact)
        except ProbatumError as error:
            for job in tuple(batch):
                _deliver(batch, job, error)
            return
        ready = []
        for job in tuple(batch):
            try:
                ready.append(_Ready(job=job, dims=session.check_inputs(job.tensors)))
            except Refusal as refusal:
                _deliver(batch, job, refusal)
        if len(ready) > 1 and session.is_batchable:
            try:
                answers = self._run_joined(session, ready)
            except ProbatumError:
                pass  # One of them is to blame; alone, each gets what it deserves.
            else:
                for each, answer in zip(ready, answers, strict=True):
                    _deliver(batch, each.job, answer)
                return
        for each in ready:
            _deliver(batch, each.job, self._run_one(session, each))

    def _run_joined(self, session: Session, ready: list[_Ready]) -> tuple[tuple[Tensor, ...], ...]:
        rows = [count_rows(each.job.tensors) for each in ready]
        name = session.manifest.batch_dim or ""
        joined = join([each.job.tensors for each in ready])
        outputs = self._run_watched(session, joined, {**ready[0].dims, name: sum(rows)})
        return split(outputs, rows)

    def _run_one(self, session: Session, each: _Ready) -> Outcome:
        try:
            return self._run_watched(session, each.job.tensors, each.dims)
        except ProbatumError as error:
            return error

    def _run_watched(
        self, session: Session, tensors: tuple[Tensor, ...], dims: dict[str, int]
    ) -> tuple[Tensor, ...]:
        stop = Stop()
        me = threading.get_ident()
        with self._changed:
            if self._closing.is_set():
                raise Refusal("runtime.closing", "this node is shutting down")
            start = time.monotonic()
            self._running[me] = (start + self._request_limits.seconds, stop)
        try:
            outputs = session.run_checked(tensors, dims, stop)
        finally:
            with self._changed:
                del self._running[me]
        if session.is_batchable and (rows := count_rows(tensors)):
            self._learn(session.package, (time.monotonic() - start) / rows)
        return outputs

    def _learn(self, package: Digest, row_seconds: float) -> None:
        """Keep the fastest that was seen, fading: a busy machine makes single runs look slow."""
        with self._changed:
            before = self._row_seconds.get(package, row_seconds)
            self._row_seconds[package] = min(row_seconds, before * 1.05)

    def _watch(self) -> None:
        """Stop what runs over its time; asleep most of the time."""
        while not self._closing.wait(_WATCH_SECONDS):
            now = time.monotonic()
            with self._changed:
                for deadline, stop in self._running.values():
                    if now > deadline:
                        stop.stop()


def _deliver(batch: list[_Job], job: _Job, outcome: Outcome) -> None:
    """Hand over an outcome, once: the job leaves the list first."""
    batch.remove(job)
    # An event loop that has been closed says so this way; then nobody is waiting any more.
    with contextlib.suppress(RuntimeError):
        job.done(outcome)
