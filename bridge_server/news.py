"""What is said to the clients: news of jobs, of kept steps and of the engine, each to whom it concerns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge_server.client import messages
from bridge_server.client.checks import shortened
from bridge_server.client.codec import pages
from bridge_server.client.records import PIXEL_BYTES, BranchRequest, preset_for
from bridge_server.clients import Clients, Looking, Peer
from bridge_server.job import Finished, Job
from bridge_server.jobs import Jobs
from bridge_server.pool.pool import Pool
from bridge_server.pool.worker import Worker
from bridge_server.steps import KeptSteps


class News:
    """``notice`` returns a sentence that every client is told once, or nothing."""

    def __init__(self, clients: Clients, jobs: Jobs, steps: KeptSteps, engine: Pool, notice: Callable[[], str]) -> None:
        self._clients, self._jobs, self._steps, self._engine = clients, jobs, steps, engine
        self._notice = notice
        self._noticed: set[str] = set()  # clients
        self._positions: dict[str, int] = {}
        self._moved = False

    def welcome(self, peer: Peer) -> None:
        """What one who has just come has to know."""
        self._say_catalogue(peer)
        notice = self._notice()
        if notice and peer.client not in self._noticed:
            self._noticed.add(peer.client)
            self._clients.send(peer, messages.Notice(shortened(notice, 500)))
        if self._engine.state == "down" and self._engine.sentence:
            self._clients.send(peer, messages.EngineDown(self._engine.sentence, False))
        for sentence in self._engine.absences:
            self._clients.send(peer, messages.Notice(sentence))

    def say_notice(self, sentence: str) -> None:
        """To all, of what belongs to no job."""
        self._clients.send_all(messages.Notice(sentence))

    def say(self, job: Job, message: Any) -> bool:
        """News that the next news replaces; False if the client is away or has not taken the last ones."""
        peer = self._clients.by_client.get(job.client)
        return peer is not None and self._clients.send_now(peer, message)

    def say_result(self, job: Job, finished: Finished) -> None:
        peer = self._clients.by_client.get(job.client)
        if peer is not None:
            self._clients.send(peer, finished.result)

    def say_steps(self, peer: Peer, job: str, variant: int) -> None:
        for page in pages(messages.Steps(job, variant, self._steps.of(job, variant)), "steps", messages.PAGE):
            self._clients.send(peer, page)

    def look(self, peer: Peer, wish: messages.Look) -> None:
        """Have a kept step shown: one at a time for each client, the next when the last answer has been taken."""
        peer.looks.append(wish)
        if peer.looking is None:
            self._next_look(peer)

    def _next_look(self, peer: Peer) -> None:
        peer.looking = None
        while peer.looks and peer.looking is None:
            wish = peer.looks.popleft()
            worker = self._engine.worker(self._steps.owner(wish.job, wish.variant))
            if worker is not None:
                peer.looking = Looking(wish, worker.number)
                worker.send(wish)
            else:
                self.say_steps(peer, wish.job, wish.variant)

    def _lookers(self, worker: Worker, job: str, variant: int) -> list[tuple[Peer, Looking]]:
        """Who waits for this worker to show a kept step of that variant."""
        return [
            (peer, now)
            for peer in self._clients.by_route.values()
            if (now := peer.looking) is not None
            and (now.worker, now.wish.job, now.wish.variant) == (worker.number, job, variant)
        ]

    def _answered(self, peer: Peer, now: Looking) -> None:
        def go_on() -> None:
            if peer.looking is now:
                self._next_look(peer)

        self._clients.send_later(peer, go_on)

    def from_shelf(self, worker: Worker, message: messages.Steps | messages.View, payload: Any) -> None:
        """A worker's news of kept steps: lists of what it has in hand or has made, for the job's client, and pictures
        that a client looks at, piece by piece; nothing else is passed on."""
        lookers = self._lookers(worker, message.job, message.variant)
        if isinstance(message, messages.View):
            for peer, now in lookers:
                if (message.call, message.offset) == (now.wish.call, now.come):
                    now.come += len(payload)
                    self._clients.send(peer, message, payload)
                    if now.come >= message.columns * message.rows * PIXEL_BYTES[message.depth]:
                        self._answered(peer, now)
            return
        part = worker.part
        in_hand = part is not None and part.job == message.job and message.variant in part.variants
        if in_hand or self._steps.owner(message.job, message.variant) == worker.number:
            self._put_steps(worker, message)
        for peer, now in lookers:
            if all(step.call != now.wish.call for step in message.steps):
                self._answered(peer, now)

    def _put_steps(self, worker: Worker, message: messages.Steps) -> None:
        job = self._jobs.by_id.get(message.job)
        parent = self._steps.put(job, message.job, message.variant, message.steps, worker.number)
        peer = self._clients.by_client.get(parent.client) if parent is not None else None
        if peer is not None:
            self.say_steps(peer, message.job, message.variant)

    def say_steps_gone(self, worker: Worker) -> None:
        """It died, and with it what it had kept."""
        for name, variant in self._steps.worker_gone(worker.number):
            parent = self._steps.parent(name)
            peer = self._clients.by_client.get(parent.client) if parent is not None else None
            if peer is not None:
                self.say_steps(peer, name, variant)
        self._steps.tidy()
        for peer in self._clients.by_route.values():
            if peer.looking is not None and peer.looking.worker == worker.number:
                self._next_look(peer)

    def say_end(self, job: Job) -> None:
        """How it ended, or is told to have ended."""
        peer = self._clients.by_client.get(job.client)
        if peer is None:
            return
        if job.state == "done":
            self._clients.send(peer, messages.Done(job.job, job.seconds))
        elif job.state == "cancelled":
            self._clients.send(peer, messages.Cancelled(job.job))
        else:
            self._clients.send(peer, messages.Failed(job.job, job.code, job.sentence, job.details))

    def queue_moved(self) -> None:
        """Positions in the queue may have changed: said by `say_positions`, once for however much happens together."""
        self._moved = True

    def say_positions(self) -> None:
        """Tell the clients whose jobs wait where in the queue they are, if that has changed."""
        if not self._moved:
            return
        self._moved = False
        running = [job.job for job in self._jobs.by_id.values() if job.state == "running"]
        ahead = 1 if running else 0
        positions = {job.job: place + ahead for place, job in enumerate(self._jobs.waiting())}
        positions |= dict.fromkeys(running, 0)
        for name, position in positions.items():
            job = self._jobs.by_id[name]
            peer = self._clients.by_client.get(job.client)
            if peer is not None and self._positions.get(name) != position:
                self._clients.send(peer, messages.Accepted(name, position, self._calls_of(job)))
        self._positions = positions

    def forget_position(self, job: str) -> None:
        """It is to be told again."""
        self._positions.pop(job, None)

    def say_catalogue(self) -> None:
        """To all."""
        for peer in list(self._clients.by_route.values()):
            self._say_catalogue(peer)

    def say_engine(self, will_retry: bool, sentence: str) -> None:
        """The engine process died."""
        for peer in list(self._clients.by_route.values()):
            self._clients.send(peer, messages.EngineDown(sentence, will_retry))

    def say_bye(self, reason: str) -> None:
        for peer in list(self._clients.by_route.values()):
            self._clients.answer(peer.route, messages.Bye(shortened(reason, 200)))

    def _say_catalogue(self, peer: Peer) -> None:
        engine = self._engine
        whole = messages.Catalogue(engine.models, engine.presets, engine.state)
        for page in pages(whole, "models", messages.PAGE):
            self._clients.send(peer, page)

    def _calls_of(self, job: Job) -> int:
        """Calls per variant by the preset, or of a branch by its step; 0 (not known here) if an option changes them."""
        if job.origin is not None:
            return self._calls_of_branch(job.origin)
        if set(job.order.options) - {"hard"}:
            return 0
        model = next((each for each in self._engine.models if each.id == job.order.model), None)
        preset = preset_for(self._engine.presets, job.order.preset, model)
        return preset.calls if preset is not None else 0

    def _calls_of_branch(self, origin: BranchRequest) -> int:
        for step in self._steps.of(origin.parent, origin.variant):
            if step.call == origin.call:
                return {"continue": step.remaining, "harmonise": step.harmonise, "idea": step.idea}[origin.kind]
        return 0
