"""The bridge process: editors on one side, the engine process on the other, the journal between them.

One loop, one thread.  It imports neither torch nor engine.  Order of every important step: first the journal, then the
message; so what a client has heard is true after any crash.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any, ClassVar

import zmq

from bridge_server import work
from bridge_server.auth import Gate
from bridge_server.client import launch, messages
from bridge_server.client.errors import WireError
from bridge_server.client.link import CONNECTION_FILE
from bridge_server.clients import MAX_PULLS, MAX_UPLOADS, Clients, Frames, Peer
from bridge_server.journal import DiskFull, Finished, Job, Journal, Upload
from bridge_server.supervisor import Limits, Supervisor

log = logging.getLogger("bridge.server")

DISK_FULL = "The disk is full, so the picture could not be kept: make some space, then click RePaint again."
SPOOL_LOST = "The finished picture is gone from the disk: click RePaint again."
_DOMAIN = b"client"


def version() -> str:
    """The installed version of the project; "0" when it runs from a plain folder."""
    try:
        return importlib.metadata.version("repaint-bridge")
    except importlib.metadata.PackageNotFoundError:
        return "0"


class Bridge:
    """The whole process; ``serve`` runs until stopped or idle for ``idle_seconds``."""

    def __init__(self, state: Path, idle_seconds: float, warm: str, limits: Limits) -> None:
        self._state, self._idle_seconds = state, idle_seconds
        self._journal = Journal(state)
        if self._journal.salvaged:
            log.error("the journal was damaged and has been put aside as journal.broken")
        self._secret = secrets.token_bytes(32)
        self._instance = secrets.token_hex(16)
        self._context = zmq.Context()
        self._gate = Gate(self._context)
        self._router = self._gate.router(_DOMAIN, send_high_water=16, max_frame=messages.MAX_PAYLOAD)
        self._gate.passwords[_DOMAIN] = (b"client", messages.client_password(self._secret))
        self._clients = Clients(self._router)
        self._wake, wake = socket.socketpair()
        self._wake.setblocking(False)
        wake.setblocking(False)
        self._wake_writer = wake
        self._engine = Supervisor(self._gate, self, wake, private_logs(state), warm, limits)
        self._jobs: dict[str, Job] = {}
        self._held: set[str] = set()  # queued jobs whose client is not there
        self._gone: OrderedDict[str, str] = OrderedDict()  # released or never stored: id → how it ended
        self._unsaved: set[str] = set()  # the journal could not be written; tried again
        self._credit: dict[str, set[int]] = {}
        self._preview_open: tuple[str, int, int] | None = None
        self._positions: dict[str, int] = {}
        self._place = 0
        self._turn: list[str] = []  # clients, the one served longest ago first
        self._began = self._used = time.monotonic()
        self._stopping = ""

    # --------------------------------------------------------------------------------------------------------- life

    def serve(self) -> None:
        """Announce the bridge and work until the end; everything is in order afterwards."""
        for job in self._journal.load():
            self._place = max(self._place, job.place + 1)
            if job.state == "running":  # the bridge died, not the engine: that is no attempt
                job.state = "queued"
                job.attempts = max(0, job.attempts - 1)
                self._save(job)
            self._jobs[job.job] = job
            if not job.ended:
                self._held.add(job.job)
        previous = signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop("asked to"))
        self._announce()
        self._engine.start()
        try:
            self._loop()
        finally:
            signal.set_wakeup_fd(previous)
            self._close()

    def stop(self, reason: str) -> None:
        """Leave the loop at its next turn."""
        self._stopping = self._stopping or reason

    def _announce(self) -> None:
        content = {
            "version": 1,
            "host": "127.0.0.1",
            "port": self._gate.port(self._router),
            "secret": self._secret.hex(),
            "pid": os.getpid(),
            "instance": self._instance,
        }
        launch.write_private(self._state / CONNECTION_FILE, json.dumps(content))
        log.info("bridge %s, process %d, listens", version(), os.getpid())

    def _loop(self) -> None:
        poller = zmq.Poller()
        for entry in (self._gate.socket, self._router, self._engine.socket, self._wake):
            poller.register(entry, zmq.POLLIN)
        next_tick = 0.0
        while not self._stopping:
            waiting = self._clients.flush()
            now = time.monotonic()
            if now >= next_tick:
                if now > next_tick + 2.0:
                    self._clients.forgive()
                    self._engine.forgive()
                self._tick()
                next_tick = time.monotonic() + min(0.5, self._engine.tick())
                continue
            ready = dict(poller.poll(5 if waiting else int((next_tick - now) * 1000) + 1))
            if self._wake.fileno() in ready:
                self._wake.recv(4096)
                self._engine.on_exit()
            if self._gate.socket in ready:
                self._gate.answer()
            if self._engine.socket in ready:
                self._engine.on_readable()
            if self._router in ready:
                self._on_clients()
            self._start_next()

    def _tick(self) -> None:
        for peer in self._clients.silent():
            log.info("client %s (%s) is gone", peer.client, peer.app)
            self._lost(peer)
        for job in list(self._unsaved):
            self._save(self._jobs[job])
        now = time.monotonic()
        if self._clients.by_route or any(not job.ended and job.job not in self._held for job in self._jobs.values()):
            self._used = now
        elif now - self._used > self._idle_seconds:
            self.stop("idle")

    def _close(self) -> None:
        log.info("leaving: %s", self._stopping or "an error")
        try:  # first, so that nobody is sent here any more
            path = self._state / CONNECTION_FILE
            if json.loads(path.read_text(encoding="utf-8")).get("instance") == self._instance:
                path.unlink()
        except (OSError, ValueError):
            pass
        for peer in list(self._clients.by_route.values()):
            self._clients.answer(peer.route, messages.Bye(self._stopping[:200]))
        self._engine.stop()
        self._router.close()
        self._engine.socket.close(0)
        self._gate.socket.close(0)
        self._journal.close()
        self._context.term()
        log.info("left")

    # ------------------------------------------------------------------------------------------------------ clients

    def _on_clients(self) -> None:
        for _ in range(16):
            try:
                route, *frames = self._router.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            about = ""
            peer = self._clients.by_route.get(route)
            try:
                message, payload = messages.decode(frames)
                if peer is None and not isinstance(message, messages.Hello):
                    raise WireError("The plug-in has to connect again.", "no hello")
                about = type(message).TYPE
                handler = self._handlers.get(type(message))
                if handler is None:
                    raise WireError("The plug-in and the bridge are of different versions: install both again.", "")
                if peer is not None:
                    peer.heard = time.monotonic()
                handler(self, peer if peer is not None else route, message, payload)
            except WireError as error:
                log.warning("refused a message (%s): %s", about, error.details)
                self._clients.answer(route, messages.Error(error.code, error.sentence, about, error.details[:4000]))

    def _hello(self, peer: Peer | bytes, message: messages.Hello, _: Any) -> None:
        if isinstance(peer, Peer):
            raise WireError("The plug-in has to connect again.", "a second hello")
        route = peer
        if message.protocol != messages.PROTOCOL:
            sentence = "The plug-in and the bridge are of different versions: install both again."
            self._clients.answer(route, messages.Error("protocol", sentence, "hello"))
            return
        earlier = self._clients.by_client.get(message.client)
        if earlier is not None and self._clients.alive(earlier):
            sentence = "Another window of this editor uses the RePaint bridge under the same name."
            self._clients.answer(route, messages.Error("in_use", sentence, "hello"))
            return
        peer = Peer(route, message.client, message.app)
        earlier = self._clients.add(peer)
        if earlier is not None:
            self._hold(peer.client)
        log.info("client %s (%s) is here", peer.client, peer.app)
        proof = messages.bridge_proof(self._secret, message.nonce)
        self._clients.send(peer, messages.Welcome(messages.PROTOCOL, proof, self._instance, version()))
        self._clients.send(peer, self._catalogue())
        if self._engine.state == "down" and self._engine.sentence:
            self._clients.send(peer, messages.Engine("down", True, False, self._engine.sentence))

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
            path = self._journal.incoming / secrets.token_hex(16)
            upload = peer.uploads[message.blob] = Upload(path, message.size)
        try:
            upload.add(message.offset, payload)
        except ValueError as error:
            peer.uploads.pop(message.blob).drop()
            raise WireError("The picture did not arrive whole: try again.", f"blob: {error}") from None

    def _submit(self, peer: Peer, message: messages.Submit, _: Any) -> None:
        uploads = [peer.uploads.pop(blob, None) for blob in (message.pixels, message.selection)]
        known = self._jobs.get(message.job)
        state = known.state if known is not None else self._gone.get(message.job)
        if state is not None:
            for upload in uploads:
                if upload is not None:
                    upload.drop()
            if known is not None and known.client != peer.client:
                raise WireError("This picture belongs to another editor.", "submit of another client's job")
            self._clients.send(peer, messages.State(message.job, state))
            return
        request = {
            "width": message.width, "height": message.height, "model": message.model, "preset": message.preset,
            "seed": message.seed, "variants": message.variants, "options": message.options, "tag": message.tag,
        }  # fmt: skip
        job = Job(message.job, peer.client, self._place, request)
        pixels, selection = uploads
        size = message.width * message.height
        broken = [upload.error for upload in uploads if upload is not None and upload.error]
        try:
            if broken:
                raise DiskFull(broken[0])
            if (
                pixels is None or selection is None or not pixels.complete or not selection.complete
                or pixels.size != size * 4 or selection.size != size
            ):  # fmt: skip
                self._refuse(peer, job, "no_pixels", "The picture did not arrive whole: click RePaint again.")
            elif size > messages.MAX_PIXELS or message.seed + message.variants - 1 >= messages.MAX_INTEGER:
                self._refuse(peer, job, "bad_request", "This selection is too large: select a smaller region.")
            else:
                self._journal.add(job, pixels.path, selection.path)
                self._place += 1
                self._jobs[job.job] = job
                log.info("job %s of %s: %dx%d, %s", job.job, job.client, message.width, message.height, message.model)
                self._say_positions(fresh=job.job)
        except DiskFull as error:
            log.error("no space for job %s: %s", job.job, error)
            self._refuse(peer, job, "disk_full", DISK_FULL)
        finally:
            for upload in uploads:
                if upload is not None:
                    upload.drop()

    def _refuse(self, peer: Peer, job: Job, code: str, sentence: str) -> None:
        self._forget(job.job, "failed")
        self._clients.send(peer, messages.Failed(job.job, code, sentence))

    def _credit_given(self, peer: Peer, message: messages.Credit, _: Any) -> None:
        job = self._own(peer, message.job)
        if job is None or job.ended:
            return
        wanted = {variant for variant in message.variants if variant < job.request["variants"]}
        self._credit.setdefault(job.job, set()).update(wanted)
        if job.job == self._engine.job:
            self._engine.send(work.Credit(job.job, tuple(sorted(wanted))))

    def _pull(self, peer: Peer, message: messages.Pull, _: Any) -> None:
        job = self._own(peer, message.job)
        if job is None or message.variant not in job.finished:
            raise WireError("The picture is not there any more.", "pull of an unknown result")
        if peer.pulls >= MAX_PULLS or message.offset + message.length > job.bytes_per_variant:
            raise WireError("The plug-in asks for too much.", "pull")
        peer.pulls += 1

        def make() -> Frames | None:
            try:
                piece = self._journal.read_result(message.job, message.variant, message.offset, message.length)
            except OSError as error:
                log.error("a result of job %s cannot be read: %r", message.job, error)
                return messages.encode(messages.Failed(message.job, "lost", SPOOL_LOST))
            return messages.encode(messages.Chunk(message.job, message.variant, message.offset), piece)

        def answered() -> None:
            peer.pulls -= 1

        self._clients.send_later(peer, make)
        self._clients.send_later(peer, answered)

    def _claim(self, peer: Peer, message: messages.Claim, _: Any) -> None:
        job = self._own(peer, message.job)
        if job is not None and message.variant in job.finished:
            with contextlib.suppress(DiskFull):  # handed back once more after a crash: harmless
                self._journal.claim(job, message.variant)

    def _release(self, peer: Peer, message: messages.Release, _: Any) -> None:
        job = self._own(peer, message.job)
        if job is None:
            return
        if not job.ended:
            self._end(job, "cancelled", say=False)
        self._remove(job)

    def _cancel(self, peer: Peer, message: messages.Cancel, _: Any) -> None:
        job = self._own(peer, message.job)
        if job is None:
            state = self._gone.get(message.job)
            if state is None:  # its submit is still to come: it will be answered by this state
                self._forget(message.job, "cancelled")
                self._clients.send(peer, messages.State(message.job, "cancelled"))
                self._clients.send(peer, messages.Cancelled(message.job))
            else:
                self._clients.send(peer, messages.State(message.job, state))
            return
        ended = job.ended
        self._clients.send(peer, messages.State(message.job, job.state if ended else "cancelled"))
        if not ended:
            self._end(job, "cancelled")

    def _attach(self, peer: Peer, message: messages.Attach, _: Any) -> None:
        self._list(peer, message, None)
        for name in message.jobs:
            job = self._own(peer, name)
            if job is None:
                continue
            self._held.discard(name)
            for finished in sorted(job.finished.values(), key=lambda each: each.variant):
                if not finished.claimed:
                    self._say_result(peer, job, finished)
            if job.ended:
                self._say_end(peer, job)
            else:
                self._positions.pop(name, None)
        self._say_positions()

    def _list(self, peer: Peer, _message: Any, _: Any) -> None:
        entries = [
            messages.JobEntry(
                job.job, job.request["tag"], job.request["model"], job.state, job.request["variants"],
                sum(not finished.claimed for finished in job.finished.values()),
                job.request["width"], job.request["height"],
            )
            for job in self._jobs.values()
            if job.client == peer.client
        ]  # fmt: skip
        entries = entries[-messages.MAX_JOBS_LISTED :]
        while True:
            try:
                self._clients.send(peer, messages.Jobs(tuple(entries)))
                return
            except WireError:  # tags too long for one header: the oldest can be asked for later
                entries = entries[len(entries) // 2 :]

    def _get_status(self, peer: Peer, _message: messages.GetStatus, _: Any) -> None:
        self._clients.send(peer, self._status())

    def _restart_engine(self, peer: Peer, _message: messages.RestartEngine, _: Any) -> None:
        log.info("client %s asks for an engine", peer.client)
        self._engine.start()

    def _stop(self, peer: Peer, _message: messages.Stop, _: Any) -> None:
        log.info("client %s asks for the end", peer.client)
        self.stop("asked to")

    def _own(self, peer: Peer, name: str) -> Job | None:
        job = self._jobs.get(name)
        if job is not None and job.client != peer.client:
            raise WireError("This picture belongs to another editor.", "another client's job")
        return job

    def _lost(self, peer: Peer) -> None:
        self._clients.remove(peer)
        self._hold(peer.client)
        self._say_positions()

    def _hold(self, client: str) -> None:
        """The client's queued jobs wait for it; its running job goes on."""
        self._held |= {job.job for job in self._jobs.values() if job.client == client and job.state == "queued"}

    # --------------------------------------------------------------------------------------------------------- jobs

    def _waiting(self) -> list[Job]:
        """The jobs that may run, in the order in which they will: clients take turns, each with its oldest."""
        by_client: dict[str, list[Job]] = {}
        for job in sorted(self._jobs.values(), key=lambda each: each.place):
            if job.state == "queued" and job.job not in self._held:
                by_client.setdefault(job.client, []).append(job)
        retried = [job for jobs in by_client.values() for job in jobs if job.attempts]
        turn = sorted(by_client, key=lambda each: self._turn.index(each) if each in self._turn else -1)
        order = list(retried)
        while any(by_client.values()):
            for client in turn:
                if by_client[client]:
                    job = by_client[client].pop(0)
                    if not job.attempts:
                        order.append(job)
        return order

    def _start_next(self) -> None:
        if self._engine.state == "down":
            for job in self._waiting():
                self._end(job, "failed", "engine_down", self._engine.sentence)
        if not self._engine.idle:
            return
        waiting = self._waiting()
        if not waiting:
            return
        job = waiting[0]
        request = job.request
        missing = [variant for variant in range(request["variants"]) if variant not in job.finished]
        if not missing:  # the bridge died between the last result and the end
            self._end(job, "done")
            return
        job.state = "running"
        job.attempts += 1
        self._save(job)
        self._turn = [*(client for client in self._turn if client != job.client), job.client][-1000:]
        first = missing[0]
        start = work.Start(
            job.job, request["width"], request["height"], request["model"], request["preset"], request["seed"], first,
            missing[-1] + 1 - first, request["options"], tuple(sorted(self._credit.get(job.job, ()))),
        )  # fmt: skip
        self._preview_open = None
        self._engine.run(start)
        self._say_positions()

    def _end(
        self, job: Job, state: str, code: str = "", sentence: str = "", details: str = "", say: bool = True
    ) -> None:
        """The one place where a job ends: journal, then the terminal event."""
        assert not job.ended
        job.state, job.code, job.sentence, job.details = state, code, sentence, details
        self._save(job)
        self._credit.pop(job.job, None)
        self._positions.pop(job.job, None)
        self._held.discard(job.job)
        log.info("job %s: %s %s", job.job, state, code)
        if self._engine.job == job.job and state != "done":
            self._engine.cancel()
        peer = self._clients.by_client.get(job.client)
        if peer is not None and say:
            self._say_end(peer, job)
        self._say_positions()

    def _remove(self, job: Job) -> None:
        self._forget(job.job, job.state)
        self._jobs.pop(job.job, None)
        self._unsaved.discard(job.job)
        try:
            self._journal.remove(job)
        except DiskFull:
            log.warning("job %s could not be removed from the journal", job.job)

    def _forget(self, name: str, state: str) -> None:
        self._gone[name] = state
        while len(self._gone) > 10000:
            self._gone.popitem(last=False)

    def _save(self, job: Job) -> None:
        try:
            self._journal.save(job)
            self._unsaved.discard(job.job)
        except DiskFull as error:
            if job.job not in self._unsaved:
                log.error("the journal cannot be written: %s", error)
            self._unsaved.add(job.job)

    # ------------------------------------------------------------------------------------------------- from the engine

    def from_worker(self, message: Any, payload: messages.Buffer | None) -> None:
        job = self._jobs.get(message.job)
        if isinstance(message, work.Need) and job is not None:
            piece = self._journal.read_input(job.job, message.what, message.offset, messages.CHUNK)
            self._engine.send(work.Input(job.job, message.what, message.offset), piece)
            return
        if job is None or job.ended:
            return  # cancelled meanwhile
        peer = self._clients.by_client.get(job.client)
        if isinstance(message, work.Step):
            if peer is not None:
                variants = job.request["variants"]
                self._clients.send_now(
                    peer,
                    messages.Progress(
                        job.job, message.variant, variants, message.call, message.calls, message.seconds_left
                    ),
                )
        elif isinstance(message, work.Preview):
            self._on_preview(peer, job, message, payload)
        elif isinstance(message, (work.Output, work.Result)):
            try:
                self._on_output(peer, job, message, payload)
            except DiskFull as error:
                log.error("no space for a result of job %s: %s", job.job, error)
                self._end(job, "failed", "disk_full", DISK_FULL, str(error)[:4000])
        elif isinstance(message, work.Idle):
            if message.outcome == "done" and len(job.finished) == job.request["variants"]:
                job.seconds = message.seconds
                self._end(job, "done")
            elif message.outcome == "failed":
                self._end(job, "failed", message.code, message.sentence, message.details)
            else:
                self._end(job, "failed", "engine_error", "The RePaint engine ended without a result: try again.")

    def _on_preview(self, peer: Peer | None, job: Job, message: work.Preview, payload: Any) -> None:
        key = (job.job, message.variant, message.call)
        if message.offset == 0:
            # a peer that has not taken the last one yet gets none: no preview is ever older than one in flight
            self._preview_open = key if peer is not None and not peer.unsent else None
            self._credit.get(job.job, set()).discard(message.variant)
            if self._preview_open is None and peer is not None:
                self._credit_given(peer, messages.Credit(job.job, (message.variant,)), None)
        if self._preview_open == key and peer is not None:
            piece = messages.Preview(
                job.job, message.variant, message.call, message.width, message.height, message.offset
            )
            self._clients.send(peer, piece, payload)

    def _on_output(self, peer: Peer | None, job: Job, message: work.Output | work.Result, payload: Any) -> None:
        if message.variant in job.finished:
            return  # computed once more only because it lies between two that were missing
        if isinstance(message, work.Output):
            self._journal.write_piece(job, message.variant, message.offset, payload)
            return
        finished = Finished(message.variant, message.seed, message.seconds, message.calls)
        self._journal.finish(job, finished)
        if peer is not None:
            self._say_result(peer, job, finished)

    def worker_died(self, job: str, sentence: str, will_retry: bool) -> None:
        broken = self._jobs.get(job)
        state = self._engine.state
        for peer in list(self._clients.by_route.values()):
            self._clients.send(peer, messages.Engine(state, True, will_retry, sentence))
        if broken is not None and not broken.ended:
            if broken.attempts >= 2:
                self._end(
                    broken, "failed", "engine_crashed",
                    "The RePaint engine crashed twice on this picture: try a smaller selection or another model.",
                )  # fmt: skip
            else:
                broken.state = "queued"
                self._save(broken)
                if broken.client not in self._clients.by_client:
                    self._held.add(broken.job)

    def engine_changed(self) -> None:
        for peer in list(self._clients.by_route.values()):
            self._clients.send(peer, self._catalogue())

    # -------------------------------------------------------------------------------------------------- saying things

    def _catalogue(self) -> messages.Catalogue:
        return messages.Catalogue(self._engine.models, self._engine.presets, self._engine.state)

    def _say_positions(self, fresh: str = "") -> None:
        """Tell the clients whose jobs wait where in the queue they are, if that has changed."""
        running = self._jobs.get(self._engine.job)
        ahead = 1 if running is not None and not running.ended else 0
        positions = {job.job: place + ahead for place, job in enumerate(self._waiting())}
        if ahead:
            positions[self._engine.job] = 0
        for name, position in positions.items():
            job = self._jobs[name]
            peer = self._clients.by_client.get(job.client)
            if peer is not None and (self._positions.get(name) != position or name == fresh):
                self._clients.send(peer, messages.Accepted(name, position, self._calls_of(job)))
        self._positions = positions

    def _calls_of(self, job: Job) -> int:
        if set(job.request["options"]) - {"hard"}:
            return 0
        return next((preset.calls for preset in self._engine.presets if preset.name == job.request["preset"]), 0)

    def _say_result(self, peer: Peer, job: Job, finished: Finished) -> None:
        request = job.request
        self._clients.send(
            peer,
            messages.Result(
                job.job, finished.variant, finished.seed, request["width"], request["height"], request["model"],
                finished.seconds, finished.calls,
            ),
        )  # fmt: skip

    def _say_end(self, peer: Peer, job: Job) -> None:
        if job.state == "done":
            self._clients.send(peer, messages.Done(job.job, job.seconds))
        elif job.state == "cancelled":
            self._clients.send(peer, messages.Cancelled(job.job))
        else:
            self._clients.send(peer, messages.Failed(job.job, job.code[:64], job.sentence[:500], job.details[:4000]))

    def _status(self) -> messages.Status:
        return messages.Status(
            bridge_version=version(),
            pid=os.getpid(),
            worker_pid=self._engine.pid,
            engine=self._engine.state,
            device=self._engine.device,
            clients=len(self._clients.by_route),
            queued=sum(job.state == "queued" for job in self._jobs.values()),
            running=self._engine.job,
            calls_total=self._engine.calls_total,
            calls_after_cancel=self._engine.calls_after_cancel,
            memory_mib=memory_mib(),
            uptime=time.monotonic() - self._began,
        )

    _handlers: ClassVar[dict[type[Any], Any]] = {
        messages.Hello: _hello,
        messages.Bye: _bye,
        messages.Ping: _ping,
        messages.Blob: _blob,
        messages.Submit: _submit,
        messages.Credit: _credit_given,
        messages.Pull: _pull,
        messages.Claim: _claim,
        messages.Release: _release,
        messages.Cancel: _cancel,
        messages.Attach: _attach,
        messages.ListJobs: _list,
        messages.GetStatus: _get_status,
        messages.RestartEngine: _restart_engine,
        messages.Stop: _stop,
    }


def private_logs(state: Path) -> Path:
    return launch.private_folder(state / "logs")


def memory_mib() -> float:
    """Resident memory of this process in MiB; 0 where it cannot be told cheaply."""
    if sys.platform != "linux":
        return 0.0
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
