"""A batch in a Ray cluster: an actor on each seat, each running one job at a time with the models that it holds.

Files travel by their names: pictures, masks and outputs lie where every node finds them under the same path.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from pathlib import Path
from typing import Any

from engine import cluster
from engine.batch.spec import Models, Outcome, Spec, run
from engine.cluster import Seat, Share
from engine.errors import BadInput, EngineError
from engine.models import digest, find
from engine.tasks import model_id
from engine.version import __version__

log = logging.getLogger(__name__)

ATTEMPTS = 3
RAMP = 8
"""Actors that are started although nobody knows yet whether there are jobs for them."""
LOOK_SECONDS = 3.0  # between two looks at what the cluster has
QUIET_SECONDS = 30.0  # without a worker, until that is said
HEAD_SECONDS = 8.0  # until a head that does not answer is taken for dead

DIED = "The worker of this job died {count} times: try a smaller picture or another model, or see Ray's logs."
NOBODY = "No node of the Ray cluster can work: {reason}"
NO_SEATS = "it has no GPU and no processor to work on; add a node."
FULL = (
    "No worker of the Ray cluster is there yet: others may have all of its GPUs or processors. This waits for one; "
    "Ctrl+C ends it."
)
LOST = "The Ray cluster no longer answers: start it again, then run the same command; what is done stays done."
OTHER = "node {host} has RePaint Bridge {found}, this computer {version}; install the same version there."
WEIGHTS = "the model {model} on node {host} is missing or not the one of this computer; copy its folder there."
CANNOT = "the engine cannot start on node {host} ({reason}); install RePaint Bridge {version} there, where Ray runs."


def _weights(model: str) -> str:
    """The digest of a model's weights; "" if it is not here."""
    try:
        info = find(model)
    except BadInput:
        return ""
    return digest(info) if info.installed else ""


class Painter:
    """The actor."""

    def __init__(self) -> None:
        self._models = Models()

    def join(self) -> tuple[str, int]:
        """The project's version, and the process id."""
        return __version__, os.getpid()

    def run(self, spec: Spec, model: str, weights: str) -> Outcome | None:
        """The job's outcome; None if the model is not here or has other ``weights`` (a digest; "" takes any)."""
        if weights and _weights(model) != weights:
            return None
        return run(spec, self._models)


class OnRay:
    """An :class:`engine.batch.Executor`. Enters the cluster at once; ``workers`` is what it has then.

    Seats that come later are used as well. A job whose actor or node dies is run again, at most :data:`ATTEMPTS` times.

    Args:
        stopping: whether no further job is to be begun; asked while none is in progress because no actor is there yet.

    Raises:
        EngineError: as :func:`engine.cluster.enter`; ``ray_nobody`` where nothing in the cluster can work.
    """

    def __init__(
        self,
        address: str,
        without_token: bool = False,
        share: Share | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._share, self._stopping = share or Share(), stopping
        self._actors: dict[Seat, Any] = {}
        self._joining: dict[Any, Seat] = {}
        self._pids: dict[Seat, int] = {}
        self._idle: list[Seat] = []
        self._unfit: dict[Seat, str] = {}
        self._weights: dict[str, str] = {}  # of this computer's models
        self._looked = 0.0
        self._looker = ThreadPoolExecutor(1, "ray-nodes")
        cluster.enter(address, without_token)
        self.workers = len(self._seats())
        if not self.workers:
            self._end()
            raise EngineError("ray_nobody", NOBODY.format(reason=NO_SEATS))

    def finished(self, jobs: Iterable[Spec]) -> Generator[Outcome, None, None]:
        """As the protocol says. Raises EngineError ``ray_nobody`` or ``ray_lost``."""
        import ray

        waiting, again, more = iter(jobs), deque[Spec](), True
        attempts: dict[int, int] = {}
        running: dict[Any, tuple[Seat, Spec]] = {}
        quiet_from: float | None = time.monotonic()  # None once it was said
        try:
            while True:
                if again or more:
                    self._invite(len(running) + RAMP)
                while self._idle and (again or more):
                    spec = again.popleft() if again else next(waiting, None)
                    if spec is None:
                        more = False
                    else:
                        seat, model = self._idle.pop(), model_id(spec.arguments())
                        reference = self._actors[seat].run.remote(spec, model, self._digest(model))
                        running[reference] = seat, spec
                if not (running or again or more) or (not (running or self._idle) and self._stopping()):
                    return
                if running:
                    quiet_from = time.monotonic()
                elif quiet_from is not None and time.monotonic() - quiet_from > QUIET_SECONDS:
                    log.warning(FULL)
                    quiet_from = None
                if not (running or self._joining):
                    raise EngineError("ray_nobody", NOBODY.format(reason=self._why()))
                for reference in ray.wait([*running, *self._joining], timeout=LOOK_SECONDS)[0]:
                    if reference in self._joining:
                        self._joined(reference)
                        continue
                    seat, spec = running.pop(reference)
                    try:
                        outcome = ray.get(reference)
                    except ray.exceptions.RayError as error:
                        log.warning("job %d on %s: %s", spec.number, seat.host, error)
                        self._drop(seat)
                        self._tidy(seat, Path(spec.output).parent)
                        attempts[spec.number] = count = attempts.get(spec.number, 0) + 1
                        if count < ATTEMPTS:
                            again.append(spec)
                        else:
                            yield Outcome.failed(spec.number, EngineError("died", DIED.format(count=count), str(error)))
                        continue
                    if outcome is None:
                        self._refuse(seat, WEIGHTS.format(host=seat.host, model=model_id(spec.arguments())))
                        again.append(spec)
                    else:
                        self._idle.append(seat)
                        yield outcome
        finally:
            self._end()

    def _seats(self) -> list[Seat]:
        """Those of the living nodes, asked for every few seconds."""
        import ray

        if time.monotonic() - self._looked > LOOK_SECONDS:
            try:
                nodes = self._looker.submit(ray.nodes).result(HEAD_SECONDS)
            except (Late, ray.exceptions.RayError) as error:
                raise EngineError("ray_lost", LOST, repr(error)) from error
            self._there = cluster.seats(nodes, self._share)
            self._looked = time.monotonic()
        return self._there

    def _invite(self, most: int) -> None:
        """Start actors on seats that have none, as long as no more than so many have nothing to do."""
        import ray

        affinity = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        for seat in self._seats():
            if len(self._joining) + len(self._idle) >= most:
                return
            if seat not in self._actors and seat not in self._unfit:
                options = {
                    "num_cpus": seat.cpus,
                    "num_gpus": seat.gpus,
                    "scheduling_strategy": affinity(seat.node, False),
                }
                self._actors[seat] = ray.remote(Painter).options(**options).remote()
                self._joining[self._actors[seat].join.remote()] = seat

    def _joined(self, reference: Any) -> None:
        """An actor is there, or why it is not."""
        import ray

        seat = self._joining.pop(reference)
        try:
            version, pid = ray.get(reference)
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1][:200]
            self._refuse(seat, CANNOT.format(host=seat.host, reason=reason, version=__version__))
            return
        if version != __version__:
            self._refuse(seat, OTHER.format(host=seat.host, found=version, version=__version__))
            return
        log.info("process %d on %s has joined", pid, seat.host)
        self._pids[seat] = pid
        self._idle.append(seat)

    def _digest(self, model: str) -> str:
        if model not in self._weights:
            self._weights[model] = _weights(model)
        return self._weights[model]

    def _refuse(self, seat: Seat, reason: str) -> None:
        log.warning("not used: %s", reason)
        self._unfit[seat] = reason
        self._drop(seat)

    def _drop(self, seat: Seat) -> None:
        import ray

        ray.kill(self._actors.pop(seat))
        self._looked = 0.0

    def _tidy(self, seat: Seat, folder: Path) -> None:
        """What the dead actor was writing goes, unless the process of another node has the same number."""
        pid = self._pids.pop(seat)
        if pid not in self._pids.values():
            for left in folder.glob(f".repaint-{pid}-*"):
                left.unlink(missing_ok=True)

    def _why(self) -> str:
        return next(iter(self._unfit.values()), NO_SEATS)

    def _end(self) -> None:
        """Leave the cluster: its actors end with this driver."""
        import ray

        self._looker.shutdown(wait=False)
        ray.shutdown()
