"""Where clients are served: one method per message of docs/protocol.md, and what is said to them.

Order of every important step: first the journal, then the message; so what a client has heard is true after any crash.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import secrets
import sys
import time
from collections.abc import Callable
from typing import Any, ClassVar

import zmq

from bridge_server import work
from bridge_server.client import messages
from bridge_server.client.errors import WireError
from bridge_server.client.link import IN_USE
from bridge_server.clients import MAX_PULLS, MAX_UPLOADS, Clients, Frames, Peer
from bridge_server.downloads import Downloads
from bridge_server.jobs import Jobs
from bridge_server.journal import DiskFull, Finished, Job, Upload
from bridge_server.steps import KeptSteps
from bridge_server.supervisor import Supervisor

log = logging.getLogger("bridge.desk")

DISK_FULL = "The disk is full, so the picture could not be kept: make some space, then click RePaint again."
NOT_WHOLE = "The picture did not arrive whole: click RePaint again."
TOO_LARGE = "This selection is too large: select a smaller region."
SEED_TOO_LARGE = "This seed is too large: choose a smaller one."
STATE_GONE = "The kept steps of this picture are gone: run it again, then branch from it."
SPOOL_LOST = "The picture is gone from the bridge's folder: click RePaint again."
VERSIONS_DIFFER = "The plug-in and the bridge are of different versions: install both again."
NAME_IN_USE = "Another window of this editor uses the RePaint bridge under the same name."
OWN_FAULT = "The RePaint bridge met an error of its own: try again."


def version() -> str:
    """The installed version of the project; "0" when it runs from a plain folder."""
    try:
        return importlib.metadata.version("repaint-bridge")
    except importlib.metadata.PackageNotFoundError:
        return "0"


class Desk:
    """``secret`` proves the bridge; ``stop`` ends it."""

    def __init__(
        self,
        clients: Clients,
        jobs: Jobs,
        engine: Supervisor,
        downloads: Downloads,
        secret: bytes,
        instance: str,
        stop: Callable[[], None],
    ) -> None:
        self._clients, self._jobs, self._engine, self._downloads = clients, jobs, engine, downloads
        self._secret, self._instance, self._stop_bridge = secret, instance, stop
        self.steps = KeptSteps()
        self._positions: dict[str, int] = {}
        self._began = time.monotonic()

    # --------------------------------------------------------------------------------------------------- what comes

    def on_readable(self) -> None:
        """Serve the messages that have arrived, a bounded number at a time."""
        for _ in range(16):
            try:
                route, *frames = self._clients.router.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            about = ""
            peer = self._clients.by_route.get(route)
            try:
                message, payload = messages.decode(frames)
                about = type(message).TYPE
                if peer is not None:
                    peer.heard = time.monotonic()
                    handler = self._handlers.get(type(message))
                    if handler is None:
                        raise WireError(VERSIONS_DIFFER, "not for the bridge")
                    handler(self, peer, message, payload)
                elif isinstance(message, messages.Hello):
                    self._hello(route, message)
                else:
                    raise WireError("The plug-in has to connect again.", "no hello")
            except WireError as error:
                log.warning("refused a message (%s): %s", about, error.details)
                self._clients.answer(route, messages.Error(error.code, error.sentence, about, error.details[:4000]))
            except Exception:  # one message must not take the bridge away from everybody
                log.exception("message %s", about)
                self._clients.answer(route, messages.Error("internal", OWN_FAULT, about))

    def look_for_lost(self) -> None:
        """Let go of the clients that have been silent for too long."""
        for peer in self._clients.silent():
            log.info("client %s (%s) is gone", peer.client, peer.app)
            self._lost(peer)

    def _lost(self, peer: Peer) -> None:
        self._clients.remove(peer)
        self._jobs.hold(peer.client)
        self.say_positions()

    def _hello(self, route: bytes, message: messages.Hello) -> None:
        if message.protocol != messages.PROTOCOL:
            self._clients.answer(route, messages.Error("protocol", VERSIONS_DIFFER, "hello"))
            return
        earlier = self._clients.by_client.get(message.client)
        if earlier is not None and self._clients.alive(earlier):
            self._clients.answer(route, messages.Error(IN_USE, NAME_IN_USE, "hello"))
            return
        if earlier is not None:
            self._lost(earlier)
        peer = Peer(route, message.client, message.app)
        self._clients.add(peer)
        log.info("client %s (%s) is here", peer.client, peer.app)
        proof = messages.bridge_proof(self._secret, message.nonce)
        self._clients.send(peer, messages.Welcome(messages.PROTOCOL, proof, self._instance, version()))
        self._clients.send(peer, self._catalogue())
        if self._engine.state == "down" and self._engine.sentence:
            self._clients.send(peer, messages.Engine("down", True, False, self._engine.sentence))
        if self._downloads.now is not None:
            self._clients.send(peer, self._downloads.now)
        self._engine.look_again()  # models may have come or gone by the engine's own commands

    def _bye(self, peer: Peer, _message: messages.Bye, _: Any) -> None:
        self._lost(peer)

    def _ping(self, peer: Peer, message: messages.Ping, _: Any) -> None:
        self._clients.send_now(peer, messages.Pong(message.number))

    def _blob(self, peer: Peer, message: messages.Blob, payload: Any) -> None:
        upload = peer.uploads.get(message.blob)
        if upload is None or message.offset == 0:
            if upload is not None:
                upload.drop()
            elif len(peer.uploads) >= MAX_UPLOADS:
                peer.uploads.pop(next(iter(peer.uploads))).drop()
            path = self._jobs.journal.incoming / secrets.token_hex(16)
            upload = peer.uploads[message.blob] = Upload(path, message.size)
        try:
            upload.add(message.offset, payload)
        except ValueError as error:
            peer.uploads.pop(message.blob).drop()
            raise WireError(NOT_WHOLE, f"blob: {error}") from None

    def _submit(self, peer: Peer, message: messages.Submit, _: Any) -> None:
        pixels, selection = (peer.uploads.pop(blob, None) for blob in (message.pixels, message.selection))
        try:
            self._jobs.owned(peer.client, message.job)
            state = self._jobs.state(message.job)
            if state is not None:
                self._clients.send(peer, messages.State(message.job, state))
                return
            refusal = self._take(peer, message, pixels, selection)
            if refusal is not None:
                self._jobs.forget(message.job, "failed")
                self._clients.send(peer, refusal)
        finally:
            for upload in (pixels, selection):
                if upload is not None:
                    upload.drop()

    def _take(
        self, peer: Peer, message: messages.Submit, pixels: Upload | None, selection: Upload | None
    ) -> messages.Failed | None:
        """Put a new job into the journal and the queue, or say why not."""
        size = message.width * message.height
        if size > messages.MAX_PIXELS:
            return messages.Failed(message.job, "bad_request", TOO_LARGE)
        if message.seed + message.variants - 1 >= messages.MAX_INTEGER:
            return messages.Failed(message.job, "bad_request", SEED_TOO_LARGE)
        errors = [upload.error for upload in (pixels, selection) if upload is not None and upload.error]
        if errors:
            log.error("no space for an upload: %s", errors[0])
            return messages.Failed(message.job, "disk_full", DISK_FULL, errors[0][:4000])
        if pixels is None or selection is None or (pixels.whole, selection.whole) != (size * 4, size):
            return messages.Failed(message.job, "no_pixels", NOT_WHOLE)
        names = ("width", "height", "model", "preset", "seed", "variants", "options", "tag", "history")
        request = {name: getattr(message, name) for name in names}
        try:
            job = self._jobs.add(message.job, peer.client, request, pixels.path, selection.path)
        except DiskFull as error:
            log.error("no space for job %s: %s", message.job, error)
            return messages.Failed(message.job, "disk_full", DISK_FULL, str(error)[:4000])
        log.info("job %s of %s: %dx%d, %s", job.job, job.client, message.width, message.height, message.model)
        self.say_positions()
        return None

    def _branch(self, peer: Peer, message: messages.Branch, _: Any) -> None:
        self._jobs.owned(peer.client, message.job)
        state = self._jobs.state(message.job)
        if state is not None:
            self._clients.send(peer, messages.State(message.job, state))
            return
        refusal = self._take_branch(peer, message)
        if refusal is not None:
            self._jobs.forget(message.job, "failed")
            self._clients.send(peer, refusal)

    def _take_branch(self, peer: Peer, message: messages.Branch) -> messages.Failed | None:
        parent = self.steps.parent(message.parent)
        if parent is not None and parent.client != peer.client:
            raise WireError("This picture belongs to another editor.", "a branch from another client's job")
        if parent is None or all(step.call != message.call for step in self.steps.of(message.parent, message.variant)):
            return messages.Failed(message.job, "state_gone", STATE_GONE)
        seed = parent.request["seed"] + message.variant if message.seed is None else message.seed
        if seed + message.variants - 1 >= messages.MAX_INTEGER:
            return messages.Failed(message.job, "bad_request", SEED_TOO_LARGE)
        branch = {name: getattr(message, name) for name in ("parent", "variant", "call", "kind", "jump", "times")}
        own = {"seed": seed, "variants": message.variants, "tag": message.tag, "history": message.history}
        try:
            job = self._jobs.add(message.job, peer.client, {**parent.request, **own, "branch": branch})
        except DiskFull as error:
            log.error("no space for job %s: %s", message.job, error)
            return messages.Failed(message.job, "disk_full", DISK_FULL, str(error)[:4000])
        log.info("job %s of %s: %s from %s", job.job, job.client, message.kind, message.parent)
        self.say_positions()
        return None

    def _keep(self, peer: Peer, message: messages.Keep, _: Any) -> None:
        job = self._jobs.owned(peer.client, message.job)
        if job is None or job.ended:
            return
        if job.job == self._engine.job:
            self._engine.send(work.Keep(job.job, message.variants))
        else:
            self.end(job, "cancelled")

    def _look(self, peer: Peer, message: messages.Look, _: Any) -> None:
        parent = self.steps.parent(message.job)
        if parent is not None and parent.client != peer.client:
            raise WireError("This picture belongs to another editor.", "a look at another client's job")
        if self._engine.state in ("ready", "busy"):
            self._engine.send(work.Look(message.job, message.variant, message.call))
        else:
            self.say_steps(peer, message.job, message.variant)

    def _credit(self, peer: Peer, message: messages.Credit, _: Any) -> None:
        job = self._jobs.owned(peer.client, message.job)
        if job is None or job.ended:
            return
        wanted = {variant for variant in message.variants if variant < job.request["variants"]}
        self._jobs.credit.setdefault(job.job, set()).update(wanted)
        if job.job == self._engine.job:
            self._engine.send(work.Credit(job.job, tuple(sorted(wanted))))

    def _pull(self, peer: Peer, message: messages.Pull, _: Any) -> None:
        job = self._jobs.owned(peer.client, message.job)
        if job is None or message.variant not in job.finished:
            raise WireError("The picture is not there any more.", "pull of an unknown result")
        if peer.pulls >= MAX_PULLS or message.offset + message.length > job.bytes_per_variant:
            raise WireError("The plug-in asks for too much.", "pull")
        peer.pulls += 1

        def make() -> Frames | None:
            place = (message.job, message.variant, message.offset)
            try:
                return messages.encode(messages.Chunk(*place), self._jobs.journal.read_result(*place, message.length))
            except (OSError, WireError) as error:  # WireError: the file has become shorter
                log.error("a result of job %s cannot be read: %r", message.job, error)
                return messages.encode(messages.Failed(message.job, "lost", SPOOL_LOST))

        def answered() -> None:
            peer.pulls -= 1

        self._clients.send_later(peer, make)
        self._clients.send_later(peer, answered)

    def _claim(self, peer: Peer, message: messages.Claim, _: Any) -> None:
        job = self._jobs.owned(peer.client, message.job)
        if job is not None and message.variant in job.finished:
            with contextlib.suppress(DiskFull):  # handed back once more after a crash: harmless
                self._jobs.journal.claim(job, message.variant)

    def _release(self, peer: Peer, message: messages.Release, _: Any) -> None:
        job = self._jobs.owned(peer.client, message.job)
        if job is not None:
            if not job.ended:
                self.end(job, "cancelled", say=False)
            self._jobs.remove(job)
            self.steps.released(job.job)

    def _drop(self, peer: Peer, message: messages.Drop, _: Any) -> None:
        job = self._jobs.owned(peer.client, message.job)
        if job is None or not job.ended or message.variant not in job.finished:
            return
        if len(job.finished) == 1:
            self._release(peer, messages.Release(job.job), None)
            return
        with contextlib.suppress(DiskFull):  # its row goes with the job; its pixels are gone in any case
            self._jobs.journal.drop(job, message.variant)
        self.steps.dropped(job.job, message.variant)

    def _cancel(self, peer: Peer, message: messages.Cancel, _: Any) -> None:
        job = self._jobs.owned(peer.client, message.job)
        if job is None:
            state = self._jobs.state(message.job)
            self._clients.send(peer, messages.State(message.job, state or "cancelled"))
            if state is None:  # its submit is still to come: it will be answered by this state
                self._jobs.forget(message.job, "cancelled")
                self._clients.send(peer, messages.Cancelled(message.job))
            return
        self._clients.send(peer, messages.State(message.job, job.state if job.ended else "cancelled"))
        if not job.ended:
            self.end(job, "cancelled")

    def _attach(self, peer: Peer, message: messages.Attach, _: Any) -> None:
        self._list(peer, message, None)
        for name in message.jobs:
            job = self._jobs.owned(peer.client, name)
            if job is None:
                continue
            self._jobs.unhold(job)
            for finished in sorted(job.finished.values(), key=lambda each: each.variant):
                if not finished.claimed:
                    self.say_result(job, finished)
            for variant in self.steps.variants(name):
                self.say_steps(peer, name, variant)
            if job.ended:
                self._say_end(job)
            self._positions.pop(name, None)
        self.say_positions()

    def _list(self, peer: Peer, _message: Any, _: Any) -> None:
        entries = [
            messages.JobEntry(
                job=job.job,
                tag=job.request["tag"],
                model=job.request["model"],
                state=job.state,
                variants=job.request["variants"],
                results=sum(not finished.claimed for finished in job.finished.values()),
                width=job.request["width"],
                height=job.request["height"],
            )
            for job in self._jobs.of(peer.client)
        ][-messages.MAX_JOBS_LISTED :]
        while True:
            try:
                self._clients.send(peer, messages.Jobs(tuple(entries)))
                return
            except WireError:  # tags too long for one header: the newest half
                entries = entries[(len(entries) + 1) // 2 :]

    def _get_status(self, peer: Peer, _message: messages.GetStatus, _: Any) -> None:
        status = messages.Status(
            bridge_version=version(),
            pid=os.getpid(),
            worker_pid=self._engine.pid,
            engine=self._engine.state,
            device=self._engine.device,
            clients=len(self._clients.by_route),
            queued=sum(job.state == "queued" for job in self._jobs.by_id.values()),
            running=self._engine.job,
            calls_total=self._engine.calls_total,
            calls_after_cancel=self._engine.calls_after_cancel,
            memory_mib=memory_mib(),
            uptime=time.monotonic() - self._began,
        )
        self._clients.send(peer, status)

    def _download(self, peer: Peer, message: messages.Download, _: Any) -> None:
        refusal = self._downloads.start(message, self._engine.models)
        if refusal is not None:
            self._clients.send(peer, refusal)

    def _stop_download(self, _peer: Peer, message: messages.StopDownload, _: Any) -> None:
        self._downloads.cancel(message.model)

    def _restart_engine(self, peer: Peer, _message: messages.RestartEngine, _: Any) -> None:
        log.info("client %s asks for an engine", peer.client)
        self._engine.start()

    def _stop(self, peer: Peer, _message: messages.Stop, _: Any) -> None:
        log.info("client %s asks for the end", peer.client)
        self._stop_bridge()

    _handlers: ClassVar[dict[type[Any], Callable[..., None]]] = {
        messages.Bye: _bye,
        messages.Ping: _ping,
        messages.Blob: _blob,
        messages.Submit: _submit,
        messages.Branch: _branch,
        messages.Keep: _keep,
        messages.Look: _look,
        messages.Credit: _credit,
        messages.Pull: _pull,
        messages.Claim: _claim,
        messages.Release: _release,
        messages.Drop: _drop,
        messages.Cancel: _cancel,
        messages.Attach: _attach,
        messages.ListJobs: _list,
        messages.GetStatus: _get_status,
        messages.Download: _download,
        messages.StopDownload: _stop_download,
        messages.RestartEngine: _restart_engine,
        messages.Stop: _stop,
    }

    # ----------------------------------------------------------------------------------------------- what is decided

    def end(
        self, job: Job, state: str, code: str = "", sentence: str = "", details: str = "", say: bool = True
    ) -> None:
        """The one place where a job ends: journal, then the terminal event, then the engine stops."""
        self._jobs.end(job, state, code, sentence, details)
        if say:
            self._say_end(job)
        if self._engine.job == job.job and state != "done":
            self._engine.cancel()
        self.say_positions()

    # ---------------------------------------------------------------------------------------------------- what is said

    def say(self, job: Job, message: Any) -> bool:
        """News that the next news replaces; False if the client is away or has not taken the last ones."""
        peer = self._clients.by_client.get(job.client)
        return peer is not None and self._clients.send_now(peer, message)

    def say_preview(self, job: Job, message: messages.Preview, payload: Any) -> bool:
        """A piece of a preview; the first one is refused (False) while older news wait for a slow client."""
        peer = self._clients.by_client.get(job.client)
        if peer is None or (message.offset == 0 and peer.unsent):
            return False
        self._clients.send(peer, message, payload)
        return True

    def say_result(self, job: Job, finished: Finished) -> None:
        peer = self._clients.by_client.get(job.client)
        if peer is not None:
            news = messages.Result(
                job=job.job,
                variant=finished.variant,
                seed=finished.seed,
                width=job.request["width"],
                height=job.request["height"],
                model=job.request["model"],
                seconds=finished.seconds,
                calls=finished.calls,
                unfinished=finished.step is not None,
            )
            self._clients.send(peer, news)

    def say_steps(self, peer: Peer, job: str, variant: int) -> None:
        self._clients.send(peer, messages.Steps(job, variant, self.steps.of(job, variant)))

    def on_shelf(self, message: Any, payload: Any) -> None:
        """The worker's news of kept steps, passed on to the job's client."""
        if isinstance(message, work.Steps):
            job = self._jobs.by_id.get(message.job)
            parent = self.steps.put(job, message.job, message.variant, message.steps)
            peer = self._clients.by_client.get(parent.client) if parent is not None else None
            if peer is not None:
                self.say_steps(peer, message.job, message.variant)
            return
        parent = self.steps.parent(message.job)
        peer = self._clients.by_client.get(parent.client) if parent is not None else None
        if peer is not None:
            fields = (message.job, message.variant, message.call, message.width, message.height, message.offset)
            self._clients.send(peer, messages.View(*fields), payload)

    def say_steps_gone(self) -> None:
        """The worker died, and with it what it had kept."""
        for name, variant in self.steps.worker_gone():
            parent = self.steps.parent(name)
            peer = self._clients.by_client.get(parent.client) if parent is not None else None
            if peer is not None:
                self.say_steps(peer, name, variant)
        self.steps.tidy()

    def _say_end(self, job: Job) -> None:
        peer = self._clients.by_client.get(job.client)
        if peer is None:
            return
        if job.state == "done":
            self._clients.send(peer, messages.Done(job.job, job.seconds))
        elif job.state == "cancelled":
            self._clients.send(peer, messages.Cancelled(job.job))
        else:
            self._clients.send(peer, messages.Failed(job.job, job.code[:64], job.sentence[:500], job.details[:4000]))

    def say_positions(self) -> None:
        """Tell the clients whose jobs wait where in the queue they are, if that has changed."""
        running = self._jobs.by_id.get(self._engine.job)
        ahead = 1 if running is not None and not running.ended else 0
        positions = {job.job: place + ahead for place, job in enumerate(self._jobs.waiting())}
        if running is not None and ahead:
            positions[running.job] = 0
        for name, position in positions.items():
            job = self._jobs.by_id[name]
            peer = self._clients.by_client.get(job.client)
            if peer is not None and self._positions.get(name) != position:
                self._clients.send(peer, messages.Accepted(name, position, self._calls_of(job)))
        self._positions = positions

    def say_catalogue(self) -> None:
        for peer in list(self._clients.by_route.values()):
            self._clients.send(peer, self._catalogue())

    def say_engine(self, will_retry: bool, sentence: str) -> None:
        """The engine process died."""
        for peer in list(self._clients.by_route.values()):
            self._clients.send(peer, messages.Engine(self._engine.state, True, will_retry, sentence))

    def say_bye(self, reason: str) -> None:
        for peer in list(self._clients.by_route.values()):
            self._clients.answer(peer.route, messages.Bye(reason[:200]))

    def _catalogue(self) -> messages.Catalogue:
        return messages.Catalogue(self._engine.models, self._engine.presets, self._engine.state)

    def _calls_of(self, job: Job) -> int:
        """Calls per variant by the preset, or of a branch by its step; 0 (not known here) if an option changes them."""
        branch = job.request.get("branch")
        if branch is not None:
            return self._calls_of_branch(branch)
        if set(job.request["options"]) - {"hard"}:
            return 0
        return next((preset.calls for preset in self._engine.presets if preset.name == job.request["preset"]), 0)

    def _calls_of_branch(self, branch: dict[str, Any]) -> int:
        for step in self.steps.of(branch["parent"], branch["variant"]):
            if step.call == branch["call"] and not branch["jump"] and not branch["times"]:
                costs = {"continue": step.remaining, "harmonise": step.harmonise, "idea": step.idea}
                return costs[branch["kind"]]
        return 0


def memory_mib() -> float:
    """Resident memory of this process in MiB; 0 where it cannot be told cheaply."""
    if sys.platform != "linux":
        return 0.0
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
