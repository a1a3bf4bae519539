"""Where clients are served: one method per message of docs/protocol.md that comes from them.

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
from dataclasses import replace
from typing import Any, ClassVar

import zmq

from bridge_server.client import messages, proof
from bridge_server.client.checks import shortened
from bridge_server.client.codec import decode, encode, pages, subject
from bridge_server.client.errors import WireError
from bridge_server.client.link import IN_USE, NO_HELLO, PROTOCOL
from bridge_server.client.records import MAX_SEED, SEED_TOO_LARGE, JobEntry
from bridge_server.clients import MAX_UPLOADS, Clients, Frames, Peer
from bridge_server.downloads import Downloads
from bridge_server.job import Job
from bridge_server.jobs import MAX_UNENDED, OTHERS, Jobs
from bridge_server.news import News
from bridge_server.pool.pool import Pool
from bridge_server.spool import DiskFull, Upload
from bridge_server.steps import KeptSteps
from bridge_server.work import STATE_GONE

log = logging.getLogger("bridge.desk")

NOT_WHOLE = "The picture did not arrive completely: click RePaint again."
SPOOL_LOST = "The picture is gone from RePaint's folder: click RePaint again."
VERSIONS_DIFFER = "The plug-in and the engine have different versions: close all editors, then install both again."
NAME_IN_USE = "Another window of this editor uses the RePaint engine under the same name: close it, or wait a moment."
TOO_MANY = (
    f"{MAX_UNENDED} pictures are already waiting: wait until one is done, or cancel some, then click RePaint again."
)
OWN_FAULT = "The RePaint engine had an internal error: try again."
FIRST_FINAL = 4  # plug-ins of earlier protocols take only the code `in_use` for a last word and would try for 45 s


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
        steps: KeptSteps,
        news: News,
        engine: Pool,
        downloads: Downloads,
        secret: bytes,
        instance: str,
        stop: Callable[[], None],
    ) -> None:
        self._clients, self._jobs, self._steps, self._news = clients, jobs, steps, news
        self._engine, self._downloads = engine, downloads
        self._secret, self._instance, self._stop_bridge = secret, instance, stop
        self._began = time.monotonic()

    # --------------------------------------------------------------------------------------------------- what comes

    def on_readable(self) -> None:
        """Serve the messages that have arrived, a bounded number at a time."""
        for _ in range(16):
            try:
                route, *frames = self._clients.router.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            peer = self._clients.by_route.get(route)
            try:
                message, payload = decode(frames, messages.WIRE)
                if peer is not None:
                    peer.heard = time.monotonic()
                    handler = self._handlers.get(type(message))
                    if handler is None:
                        raise WireError(VERSIONS_DIFFER, "not for the bridge")
                    handler(self, peer, message, payload)
                elif isinstance(message, messages.Hello):
                    self._hello(route, message)
                else:
                    raise WireError("The plug-in has to connect again, and does so by itself.", "no hello", NO_HELLO)
            except WireError as error:
                self._refuse(route, error, *subject(frames))
            except Exception:  # one message must not take the bridge away from everybody
                about, job = subject(frames)
                log.exception("message %s", about)
                self._clients.answer(route, messages.Error("internal", OWN_FAULT, about, job))

    def _refuse(self, route: bytes, error: WireError, about: str, job: str) -> None:
        log.warning("refused a message (%s): %s", about, error.details)
        details = shortened(error.details, 4000)
        self._clients.answer(route, messages.Error(error.code, error.sentence, about, job, details))

    def look_for_lost(self) -> None:
        """Let go of the clients that have been silent for too long."""
        for peer in self._clients.silent():
            log.info("client %s (%s) is gone", peer.client, peer.app)
            self._lost(peer)

    def _lost(self, peer: Peer) -> None:
        self._clients.remove(peer)
        self._jobs.hold(peer.client)
        self._news.queue_moved()

    def _hello(self, route: bytes, message: messages.Hello) -> None:
        if message.protocol != messages.PROTOCOL:
            code = PROTOCOL if message.protocol >= FIRST_FINAL else IN_USE
            self._clients.answer(route, messages.Error(code, VERSIONS_DIFFER, "hello"))
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
        proven = proof.bridge_proof(self._secret, message.nonce)
        self._clients.send(peer, messages.Welcome(messages.PROTOCOL, proven, self._instance, version()))
        self._news.welcome(peer)
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
            path = self._jobs.journal.spool.incoming / secrets.token_hex(16)
            upload = peer.uploads[message.blob] = Upload(path, message.size)
        try:
            upload.add(message.offset, payload)
        except ValueError as error:
            peer.uploads.pop(message.blob).drop()
            raise WireError(NOT_WHOLE, f"blob: {error}") from None

    def _submit(self, peer: Peer, message: messages.Submit, _: Any) -> None:
        blobs = {"pixels": message.pixels, "selection": message.selection, "source": message.source}
        blobs["share_mask"] = message.share_mask
        blobs.update({f"map-{number}": blob for number, blob in enumerate(message.maps)})
        found = {what: peer.uploads.pop(blob, None) for what, blob in blobs.items() if blob is not None}
        uploads = {what: upload for what, upload in found.items() if upload is not None}
        try:
            self._jobs.owned(peer.client, message.job)
            state = self._jobs.state(message.job)
            if state is not None:
                self._clients.send(peer, messages.State(message.job, state))
                return
            refusal = self._take(peer, message, uploads)
            if refusal is not None:
                self._jobs.forget(message.job, "failed")
                self._clients.send(peer, refusal)
        finally:
            for upload in uploads.values():
                upload.drop()

    def _take(self, peer: Peer, message: messages.Submit, uploads: dict[str, Upload]) -> messages.Failed | None:
        """Put a new job into the journal and the queue, or say why not."""
        order = message.order
        fault = order.fault()
        if fault is not None:
            return messages.Failed(message.job, *fault)
        if self._jobs.full(peer.client):
            return messages.Failed(message.job, "too_many", TOO_MANY)
        errors = [upload.error for upload in uploads.values() if upload.error]
        if errors:
            return self._no_room(message.job, errors[0])
        if {what: upload.whole for what, upload in uploads.items()} != order.inputs:
            return messages.Failed(message.job, "no_pixels", NOT_WHOLE)
        paths = {what: upload.path for what, upload in uploads.items()}
        try:
            job = self._jobs.add(message.job, peer.client, order, message.history, paths)
        except DiskFull as error:
            return self._no_room(message.job, error)
        log.info("job %s of %s: %dx%d, %s", job.job, job.client, order.width, order.height, order.model)
        self._news.queue_moved()
        return None

    def _no_room(self, job: str, error: DiskFull) -> messages.Failed:
        log.error("no space for job %s: %s", job, error)
        return messages.Failed(job, "disk_full", error.sentence, shortened(str(error), 4000))

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
        wish = message.request
        parent = self._steps.parent(wish.parent)
        if parent is not None and parent.client != peer.client:
            raise WireError(OTHERS, "a branch from another client's job")
        if parent is None or all(step.call != wish.call for step in self._steps.of(wish.parent, wish.variant)):
            return messages.Failed(message.job, "state_gone", STATE_GONE)
        if self._jobs.full(peer.client):
            return messages.Failed(message.job, "too_many", TOO_MANY)
        seed = parent.order.seed + wish.variant if wish.seed is None else wish.seed
        if seed + wish.variants - 1 > MAX_SEED:
            return messages.Failed(message.job, "bad_request", SEED_TOO_LARGE)
        order = replace(parent.order, seed=seed, variants=wish.variants, tag=wish.tag)
        try:
            job = self._jobs.add(message.job, peer.client, order, message.history, origin=wish)
        except DiskFull as error:
            return self._no_room(message.job, error)
        log.info("job %s of %s: %s from %s", job.job, job.client, wish.kind, wish.parent)
        self._news.queue_moved()
        return None

    def _keep(self, peer: Peer, message: messages.Keep, _: Any) -> None:
        job = self._jobs.owned(peer.client, message.job)
        if job is None or job.ended:
            return
        workers = self._engine.of(job.job)
        for worker in workers:
            worker.send(message)
        if workers:
            job.keeping = True
        else:
            self.end(job, "done" if job.state == "running" and job.finished else "cancelled")

    def _look(self, peer: Peer, message: messages.Look, _: Any) -> None:
        parent = self._steps.parent(message.job)
        if parent is not None and parent.client != peer.client:
            raise WireError(OTHERS, "a look at another client's job")
        self._news.look(peer, message)

    def _credit(self, peer: Peer, message: messages.Credit, _: Any) -> None:
        job = self._jobs.owned(peer.client, message.job)
        if job is None or job.ended:
            return
        wanted = {variant for variant in message.variants if variant < job.order.variants}
        self._jobs.credit.setdefault(job.job, set()).update(wanted)
        for worker in self._engine.of(job.job):
            if worker.part is not None and (its := wanted.intersection(worker.part.variants)):
                worker.send(messages.Credit(job.job, tuple(sorted(its))))

    def _pull(self, peer: Peer, message: messages.Pull, _: Any) -> None:
        job = self._jobs.owned(peer.client, message.job)
        if job is None or message.variant not in job.finished:
            raise WireError(SPOOL_LOST, "pull of an unknown result", "lost")
        if peer.pulls >= messages.MAX_PULLS or message.offset + message.length > job.order.painted_bytes:
            raise WireError("The plug-in asks for too much at once: click RePaint again.", "pull")
        peer.pulls += 1

        def make() -> Frames | None:
            place = (message.job, message.variant, message.offset)
            try:
                piece = self._jobs.journal.spool.read_result(*place, message.length)
                if len(piece) == message.length:
                    return encode(messages.Chunk(*place), piece)
                log.error("a result of job %s has become shorter", message.job)
            except OSError as error:
                log.error("a result of job %s cannot be read: %r", message.job, error)
            return encode(messages.Error("lost", SPOOL_LOST, "pull", message.job))

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
            self._steps.released(job.job)

    def _drop(self, peer: Peer, message: messages.Drop, _: Any) -> None:
        job = self._jobs.owned(peer.client, message.job)
        if job is None or not job.ended or message.variant not in job.finished:
            return
        if len(job.finished) == 1:
            self._release(peer, messages.Release(job.job), None)
            return
        with contextlib.suppress(DiskFull):  # its row goes with the job; its pixels are gone in any case
            self._jobs.journal.drop(job, message.variant)
        self._steps.dropped(job.job, message.variant)

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
        self._say_jobs(peer)
        for name in message.jobs:
            try:
                job = self._jobs.owned(peer.client, name)
            except WireError as error:
                self._refuse(peer.route, error, "attach", name)
                continue
            if job is None:
                continue
            self._jobs.unhold(job)
            for _, finished in sorted(job.finished.items()):
                if not finished.claimed:
                    self._news.say_result(job, finished)
            for variant in self._steps.variants(name):
                self._news.say_steps(peer, name, variant)
            if job.ended:
                self._news.say_end(job)
            self._news.forget_position(name)
        self._news.queue_moved()

    def _say_jobs(self, peer: Peer) -> None:
        entries = tuple(
            JobEntry(
                job=job.job,
                tag=job.order.tag,
                model=job.order.model,
                state=job.state,
                variants=job.order.variants,
                results=sum(not finished.claimed for finished in job.finished.values()),
                width=job.order.painted.width,
                height=job.order.painted.height,
                depth=job.order.depth,
                pixels=job.order.painted_pixels if job.order.parts else 0,
            )
            for job in self._jobs.of(peer.client)
        )
        for page in pages(messages.Jobs(entries), "jobs", messages.PAGE):
            self._clients.send(peer, page)

    def _get_status(self, peer: Peer, _message: messages.GetStatus, _: Any) -> None:
        status = messages.Status(
            bridge_version=version(),
            pid=os.getpid(),
            worker_pid=self._engine.pid,
            engine=self._engine.state,
            device=self._engine.device,
            clients=len(self._clients.by_route),
            queued=sum(job.state == "queued" for job in self._jobs.by_id.values()),
            running=next((worker.part.job for worker in self._engine.workers if worker.part is not None), ""),
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
            self._news.say_end(job)
        for worker in self._engine.of(job.job) if state != "done" else ():
            worker.cancel()
        self._news.queue_moved()


def memory_mib() -> float:
    """Resident memory of this process in MiB; 0 where it cannot be told cheaply."""
    if sys.platform != "linux":
        return 0.0
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
