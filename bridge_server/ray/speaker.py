"""Speaks on the bridge's worker socket for one actor, as one worker.

Frames go through unread, but for those by which the bridge starts, feeds, cancels and gives up a part. An actor is made
when the first part comes, and made again when it has ended, by itself or not: the bridge hears `online` again then, and
has what was lost run again, by its seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import ray
import zmq
import zmq.asyncio
from ray.exceptions import ActorUnavailableError, RayError, TaskCancelledError

from bridge_server import work
from bridge_server.client import messages
from bridge_server.client.checks import shortened
from bridge_server.client.codec import MAX_PAYLOAD, Buffer, decode, encode
from bridge_server.client.errors import WireError
from bridge_server.ray.actor import Batch, Engine, Frames
from bridge_server.worker.line import BEAT_SECONDS, Request
from engine.cluster import NAMESPACE, Seat
from engine.version import __version__

log = logging.getLogger("driver.speaker")

AHEAD = 4  # batches that an actor may have ready before they are read
WAITING = 8  # messages on their way to the bridge, before nothing more is read from the actor
RESTARTS = 3
DEATHS = 3  # of actors with the same job in hand, after which it is not tried again
JOIN_SECONDS = 180.0  # until an actor must have imported the engine and loaded its first model
FREE_SECONDS = 10.0  # until a node that has just come, or got its share back, must be known to have it
AGAIN_SECONDS = 30.0  # until a node that did not do is asked again

CRASHED = "The RePaint engine crashed again and again on this picture: try a smaller selection or another model."
NODE_WITHOUT = "The Ray node {host} has no RePaint Bridge {version}: install it there, where Ray runs."
NODE_OTHER = "The Ray node {host} has RePaint Bridge {found}, this computer {version}: install the same version there."
NODE_FULL = "The Ray node {host} had no free place for the engine: it is tried again soon; find out who else uses it."
NODE_FAILED = "The engine cannot start on the Ray node {host}: see logs/ray.log beside the jobs for the reason."
NODE_NO_ROOM = "The disk of the Ray node {host} is full: make room there, and it is tried again."
NODE_WEIGHTS = (
    "The model {model} on the Ray node {host} is not the one that the other nodes have: copy its folder there again."
)


class Unfit(Exception):
    """This seat will not do now; the sentence says why."""


class Full(Unfit):
    """Others use this seat."""


class OtherModels(Exception):
    """This seat lacks the model that the bridge believed to be there, and has now told what it has."""


@dataclass
class Fleet:
    """What the speakers of one driver share.

    ``first``: what the first actor said when it joined, which is true of all; ``digests``: of the weights of models, by
    their ids, as the first actor that was asked to run them had them.
    """

    address: str
    password: str
    ticket: str
    owner: str
    warm: str
    idle_seconds: float
    first: list[Frames] | None = None
    joining: asyncio.Lock = field(default_factory=asyncio.Lock)
    digests: dict[str, str] = field(default_factory=dict)
    deaths: Counter[str] = field(default_factory=Counter)


class Speaker:
    def __init__(self, fleet: Fleet, seat: Seat) -> None:
        self._fleet, self._seat = fleet, seat
        self.unfit = ""  # why it will not do
        self._told = ""  # of that
        self._engine: Any = None
        self._own: list[Frames] | None = None  # what this actor said when it joined, and what the bridge heard of it
        self._own_told = False
        self._known: set[str] = set()  # models whose weights on this seat are the right ones
        self._request: Request | None = None  # the part in hand
        self._early: list[Frames] = []  # what came for it before it ran
        self._stream: Any = None
        self._loading = False
        self._calls = 0
        self._tasks: set[asyncio.Task[None]] = set()
        context = zmq.asyncio.Context.instance()
        self._socket = context.socket(zmq.DEALER)
        self._socket.plain_username, self._socket.plain_password = b"worker", fleet.password.encode()
        self._socket.sndhwm, self._socket.linger, self._socket.maxmsgsize = WAITING, 500, MAX_PAYLOAD
        self._socket.connect(fleet.address)

    # --------------------------------------------------------------------------------------------------- to the bridge

    async def live(self) -> None:
        """Be a worker until cancelled; a seat that will not do is left for a while."""
        try:
            while True:
                try:
                    await self._come()
                    await asyncio.gather(self._hear(), self._beat())
                except Unfit as error:
                    await self._leave(error)
                await asyncio.sleep(AGAIN_SECONDS)
        finally:
            for task in self._tasks:
                task.cancel()
            await self._say(work.Offline(self._fleet.ticket))
            self._socket.close()

    async def _come(self) -> None:
        async with self._fleet.joining:
            if self._fleet.first is None:
                await self._attached()
        await self._online()

    async def _leave(self, reason: Unfit) -> None:
        sentence, told = str(reason), self._told
        self._told, self.unfit = sentence, "" if isinstance(reason, Full) else sentence
        log.warning("%s", sentence)
        await self._say(work.Offline(self._fleet.ticket, shortened(sentence, 500) if told != sentence else ""))

    async def _online(self) -> None:
        self._finish()
        self._own_told = self._own is not None
        await self._say(work.Online(os.getpid(), self._fleet.ticket))
        first = self._own or self._fleet.first
        assert first is not None
        await self._pass_on(first)

    async def _say(self, message: Any) -> None:
        await self._socket.send_multipart(encode(message))

    async def _pass_on(self, said: Iterable[Frames]) -> None:
        for frames in said:
            await self._socket.send_multipart([memoryview(frame) for frame in frames])

    async def _beat(self) -> None:
        """While the actor does not say so itself."""
        while True:
            if self._stream is None:
                await self._say(work.Beat(0.0, self._loading, self._calls))
            await asyncio.sleep(BEAT_SECONDS)

    # ------------------------------------------------------------------------------------------------- from the bridge

    async def _hear(self) -> None:
        while True:
            frames = await self._socket.recv_multipart()
            try:
                message, payload = decode(frames, work.WORK)
            except WireError as error:
                log.error("unlawful message: %s", error.details)
                continue
            await self._take(message, payload, frames)

    async def _take(self, message: Any, payload: Buffer | None, frames: Frames) -> None:
        request = self._request
        if isinstance(message, work.Start):
            self._request = Request(message)
            for need in self._request.needs():
                await self._say(need)
            self._begin_if_complete()
        elif isinstance(message, work.Quit):
            self._give_up()
            await self._online()
        elif isinstance(message, (messages.Look, work.LookAgain)):
            await self._ask(frames, message)
        elif request is None or request.start.job != message.job:
            return
        elif isinstance(message, work.Input) and payload is not None:
            for need in request.add(message, payload):
                await self._say(need)
            self._begin_if_complete()
        elif isinstance(message, messages.Cancel):
            await self._cancel(request)
        elif self._stream is None:
            self._early.append(frames)
        else:
            await self._ask(frames, message)

    def _begin_if_complete(self) -> None:
        if self._request is not None and self._request.complete:
            self._spawn(self._run(self._request))

    async def _cancel(self, request: Request) -> None:
        request.cancelled = True
        if self._stream is not None:
            ray.cancel(self._stream)
        elif not request.complete:
            self._request = None
            await self._say(work.Idle(request.start.job, "stopped", 0.0, self._calls, 0))

    async def _ask(self, frames: Frames, message: Any) -> None:
        if self._engine is not None:
            self._spawn(self._answered(self._engine, frames))
        elif isinstance(message, messages.Look):
            await self._say(messages.Steps(message.job, message.variant, ()))
        elif isinstance(message, work.LookAgain) and self._fleet.first is not None:
            await self._pass_on(self._fleet.first[:-1])

    def _give_up(self) -> None:
        """What the bridge no longer believes in is ended; Ray starts it anew."""
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
        if self._engine is not None:
            ray.kill(self._engine, no_restart=True)
            self._engine = None

    def _spawn(self, work_to_do: Any) -> None:
        task = asyncio.create_task(work_to_do)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ---------------------------------------------------------------------------------------------------- to the actor

    async def _answered(self, engine: Any, frames: Frames) -> None:
        with contextlib.suppress(RayError):  # its end is noticed elsewhere
            await self._pass_on(await engine.tell.remote(frames))

    async def _run(self, request: Request) -> None:
        """One part, from the actor's first word to its `idle`."""
        engine = None
        try:
            engine = await self._attached()
            await self._check_weights(engine, request.start.order.model)
            if request.cancelled:
                self._finish()
                await self._say(work.Idle(request.start.job, "stopped", 0.0, self._calls, 0))
            else:
                await self._streamed(engine, request)
        except Unfit as error:
            await self._leave(error)
            await asyncio.sleep(AGAIN_SECONDS)
            await self._online()
        except OtherModels:
            await self._online()
        except RayError as error:
            await self._lost(engine, error)
        except Exception:
            log.exception("a part could not be run")
            self._give_up()
            await self._online()
        finally:
            self._loading = False

    async def _streamed(self, engine: Any, request: Request) -> None:
        arrays = {what: ray.put(np.frombuffer(data, np.uint8)) for what, data in request.data.items()}
        options = {"num_returns": "streaming", "_generator_backpressure_num_objects": AHEAD}
        self._stream = engine.run.options(**options).remote(list(encode(request.start)), **arrays)
        for frames in self._early:
            self._spawn(self._answered(engine, frames))
        try:
            async for reference in self._stream:
                await self._hand_on(await reference)
        except TaskCancelledError:
            left = await engine.rest.remote()
            idle = work.Idle(request.start.job, "stopped", 0.0, self._calls, 0)
            await self._hand_on((self._calls, left or [list(encode(idle))], True))  # nothing: it had not begun

    async def _hand_on(self, batch: Batch) -> None:
        self._calls, said, ended = batch
        if ended:
            self._finish()
        await self._pass_on(said)

    def _finish(self) -> None:
        """The part is over, before the bridge hears of it: its next one may come at once."""
        self._request = self._stream = None
        self._early.clear()

    async def _lost(self, engine: Any, error: RayError) -> None:
        if engine is None or engine is not self._engine:
            return  # that has been noticed
        log.warning("the actor on %s is gone: %s", self._seat.host, shortened(str(error), 2000))
        self._engine = None
        if self._request is not None:
            job = self._request.start.job
            self._fleet.deaths[job] += 1
            if self._fleet.deaths[job] >= DEATHS:
                failed = work.Idle(job, "failed", 0.0, self._calls, code="engine_crashed", sentence=CRASHED)
                await self._say(failed)
        await self._online()

    async def _watch(self, engine: Any) -> None:
        try:
            await engine.gone.remote()
        except RayError as error:
            await self._lost(engine, error)

    async def _attached(self) -> Any:
        """The actor, which has joined; raises Unfit."""
        self._loading = True
        if self._engine is None:
            engine = self._engine = await self._joined()
            self._known.clear()
            self._spawn(self._watch(engine))
        return self._engine

    async def _check_weights(self, engine: Any, model: str) -> None:
        if model not in self._known:
            found = await engine.digest.remote(model)
            if not found and not self._own_told:
                raise OtherModels
            if found and found != self._fleet.digests.setdefault(model, found):
                raise Unfit(NODE_WEIGHTS.format(model=model, host=self._seat.host))
            self._known.add(model)
        self._loading = False

    async def _joined(self) -> Any:
        """An actor of this version: the one that is there, or a new one."""
        engine, version = self._there(), ""
        if engine is not None:  # left by an earlier bridge, perhaps of another version, or just about to end
            with contextlib.suppress(Unfit):
                version, pid, first = await self._asked_in(engine)
            if version != __version__:
                with contextlib.suppress(RayError):
                    ray.kill(engine, no_restart=True)
        if version != __version__:
            engine = await self._made(patient=engine is not None or self._own is not None)
            version, pid, first = await self._asked_in(engine)
        if version != __version__:
            ray.kill(engine, no_restart=True)
            raise Unfit(NODE_OTHER.format(host=self._seat.host, found=version, version=__version__))
        log.info("the actor on %s, process %d, has joined", self._seat.host, pid)
        self._fleet.first = self._fleet.first or first
        self._own, self.unfit = first, ""
        return engine

    async def _asked_in(self, engine: Any) -> tuple[str, int, list[Frames]]:
        about = {"host": self._seat.host, "version": __version__}
        try:
            return await asyncio.wait_for(self._answer(engine), JOIN_SECONDS)
        except TimeoutError:
            ray.kill(engine, no_restart=True)
            raise Full(NODE_FULL.format(**about)) from None
        except RayError as error:
            log.warning("no actor on %s: %s", self._seat.host, error)
            raise Unfit(_why(str(error)).format(**about)) from error

    async def _answer(self, engine: Any) -> tuple[str, int, list[Frames]]:
        while True:
            try:
                return await engine.join.remote()
            except ActorUnavailableError:  # Ray is starting it anew
                await asyncio.sleep(0.5)

    @property
    def _name(self) -> str:
        return f"{self._fleet.owner}-{self._seat.node[:12]}-{self._seat.place}"

    def _there(self) -> Any:
        """The actor of this seat if it lives, also one that an earlier bridge has left."""
        try:
            return ray.get_actor(self._name, NAMESPACE)
        except ValueError:
            return None

    async def _made(self, patient: bool) -> Any:
        """A new one; raises Full where it would have to wait for others, ``patient``: for long."""
        seat, fleet = self._seat, self._fleet
        patience = time.monotonic() + FREE_SECONDS
        while not (free := await asyncio.to_thread(_is_free, seat)):
            if (free is not None and not patient) or time.monotonic() > patience:
                raise Full(NODE_FULL.format(host=seat.host))
            await asyncio.sleep(0.5)
        made = ray.remote(Engine).options(
            name=self._name,
            namespace=NAMESPACE,
            lifetime="detached",
            max_restarts=RESTARTS,
            num_cpus=seat.cpus,
            num_gpus=seat.gpus,
            scheduling_strategy=ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(seat.node, soft=False),
        )
        return made.remote(self._name, fleet.warm, fleet.idle_seconds)


def _why(error: str) -> str:
    """The sentence for what an actor's Python said before it ended."""
    if "ModuleNotFoundError" in error and "bridge_server" in error:
        return NODE_WITHOUT
    return NODE_NO_ROOM if f"Errno {errno.ENOSPC}" in error else NODE_FAILED


def _is_free(seat: Seat) -> bool | None:
    """Whether the node has what an actor takes; None of one that is new."""
    free = ray._private.state.available_resources_per_node().get(seat.node)
    return None if free is None else bool(free.get("CPU", 0) >= seat.cpus and free.get("GPU", 0) >= seat.gpus)
