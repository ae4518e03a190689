"""A pool of threads that compute: bounded queue in, callbacks out.

The engine lets go of the interpreter while it computes, so an event loop beside the pool stays
awake. When a thread is free it takes the oldest job and whatever waits that may be joined with
it: nobody waits for company. Callbacks run on the pool's threads; an event loop's owner hands in
one that goes through `call_soon_threadsafe`. What takes moments can be had on the spot (`brief`).
Must not know event loops, roles or the ledger.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Hashable, Mapping
from typing import Final

from probatum.errors import Fault, ProbatumError, Refusal
from probatum.protocol.primitives import Digest
from probatum.protocol.tensors import Tensor
from probatum.runtime.batching import Joining, compute_batch_key, join, split
from probatum.runtime.brief import BriefRuns
from probatum.runtime.engine import EngineOptions, Stop
from probatum.runtime.jobs import Done, Job, Outcome, ReadyJob, deliver, do_fit, make_fault
from probatum.runtime.kept_answers import KeptAnswers, compute_question
from probatum.runtime.limits import PoolLimits, RequestLimits, check_request
from probatum.runtime.pace import Pace, ShortRuns, TriedRuns
from probatum.runtime.sessions import LoadPackage, Session, SessionCache

__all__ = ["ComputePool", "Done", "Outcome"]

_WATCH_SECONDS: Final = 0.1
_SPOT_SECONDS: Final = 0.05
"""How long a run on the spot may take before it is ended, and begun again on a thread."""


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
        self._queue: deque[Job] = deque()
        self._waiting_bytes = 0
        self._exact_runs = 0
        self._kept = KeptAnswers(self._pool_limits.kept_bytes)
        self._joinings: dict[tuple[Digest, bool], Joining | None] = {}
        self._paces: dict[tuple[Digest, bool], Pace] = {}
        self._brief = BriefRuns()
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

    def answer(self, package: Digest, tensors: tuple[Tensor, ...]) -> Outcome | None:
        """Compute a job of class `float` at once, on the caller's thread, if that takes moments.

        Args:
            package: The package whose model is to run.
            tensors: Every input, in the manifest's order.

        Returns:
            The outcome; None where it may take longer, or the pool has other work: `submit` it.
        """
        size = sum(len(tensor.data) for tensor in tensors)
        with self._changed:
            if self._queue or self._running or not self._brief.is_brief(package, size):
                return None
        if not self._sessions_lock.acquire(blocking=False):
            return None  # somebody loads a model
        try:
            session = self._sessions.find(package)
        finally:
            self._sessions_lock.release()
        if session is None:
            return None
        try:
            dims = session.check_inputs(tensors)
        except Refusal as refusal:
            return refusal
        outcome = self._run_one(session, tensors, dims, _SPOT_SECONDS)
        if isinstance(outcome, Fault) and outcome.code == "runtime.too-slow":
            with self._changed:
                self._brief.learn(package, size, _SPOT_SECONDS)
            return None
        return outcome

    def _queue_job(
        self, package: Digest, tensors: tuple[Tensor, ...], done: Done, *, exact: bool
    ) -> None:
        size = check_request(tensors, self._request_limits)
        key, rows = self._read_rows((package, exact), tensors)
        job = Job(
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
            deliver(abandoned, job, Refusal("runtime.closing", "this node is shutting down"))
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while batch := self._take():
            try:
                self._compute(batch)
            except Exception as error:  # noqa: BLE001 - a thread's outermost loop
                for job in tuple(batch):
                    deliver(batch, job, make_fault(error))

    def _take(self) -> list[Job]:
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

    def _take_company(self, batch: list[Job]) -> None:
        first = batch[0]
        rows = first.rows
        pace = self._paces.get(first.model)
        most = pace.choose() if pace is not None else 1
        stay: deque[Job] = deque()
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

    def _compute(self, batch: list[Job]) -> None:
        """Compute jobs of one package and key, together if that goes well; empties the list."""
        try:
            session = self._get_session(batch[0].package, exact=batch[0].exact)
        except ProbatumError as error:
            for job in tuple(batch):
                deliver(batch, job, error)
            return
        ready = []
        for job in tuple(batch):
            try:
                each = self._check(session, job)
                known = self._kept.find(each.question) if each.question is not None else None
            except Refusal as refusal:
                deliver(batch, job, refusal)
                continue
            if known is not None:
                deliver(batch, job, known)
            else:
                ready.append(each)
        joining = session.joining
        if joining is not None and len(ready) > 1 and do_fit(ready, joining):
            answers = self._try_joined(session, joining, ready)
            if answers is not None:
                for each, answer in zip(ready, answers, strict=True):
                    self._finish(batch, each, answer)
                return
        for each in ready:
            outcome = self._run_one(
                session, each.job.tensors, each.dims, self._request_limits.seconds
            )
            self._finish(batch, each, outcome)

    def _check(self, session: Session, job: Job) -> ReadyJob:
        dims = session.check_inputs(job.tensors)
        is_kept = job.exact and self._kept.is_on
        question = compute_question(job.package, job.tensors) if is_kept else None
        return ReadyJob(job=job, dims=dims, question=question)

    def _finish(self, batch: list[Job], each: ReadyJob, outcome: Outcome) -> None:
        if each.question is not None and isinstance(outcome, tuple):
            self._kept.keep(each.question, outcome)
        deliver(batch, each.job, outcome)

    def _try_joined(
        self, session: Session, joining: Joining, ready: list[ReadyJob]
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
        self, session: Session, joining: Joining, ready: list[ReadyJob]
    ) -> tuple[tuple[Tensor, ...], ...]:
        rows = [each.dims[joining.dim] for each in ready]
        joined = join([each.job.tensors for each in ready], joining.inputs)
        dims = {**ready[0].dims, joining.dim: sum(rows)}
        outputs = self._run_watched(session, joined, dims, self._request_limits.seconds)
        return split(outputs, rows, joining.outputs)

    def _run_one(
        self, session: Session, tensors: tuple[Tensor, ...], dims: dict[str, int], seconds: float
    ) -> Outcome:
        try:
            return self._run_watched(session, tensors, dims, seconds)
        except ProbatumError as error:
            return error
        except Exception as error:  # noqa: BLE001 - those that it came with still have their turn
            return make_fault(error)

    def _run_watched(
        self, session: Session, tensors: tuple[Tensor, ...], dims: dict[str, int], seconds: float
    ) -> tuple[Tensor, ...]:
        stop = Stop()
        me = threading.get_ident()
        with session.turn:  # a run's time begins when it does
            with self._changed:
                if self._closing.is_set():
                    raise Refusal("runtime.closing", "this node is shutting down")
                start = time.monotonic()
                self._exact_runs += session.is_exact
                self._running[me] = (start + seconds, stop)
            begun = time.thread_time()
            try:
                outputs = session.run_checked(tensors, dims, stop)
                used = time.thread_time() - begun
            finally:
                with self._changed:
                    del self._running[me]
            taken = time.monotonic() - start
        joining = session.joining
        with self._changed:
            if not session.is_exact:
                size = sum(len(tensor.data) for tensor in tensors)
                self._brief.learn(session.package, size, used)
            if joining is not None and (rows := dims[joining.dim]):
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
