"""Jobs in processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Generator, Iterable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import cv2
import torch

from engine.batch.spec import Models, Outcome, Spec, run
from engine.errors import EngineError

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

HOPELESS = 10
"""Processes that may die before the first job has an outcome at all."""
PATIENCE = 3.0
"""Seconds that a process has to clean up before it is killed."""


class Local:
    """An :class:`engine.batch.executor.Executor`: one job after the other in this process, or several at a time in as
    many processes. With CUDA they take turns with the devices that there are."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def finished(self, jobs: Iterable[Spec]) -> Generator[Outcome, None, None]:
        if self.workers > 1:
            yield from self._in_processes(iter(jobs))
            return
        models, threads = Models(), (torch.get_num_threads(), cv2.getNumThreads())
        try:
            for spec in jobs:
                yield run(spec, models)
        finally:
            torch.set_num_threads(threads[0])
            cv2.setNumThreads(threads[1])

    def _in_processes(self, jobs: Iterator[Spec]) -> Generator[Outcome, None, None]:
        busy: dict[Connection, _Worker] = {}
        again: list[Spec] = []
        died: set[int] = set()  # jobs whose process died, for which they need not be to blame
        deaths = 0  # before the first outcome

        def give(worker: _Worker | None, number: int) -> None:
            spec = again.pop() if again else next(jobs, None)
            if spec is not None:
                worker = worker or _Worker(number)
                worker.give(spec)
                busy[worker.pipe] = worker
            elif worker is not None:
                worker.end()

        try:
            for number in range(self.workers):
                give(None, number)
            while busy:
                ready = wait(list(busy))
                for worker in [each for pipe, each in busy.items() if pipe in ready]:
                    del busy[worker.pipe]
                    spec, outcome = worker.spec, worker.outcome()
                    if outcome is None:
                        worker.end()
                        deaths += 1
                        if deaths == HOPELESS:
                            raise worker.why()
                        if spec.number in died:
                            outcome = Outcome.failed(spec.number, worker.why())
                        else:
                            died.add(spec.number)
                            again.append(spec)
                    else:
                        deaths = HOPELESS  # from now on it is the jobs
                    give(None if worker.is_dead else worker, worker.number)
                    if outcome is not None:
                        yield outcome
        finally:
            for worker in busy.values():
                worker.process.terminate()
            for worker in busy.values():
                worker.end()


class _Worker:
    """A process, and the job that it has."""

    spec: Spec

    def __init__(self, number: int) -> None:
        self.number, self.is_dead = number, False
        names = cuda_devices()
        device = names[number % len(names)] if names else None
        context = _context()
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, device), daemon=True)
        with _interrupts_held():
            self.process.start()
        theirs.close()

    def give(self, spec: Spec) -> None:
        self.spec = spec
        with contextlib.suppress(OSError):  # that it died is found out when it should answer
            self.pipe.send(spec)

    def outcome(self) -> Outcome | None:
        """How the job that it had ended; None if it died."""
        try:
            found: Outcome = self.pipe.recv()
        except (EOFError, OSError):
            self.is_dead = True
            return None
        return found

    def why(self) -> EngineError:
        code = self.process.exitcode
        how = f"signal {-code}" if code is not None and code < 0 else f"status {code}"
        return EngineError(
            "worker_died",
            f"The process that painted it ended with {how}, perhaps because memory ran out; use fewer --workers.",
        )

    def end(self) -> None:
        """Let it end, by force after a while; what it was writing goes."""
        self.pipe.close()
        self.process.join(PATIENCE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        for left in Path(self.spec.output).parent.glob(f".repaint-{self.process.pid}-*"):
            left.unlink(missing_ok=True)


def _context() -> ForkServerContext | SpawnContext:
    """How processes begin: on Linux as copies of one that has loaded the engine and done nothing else, so that each
    next one takes a tenth of a second of the processor in place of one or two; elsewhere anew."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _work(pipe: Connection, device: str | None) -> None:
    """The life of a process: a job comes, its outcome goes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    models = Models()
    with contextlib.suppress(EOFError, OSError):  # nobody is there any more
        while True:
            pipe.send(run(pipe.recv(), models))


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(1)


def cuda_devices() -> list[str]:
    """The CUDA devices here, as CUDA_VISIBLE_DEVICES names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    number = torch.cuda.device_count()
    return visible.split(",")[:number] if visible else [str(each) for each in range(number)]


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl+C waits, and a process that is started meanwhile never hears of it: only its parent decides."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # when that is started, SIGINT is let through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
