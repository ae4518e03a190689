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
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from probatum.errors import Fault, ProbatumError, Refusal
from probatum.protocol.primitives import Digest
from probatum.protocol.tensors import Tensor
from probatum.runtime.batching import Joining, compute_batch_key, join, split
from probatum.runtime.engine import EngineOptions, Stop
from probatum.runtime.kept_answers import KeptAnswers, compute_question
from probatum.runtime.limits import PoolLimits, RequestLimits, check_request
from probatum.runtime.pace import Pace, ShortRuns, TriedRuns
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
    rows: int

    @property
    def model(self) -> tuple[Digest, bool]:
        """Which session is to compute it."""
        return self.package, self.exact


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A job whose inputs were checked; its question is named if answers are kept."""

    job: _Job
    dims: dict[str, int]
    question: Digest | None


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
        self._exact_runs = 0
        self._kept = KeptAnswers(self._pool_limits.kept_bytes)
        self._joinings: dict[tuple[Digest, bool], Joining | None] = {}
        self._paces: dict[tuple[Digest, bool], Pace] = {}
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
        key, rows = self._read_rows((package, exact), tensors)
        job = _Job(
            package=package,
            tensors=tensors,
            done=done,
            size_bytes=size,
            exact=exact,
            batch_key=key,
            rows=rows,
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

    def _read_rows(
        self, model: tuple[Digest, bool], tensors: tuple[Tensor, ...]
    ) -> tuple[Hashable | None, int]:
        """Read a request's batch key and rows; before its session is there, rows come first."""
        joining = self._joinings.get(model)
        if joining is None and model in self._joinings:
            return None, 0
        axes = joining.inputs if joining is not None else (0,) * len(tensors)
        key = compute_batch_key(tensors, axes)
        return key, tensors[0].shape[axes[0]] if key is not None and tensors else 0

    def count_waiting(self) -> int:
        """Count the jobs that wait."""
        with self._changed:
            return len(self._queue)

    def get_counts(self) -> Mapping[str, float]:
        """Get what happened so far, for whoever measures: names end in ``_total``."""
        told, missed = self._kept.counts
        return {
            "exact_runs_total": self._exact_runs,
            "exact_kept_answers_told_total": told,
            "exact_kept_answers_missed_total": missed,
        }

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
                for job in tuple(batch):
                    _deliver(batch, job, _make_fault(error))

    def _take(self) -> list[_Job]:
        """Wait for the oldest job and take what can be joined with it; nothing on closing."""
        with self._changed:
            while not self._queue and not self._closing.is_set():
                self._changed.wait()
            if self._closing.is_set():
                return []
            batch = [self._queue.popleft()]
            if batch[0].rows:
                self._take_company(batch)
            self._waiting_bytes -= sum(job.size_bytes for job in batch)
            return batch

    def _take_company(self, batch: list[_Job]) -> None:
        first = batch[0]
        rows = first.rows
        pace = self._paces.get(first.model)
        most = pace.choose() if pace is not None else 1
        stay: deque[_Job] = deque()
        while self._queue and rows < most:
            job = self._queue.popleft()
            fits = job.model == first.model and job.batch_key == first.batch_key
            if fits and rows + job.rows <= most:
                batch.append(job)
                rows += job.rows
            else:
                stay.append(job)
        stay.extend(self._queue)
        self._queue = stay

    def _get_session(self, package: Digest, *, exact: bool) -> Session:
        with self._sessions_lock:
            session = self._sessions.get(package, exact=exact)
        self._joinings[package, exact] = session.joining
        return session

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
                each = self._check(session, job)
                known = self._kept.find(each.question) if each.question is not None else None
            except Refusal as refusal:
                _deliver(batch, job, refusal)
                continue
            if known is not None:
                _deliver(batch, job, known)
            else:
                ready.append(each)
        joining = session.joining
        if joining is not None and len(ready) > 1 and _fit(ready, joining):
            answers = self._try_joined(session, joining, ready)
            if answers is not None:
                for each, answer in zip(ready, answers, strict=True):
                    self._finish(batch, each, answer)
                return
        for each in ready:
            self._finish(batch, each, self._run_one(session, each))

    def _check(self, session: Session, job: _Job) -> _Ready:
        dims = session.check_inputs(job.tensors)
        is_kept = job.exact and self._kept.is_on
        question = compute_question(job.package, job.tensors) if is_kept else None
        return _Ready(job=job, dims=dims, question=question)

    def _finish(self, batch: list[_Job], each: _Ready, outcome: Outcome) -> None:
        if each.question is not None and isinstance(outcome, tuple):
            self._kept.keep(each.question, outcome)
        _deliver(batch, each.job, outcome)

    def _try_joined(
        self, session: Session, joining: Joining, ready: list[_Ready]
    ) -> tuple[tuple[Tensor, ...], ...] | None:
        """Compute jobs together; None if that fails, whatever the reason.

        One of them may be to blame, or all for being too many; alone, each gets what it deserves.
        That it cost two runs for one is learned, or the next would try as many again.
        """
        start = time.monotonic()
        try:
            return self._run_joined(session, joining, ready)
        except Exception:  # noqa: BLE001 - a bug that one job meets is not the others' outcome
            taken = time.monotonic() - start
            with self._changed:
                pace = self._get_pace(session, joining)
                pace.fail(sum(each.dims[joining.dim] for each in ready), taken)
            return None

    def _run_joined(
        self, session: Session, joining: Joining, ready: list[_Ready]
    ) -> tuple[tuple[Tensor, ...], ...]:
        rows = [each.dims[joining.dim] for each in ready]
        joined = join([each.job.tensors for each in ready], joining.inputs)
        outputs = self._run_watched(session, joined, {**ready[0].dims, joining.dim: sum(rows)})
        return split(outputs, rows, joining.outputs)

    def _run_one(self, session: Session, each: _Ready) -> Outcome:
        try:
            return self._run_watched(session, each.job.tensors, each.dims)
        except ProbatumError as error:
            return error
        except Exception as error:  # noqa: BLE001 - those that it came with still have their turn
            return _make_fault(error)

    def _run_watched(
        self, session: Session, tensors: tuple[Tensor, ...], dims: dict[str, int]
    ) -> tuple[Tensor, ...]:
        stop = Stop()
        me = threading.get_ident()
        with session.turn:  # a run's time begins when it does
            with self._changed:
                if self._closing.is_set():
                    raise Refusal("runtime.closing", "this node is shutting down")
                start = time.monotonic()
                self._exact_runs += session.is_exact
                self._running[me] = (start + self._request_limits.seconds, stop)
            try:
                outputs = session.run_checked(tensors, dims, stop)
            finally:
                with self._changed:
                    del self._running[me]
            taken = time.monotonic() - start
        joining = session.joining
        if joining is not None and (rows := dims[joining.dim]):
            with self._changed:
                self._get_pace(session, joining).learn(rows, taken)
        return outputs

    def _get_pace(self, session: Session, joining: Joining) -> Pace:
        model = (session.package, session.is_exact)
        if model not in self._paces:
            limits = self._pool_limits
            most = min(limits.batch_rows, joining.most_rows)
            self._paces[model] = (
                TriedRuns(most_rows=most, most_seconds=limits.exact_seconds)
                if session.is_exact
                else ShortRuns(most_rows=most, most_seconds=limits.batch_seconds)
            )
        return self._paces[model]

    def _watch(self) -> None:
        """Stop what runs over its time; asleep most of the time."""
        while not self._closing.wait(_WATCH_SECONDS):
            now = time.monotonic()
            with self._changed:
                for deadline, stop in self._running.values():
                    if now > deadline:
                        stop.stop()


def _make_fault(error: Exception) -> Fault:
    return Fault("runtime.broken", f"{type(error).__name__}: {error}", retryable=False)


def _fit(ready: list[_Ready], joining: Joining) -> bool:
    """Whether checked jobs make one run: alike but for their rows, and not too many of those."""
    others = {tuple(sorted({**each.dims, joining.dim: 0}.items())) for each in ready}
    return len(others) == 1 and sum(each.dims[joining.dim] for each in ready) <= joining.most_rows


def _deliver(batch: list[_Job], job: _Job, outcome: Outcome) -> None:
    """Hand over an outcome, once: the job leaves the list first."""
    batch.remove(job)
    # An event loop that has been closed says so this way; then nobody is waiting any more.
    with contextlib.suppress(RuntimeError):
        job.done(outcome)
