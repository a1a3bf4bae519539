"""The object a plug-in holds: one connection to the bridge, jobs in, events out, nothing ever blocks.

A daemon thread owns the socket.  It finds the bridge or starts it, proves both sides, sends pings, reconnects with
pauses of 0.1 … 2 s, and after every reconnection attaches its jobs again; a job that the new bridge does not know
(its journal is gone) is submitted once more under the same id, so nothing is ever computed twice.

    session = Session("krita 5.1.5", notify=wake_the_gui_thread)
    session.start()
    job = session.submit(JobRequest(width, height, pixels, selection))
    ...
    for event in session.poll():    # on the GUI thread, after notify
        ...

Exactly one of Done, Failed, Cancelled is returned per job, also for a request that could not even be sent.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Deque, Dict, List, Set, Tuple

from bridge_server.client import events, messages
from bridge_server.client.errors import BridgeError, ConnectionLost, WireError
from bridge_server.client.link import IN_USE, Link, find, find_or_start

log = logging.getLogger("repaint.session")

PING_SECONDS = 2.0
LOST_SECONDS = 6.0
WINDOW = 4  # unanswered pulls
UNSENT = 2 * messages.CHUNK  # an upload waits while so much waits for the system
OUT_OF_RANGE = "This request is out of range: check its settings."
EMPTY_SELECTION = "Nothing is selected: select the region to repaint, then click RePaint."


@dataclass(frozen=True)
class JobRequest:
    """Everything that defines the result, apart from the engine's version and device.

    width, height   pixels, 1 … 16384 each and at most 8192² together (the grown box, not the document)
    pixels          width*height*4 bytes: straight 8-bit sRGB R, G, B, A, rows from the top
    selection       width*height bytes: 255 = repaint, 0 = keep, between = soft edge
    model, preset   ids of the catalogue
    seed            0 … 2^53-1; None: drawn by the session, and reported in every Result
    variants        1 … 16; variant k is the run with seed + k
    options         steps, jump_length, schedule, hard, learn, wrap, …: plain values by name, decided by the engine
    tag             free text ≤ 1000, handed back in Recovered
    """

    width: int
    height: int
    pixels: bytes
    selection: bytes
    model: str = "exemplar"
    preset: str = "fast"
    seed: int | None = None
    variants: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    tag: str = ""


@dataclass(frozen=True)
class BranchRequest:
    """A job that starts from a kept step (``events.Steps``) of another.

    kind       "continue": as planned; "harmonise": small late jumps; "idea": one large jump now
    seed       None: the parent's own, so that "continue" takes the parent's run up again
    jump       levels of each jump, and times: how many; 0: the kind's own
    """

    parent: str
    variant: int
    call: int
    kind: str = "continue"
    variants: int = 1
    seed: int | None = None
    jump: int = 0
    times: int = 0
    tag: str = ""


class _Job:
    """What the network thread knows about one job."""

    def __init__(self, job: str, variants: int, request: JobRequest | BranchRequest | None, seed: int | None) -> None:
        self.job, self.variants, self.request, self.seed = job, variants, request, seed
        self.results = 0  # handed to the editor
        self.sent = request is None  # a submit went out at some time
        self.answer_due = False  # a submit went out on this connection and nothing has come back
        self.asked_again = False
        self.cancel = False
        self.got: Set[int] = set()  # variants handed to the event queue
        self.downloads: Dict[int, _Download] = {}
        self.end: Any = None  # the terminal event, while downloads are under way
        self.preview: Tuple[Tuple[int, int], bytearray] | None = None
        self.preview_at: Dict[int, float] = {}
        self.credit_due: Dict[int, float] = {}


class _Download:
    def __init__(self, message: messages.Result) -> None:
        self.message = message
        self.data = bytearray(message.width * message.height * 4)
        self.asked = self.received = 0


class Session:
    """See the module's docstring.  All methods may be called from any thread and return at once."""

    def __init__(
        self,
        app: str,
        notify: Callable[[], None] | None = None,
        client_id: str | None = None,
        preview_interval: float = 0.15,
        history: bool = False,
    ) -> None:
        """``app``: name and version of the editor, for the log.  ``notify`` is called on the network thread
        whenever events wait; it must be cheap and must not touch widgets (emit a queued signal, write to a pipe).
        ``client_id``: letters, digits, - and _, at most 64; give the same one after a restart of the editor to get
        unfinished jobs back (``events.Recovered``); None: a random one.  While another live session has the same one,
        this session goes by a random one.
        ``history``: jobs with results stay at the bridge after their end, for ``fetch`` or a later ``Recovered``, until
        ``release``.
        """
        self._app = app
        self._notify = notify or (lambda: None)
        self._lasting = client_id is not None
        self._client = client_id or secrets.token_hex(16)
        messages.IDENT.accept(self._client)
        self._interval = preview_interval
        self._history = history
        self._commands: Deque[Callable[[], None]] = deque()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._closing = False
        self._resting = False  # the bridge said goodbye: it is not started again before it is needed
        self._lock = threading.Lock()  # guards the two below
        self._events: List[events.Event] = []
        self._slots: Dict[Tuple[Any, ...], int] = {}
        # what follows belongs to the network thread
        self._thread = threading.Thread(target=self._run, name="repaint-bridge", daemon=True)
        self._link: Link | None = None
        self._jobs: Dict[str, _Job] = {}
        self._ended: Set[str] = set()  # handed over, and to be released at the bridge
        self._dropped: Set[Tuple[str, int]] = set()  # single results that are to go; said again after each connecting
        self._recovered: Dict[str, messages.JobEntry] = {}
        self._kept: Dict[str, int] = {}  # ended, not released: number of variants
        self._view: Tuple[Tuple[str, int, int], bytearray] | None = None
        self._uploads: Deque[Tuple[str, Iterator[Tuple[Any, Any]]]] = deque()
        self._attached: Set[str] | None = None
        self._pulls = 0
        self._downloads = 0  # that have ended
        self._catalogue: messages.Catalogue | None = None
        self._disconnected = ""
        self._refusals = 0

    # ------------------------------------------------------------------------------------------- the editor's side

    def start(self) -> None:
        """Start the thread; ``Connected`` or ``Disconnected`` follows."""
        self._thread.start()

    def poll(self) -> List[events.Event]:
        """All events since the last call, oldest first.  Handing a preview over asks for the next one."""
        with self._lock:
            found, self._events = self._events, []
            self._slots.clear()
        for event in found:
            if isinstance(event, (events.Preview, events.Result, *events.TERMINAL)):
                self._command(self._handed_over, event)
        return found

    def branch(self, request: BranchRequest) -> str:
        """Queue a job from a kept step and return its id; events as of ``submit``, and ``Failed`` (``state_gone``)."""
        job = secrets.token_hex(16)
        self._command(self._begin, job, request)
        return job

    def keep(self, job: str, variants: Sequence[int] = ()) -> None:
        """Stop a running job and keep the present estimates of these variants (none named: of all) as results."""
        self._command(self._send, messages.Keep(job, tuple(variants)))

    def look(self, job: str, variant: int, call: int) -> None:
        """Ask for the picture of a kept step: ``StepView`` follows, or ``Steps`` if it is gone."""
        self._command(self._send, messages.Look(job, variant, call))

    def fetch(self, job: str) -> None:
        """Ask once more for the results of a job that has ended (``history``): they come as events, with its end."""
        self._command(self._fetch, job)

    def release(self, job: str) -> None:
        """Delete an ended job and its results at the bridge (``history``)."""
        self._command(self._release, job)

    def drop(self, job: str, variant: int) -> None:
        """Delete one result of an ended job at the bridge (``history``); with its last one the job goes, too."""
        self._command(self._drop, job, variant)

    def submit(self, request: JobRequest) -> str:
        """Queue a job and return its id; also before ``Connected``.  A bad request ends in ``Failed``."""
        job = secrets.token_hex(16)
        self._command(self._begin, job, request)
        return job

    def cancel(self, job: str) -> None:
        """Cancel a job in any state; twice or too late does no harm."""
        self._command(self._cancel, job)

    def resume(self, job: str) -> None:
        """Take over a job that was announced by ``Recovered``."""
        self._command(self._resume, job)

    def discard(self, job: str) -> None:
        """Give up a job that was announced by ``Recovered``; no event follows."""
        self._command(self._discard, job)

    def restart_engine(self) -> None:
        """Ask for a new engine process after EngineDown(will_retry=False)."""
        self._command(self._restart_engine)

    def download(self, model: str, licence: str) -> None:
        """Fetch a model of the catalogue whose licence, as the catalogue says it, the artist has agreed to.

        ``Downloading`` and in the end ``Downloaded`` follow, also in the other editors of this user.
        """
        self._command(self._send, messages.Download(model, licence))

    def stop_download(self, model: str) -> None:
        """Stop it; what there is of it is kept."""
        self._command(self._send, messages.StopDownload(model))

    def set_preview_interval(self, seconds: float) -> None:
        """At least so many seconds between two previews of a variant (from now on)."""
        self._interval = max(0.0, seconds)

    def close(self, timeout: float = 1.0) -> None:
        """Say goodbye and end the thread; waits at most ``timeout`` seconds.

        With a ``client_id`` of its own, the running job finishes into the spool and the others wait, to be recovered;
        without one they are cancelled, because nobody could ask for them any more.
        """
        self._closing = True
        self._wake()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _command(self, function: Callable[..., None], *arguments: Any) -> None:
        self._commands.append(lambda: function(*arguments))
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # it has been woken often enough, or is gone
            self._wake_writer.send(b"x")

    # ------------------------------------------------------------------------------------- commands, on the thread

    def _run_commands(self) -> bool:
        """Do what the editor asked for; True when the session is closing."""
        while self._commands:
            self._commands.popleft()()
        return self._closing

    def _send(self, message: Any) -> None:
        """Where there is no bridge just now, there is nothing to keep or to look at."""
        if self._link is not None:
            self._link.send(message)

    def _begin(self, name: str, request: JobRequest | BranchRequest) -> None:
        seed = request.seed
        if seed is None and isinstance(request, JobRequest):
            seed = secrets.randbelow(messages.MAX_INTEGER - messages.MAX_VARIANTS)
        job = self._jobs[name] = _Job(name, request.variants, request, seed)
        try:
            refusal = _refusal(job, self._history)
        except Exception as error:  # fields of quite another kind
            refusal = events.Failed(name, "bad_request", OUT_OF_RANGE, repr(error))
        if refusal is not None:
            self._finish(job, refusal)
            return
        self._resting = False
        self._schedule_upload(job)

    def _cancel(self, name: str) -> None:
        job = self._jobs.get(name)
        if job is None or job.cancel or job.end is not None:
            return
        job.cancel = True
        self._stop_upload(name)
        if self._link is not None and job.sent:
            self._link.send(messages.Cancel(name))
        else:  # the bridge hears of it with the release, when there is one again
            self._finish(job, events.Cancelled(name))

    def _resume(self, name: str) -> None:
        entry = self._recovered.pop(name, None)
        if entry is not None:
            self._jobs[name] = _Job(name, entry.variants, None, 0)
            if self._link is not None:
                self._link.send(messages.Attach((name,)))
                self._grant(self._jobs[name])

    def _fetch(self, name: str) -> None:
        variants = self._kept.pop(name, None)
        if variants is None:
            return
        self._jobs[name] = _Job(name, variants, None, 0)
        self._resting = False
        if self._link is not None:  # else it is asked for as soon as there is one
            self._link.send(messages.Attach((name,)))

    def _discard(self, name: str) -> None:
        if self._recovered.pop(name, None) is not None:
            self._release(name)

    def _restart_engine(self) -> None:
        self._resting = False
        if self._link is not None:
            self._link.send(messages.RestartEngine())

    def _handed_over(self, event: events.Event) -> None:
        """The editor has this event: claim, release, or ask for the next preview."""
        if isinstance(event, events.Preview):
            job = self._jobs.get(event.job)
            if job is not None:
                job.credit_due[event.variant] = job.preview_at.get(event.variant, 0.0) + self._interval
        elif isinstance(event, events.Result):
            if self._link is not None and not self._history:
                self._link.send(messages.Claim(event.job, event.variant))
        elif isinstance(event, events.TERMINAL) and event.job not in self._kept:
            self._release(event.job)

    def _release(self, name: str) -> None:
        self._kept.pop(name, None)
        self._recovered.pop(name, None)
        self._jobs.pop(name, None)  # its results may be on their way once more
        self._ended.add(name)
        if self._link is not None:
            self._link.send(messages.Release(name))

    def _drop(self, name: str, variant: int) -> None:
        self._dropped.add((name, variant))
        self._send(messages.Drop(name, variant))

    # ------------------------------------------------------------------------------------------------- the thread

    def _run(self) -> None:
        pause = 0.1
        while not self._closing:
            try:
                if self._resting:
                    link = find(self._client, self._app)
                else:
                    link = find_or_start(self._client, self._app, self._run_commands)
                began = time.monotonic()
                try:
                    self._serve(link)
                finally:
                    self._link = None
                    link.close()
                    if time.monotonic() - began > 5.0:
                        pause = 0.1
            except BridgeError as error:
                if error.code == IN_USE and self._give_way():
                    continue
                log.info("not connected: %s (%s)", error.sentence, error.details)
                self._lost(error)
            except Exception:  # a fault of ours must not leave the editor without a word
                log.exception("the session stumbled")
                self._lost(ConnectionLost("The RePaint plug-in lost its bridge; it connects again.", "see the log"))
            until = time.monotonic() + pause
            while not self._run_commands() and time.monotonic() < until:
                self._wait(None, until)
            pause = min(2.0, pause * 2)
        self._wake_reader.close()
        self._wake_writer.close()

    def _give_way(self) -> bool:
        """Another window of the editor has our name: take one of our own, unless the name's jobs are ours."""
        self._refusals += 1
        if self._refusals < 5 or any(job.sent for job in self._jobs.values()):
            return False  # perhaps it is our own connection, which the bridge has not yet seen end
        self._client, self._lasting = secrets.token_hex(16), False
        return True

    def _lost(self, error: BridgeError) -> None:
        self._catalogue = None
        self._uploads.clear()
        if self._disconnected != error.code + error.sentence and not self._closing:
            self._disconnected = error.code + error.sentence
            self._put(events.Disconnected(error.sentence, error.code))
        for job in [job for job in self._jobs.values() if job.cancel]:
            self._finish(job, events.Cancelled(job.job))

    def _serve(self, link: Link) -> None:
        self._link = link
        self._disconnected = ""
        self._refusals = 0
        self._pulls = 0
        self._view = None
        self._uploads.clear()
        for job in self._jobs.values():
            job.downloads.clear()
            job.end = job.preview = None
            job.answer_due = False
            job.credit_due.clear()
        for name in self._ended:
            link.send(messages.Release(name))
        for name, variant in self._dropped:
            link.send(messages.Drop(name, variant))
        wanted = [name for name, job in self._jobs.items() if job.sent]
        self._attached = set(wanted)
        for start in range(0, max(1, len(wanted)), messages.MAX_JOBS_LISTED):
            link.send(messages.Attach(tuple(wanted[start : start + messages.MAX_JOBS_LISTED])))
        for job in list(self._jobs.values()):
            if job.sent:
                self._grant(job)
            else:
                self._schedule_upload(job)
        for message, payload in link.receive():
            self._take(message, payload)
        heard = pinged = time.monotonic()
        number = 0
        while not self._run_commands():
            now = time.monotonic()
            if now - heard > LOST_SECONDS and not link.wait(0.0):
                raise ConnectionLost("The RePaint bridge does not answer any more; connecting again.", "silent")
            if now - pinged >= PING_SECONDS:
                pinged, number = now, number + 1
                link.send(messages.Ping(number))
            due = min(pinged + PING_SECONDS, self._send_credits(now))
            while self._uploads and link.unsent < UNSENT:
                self._upload_piece(link)
            link.flush()
            if self._uploads and link.unsent < UNSENT:
                due = now  # the system took it all: only look whether something came, then send on
            if self._wait(link, due):
                for message, payload in link.receive():
                    heard = time.monotonic()
                    self._take(message, payload)
        self._say_goodbye(link)

    def _say_goodbye(self, link: Link) -> None:
        if not self._lasting:
            for name in self._jobs:
                link.send(messages.Release(name))
        link.send(messages.Bye())
        deadline = time.monotonic() + 0.5
        while not link.flush() and time.monotonic() < deadline:
            time.sleep(0.01)

    def _wait(self, link: Link | None, until: float) -> bool:
        """Until the editor or the bridge (then True) has something, or that time has come."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_reader, selectors.EVENT_READ)
            if link is not None:
                writing = selectors.EVENT_WRITE if link.unsent else 0
                selector.register(link, selectors.EVENT_READ | writing)
            found = selector.select(max(0.0, until - time.monotonic()))
        readable = False
        for key, mask in found:
            if key.fileobj is self._wake_reader:
                self._wake_reader.recv(4096)
            elif mask & selectors.EVENT_READ:
                readable = True
        return readable

    # ---------------------------------------------------------------------------------------------- to the bridge

    def _schedule_upload(self, job: _Job) -> None:
        if self._link is not None and all(name != job.job for name, _ in self._uploads):
            self._uploads.append((job.job, _upload(job, self._history)))

    def _stop_upload(self, name: str) -> None:
        for entry in [entry for entry in self._uploads if entry[0] == name]:
            self._uploads.remove(entry)

    def _upload_piece(self, link: Link) -> None:
        name, pieces = self._uploads[0]
        job = self._jobs.get(name)
        piece = next(pieces, None) if job is not None else None
        if piece is None or job is None:
            self._uploads.popleft()
            return
        link.send(*piece)
        if isinstance(piece[0], (messages.Submit, messages.Branch)):
            job.sent = job.answer_due = True
            self._grant(job)

    def _grant(self, job: _Job) -> None:
        if self._link is not None:
            self._link.send(messages.Credit(job.job, tuple(range(job.variants))))

    def _send_credits(self, now: float) -> float:
        """Ask for the previews that are due; returns when the next one will be."""
        following = float("inf")
        for job in self._jobs.values():
            due = [variant for variant, moment in job.credit_due.items() if moment <= now]
            for variant in due:
                del job.credit_due[variant]
            if due and self._link is not None:
                self._link.send(messages.Credit(job.job, tuple(due)))
            following = min([following, *job.credit_due.values()])
        return following

    def _pull(self) -> None:
        if self._link is None:
            return
        for job in self._jobs.values():
            for download in job.downloads.values():
                size = len(download.data)
                while self._pulls < WINDOW and download.asked < size:
                    length = min(messages.CHUNK, size - download.asked)
                    self._link.send(messages.Pull(job.job, download.message.variant, download.asked, length))
                    download.asked += length
                    self._pulls += 1

    # -------------------------------------------------------------------------------------------- from the bridge

    def _take(self, message: Any, payload: messages.Buffer | None) -> None:
        if isinstance(message, messages.Catalogue):
            self._on_catalogue(message)
        elif isinstance(message, messages.Engine):
            if message.died:
                self._put(events.EngineDown(message.sentence, message.will_retry))
        elif isinstance(message, messages.Jobs):
            self._on_jobs(message)
        elif isinstance(message, messages.Steps):
            steps = tuple(events.Step(**vars(step)) for step in message.steps)
            self._put(events.Steps(message.job, message.variant, steps), ("steps", message.job, message.variant))
        elif isinstance(message, messages.View) and payload is not None:
            self._on_view(message, payload)
        elif isinstance(message, messages.Downloading):
            self._put(events.Downloading(**vars(message)), ("downloading", self._downloads))
        elif isinstance(message, messages.Downloaded):
            self._downloads += 1
            self._put(events.Downloaded(**vars(message)))
        elif isinstance(message, messages.Bye):
            self._resting = not self._jobs
            raise ConnectionLost("The RePaint bridge has stopped; it starts again when it is needed.", message.reason)
        elif isinstance(message, messages.Error):
            raise WireError(message.sentence, message.details)
        else:
            job = self._jobs.get(getattr(message, "job", ""))
            if job is not None:
                job.answer_due = job.answer_due and isinstance(message, messages.State)
                self._on_job(job, message, payload)

    def _on_job(self, job: _Job, message: Any, payload: messages.Buffer | None) -> None:
        name = job.job
        if isinstance(message, messages.Accepted):
            self._put(events.Accepted(name, message.position, message.calls))
        elif isinstance(message, messages.Learning):
            self._put(events.Learning(name, message.fraction, message.seconds_left), ("learning", name))
        elif isinstance(message, messages.Note):
            self._put(events.Note(name, message.sentence))
        elif isinstance(message, messages.Progress):
            fields = (message.variants, message.call, message.calls, message.seconds_left)
            self._put(events.Progress(name, message.variant, *fields), ("progress", name, message.variant))
        elif isinstance(message, messages.Preview) and payload is not None:
            self._on_preview(job, message, payload)
        elif isinstance(message, messages.Result):
            if message.variant not in job.got and message.variant not in job.downloads:
                job.downloads[message.variant] = _Download(message)
                self._pull()
        elif isinstance(message, messages.Chunk) and payload is not None:
            self._on_chunk(job, message, payload)
        elif isinstance(message, messages.State):
            self._on_state(job, message)
        elif isinstance(message, messages.Done):
            self._finish(job, events.Done(name, message.seconds))
        elif isinstance(message, messages.Failed):
            if message.code == "lost":
                job.downloads.clear()
            self._finish(job, events.Failed(name, message.code, message.sentence, message.details))
        elif isinstance(message, messages.Cancelled):
            self._finish(job, events.Cancelled(name))

    def _on_catalogue(self, message: messages.Catalogue) -> None:
        if message.engine == "busy":
            message = messages.Catalogue(message.models, message.presets, "ready")
        if message == self._catalogue or self._link is None:
            return
        self._catalogue = message
        models = tuple(events.Model(**vars(entry)) for entry in message.models)
        presets = tuple(events.Preset(**vars(entry)) for entry in message.presets)
        version = self._link.welcome.bridge_version
        self._put(events.Connected(models, presets, version, message.engine), ("connected",))

    def _on_jobs(self, message: messages.Jobs) -> None:
        known = {entry.job: entry for entry in message.jobs}
        for name, entry in known.items():
            if name in self._ended:
                self._release(name)
            elif name not in self._jobs and name not in self._recovered and name not in self._kept:
                self._recovered[name] = entry
                self._put(events.Recovered(**vars(entry)))
        self._ended &= set(known)
        missing, self._attached = (self._attached or set()) - set(known), None
        for job in [job for name, job in self._jobs.items() if name in missing]:
            if job.request is not None:
                self._schedule_upload(job)
            else:
                self._finish(job, _lost_at_the_bridge(job.job))

    def _on_preview(self, job: _Job, message: messages.Preview, payload: messages.Buffer) -> None:
        key = (message.variant, message.call)
        if message.offset == 0:
            job.preview = (key, bytearray())
        if job.preview is None or job.preview[0] != key or len(job.preview[1]) != message.offset:
            job.preview = None
            return
        data = job.preview[1]
        data += payload
        if len(data) >= message.width * message.height * 4:
            job.preview = None
            job.preview_at[message.variant] = time.monotonic()
            event = events.Preview(job.job, message.variant, message.call, message.width, message.height, bytes(data))
            self._put(event, ("preview", job.job, message.variant))

    def _on_view(self, message: messages.View, payload: messages.Buffer) -> None:
        key = (message.job, message.variant, message.call)
        if message.offset == 0:
            self._view = (key, bytearray())
        if self._view is None or self._view[0] != key or len(self._view[1]) != message.offset:
            self._view = None
            return
        self._view[1].extend(payload)
        if len(self._view[1]) >= message.width * message.height * 4:
            rgba, self._view = bytes(self._view[1]), None
            self._put(
                events.StepView(*key, message.width, message.height, rgba), ("view", message.job, message.variant)
            )

    def _on_chunk(self, job: _Job, message: messages.Chunk, payload: messages.Buffer) -> None:
        self._pulls = max(0, self._pulls - 1)
        download = job.downloads.get(message.variant)
        if download is not None:
            if message.offset != download.received or download.received + len(payload) > len(download.data):
                raise WireError("A picture did not arrive whole; connecting again.", "chunk out of order")
            download.data[download.received : download.received + len(payload)] = payload
            download.received += len(payload)
            if download.received == len(download.data):
                self._on_result(job, download)
        self._pull()

    def _on_result(self, job: _Job, download: _Download) -> None:
        result = download.message
        del job.downloads[result.variant]
        job.got.add(result.variant)
        job.results += 1
        fields = (result.seed, result.width, result.height, bytes(download.data), result.model, result.seconds)
        self._put(events.Result(job.job, result.variant, *fields, result.calls, result.unfinished))
        if job.end is not None:
            self._finish(job, job.end)

    def _on_state(self, job: _Job, message: messages.State) -> None:
        if message.state == "cancelled":
            self._finish(job, events.Cancelled(job.job))
        elif job.answer_due and self._link is not None:
            job.answer_due = False  # a submit that the bridge had already: hear the rest
            if message.state in ("done", "failed") and job.asked_again:
                self._finish(job, _lost_at_the_bridge(job.job))
            else:
                job.asked_again = True
                self._link.send(messages.Attach((job.job,)))
                self._attached = {job.job}

    def _finish(self, job: _Job, end: Any) -> None:
        """The one place where a job ends; waits for its results unless it is cancelled."""
        if job.downloads and not isinstance(end, events.Cancelled):
            job.end = end
            return
        self._stop_upload(job.job)
        del self._jobs[job.job]
        if self._history and job.results:
            self._kept[job.job] = job.variants
        else:
            self._ended.add(job.job)
        self._put(end)

    def _put(self, event: events.Event, slot: Tuple[Any, ...] | None = None) -> None:
        """Queue an event; one with a ``slot`` replaces the last of that slot that has not been polled."""
        with self._lock:
            if slot is not None and slot in self._slots:
                self._events[self._slots[slot]] = event
            else:
                if slot is not None:
                    self._slots[slot] = len(self._events)
                self._events.append(event)
        try:
            self._notify()
        except Exception:
            log.exception("notify")


def _lost_at_the_bridge(job: str) -> events.Failed:
    return events.Failed(job, "lost", "The RePaint bridge lost this picture: click RePaint again.")


def _submit(job: _Job, history: bool) -> messages.Submit | messages.Branch:
    request = job.request
    assert request is not None
    if isinstance(request, BranchRequest):
        return messages.Branch(job=job.job, history=history, **vars(request))
    assert job.seed is not None
    return messages.Submit(
        job=job.job,
        width=request.width,
        height=request.height,
        pixels="p" + job.job,
        selection="s" + job.job,
        model=request.model,
        preset=request.preset,
        seed=job.seed,
        variants=request.variants,
        options=dict(request.options),
        tag=request.tag,
        history=history,
    )


def _refusal(job: _Job, history: bool) -> events.Failed | None:
    """Why this request cannot even be sent, or None."""
    request = job.request
    assert request is not None
    try:
        messages.encode(_submit(job, history))
    except WireError as error:
        return events.Failed(job.job, "bad_request", OUT_OF_RANGE, error.details)
    if isinstance(request, BranchRequest):
        return None
    assert job.seed is not None
    size = request.width * request.height
    if size > messages.MAX_PIXELS:
        return events.Failed(job.job, "too_large", "This selection is too large: select a smaller region.")
    if job.seed + request.variants - 1 >= messages.MAX_INTEGER:
        return events.Failed(job.job, "bad_request", "This seed is too large: choose a smaller one.")
    if memoryview(request.pixels).nbytes != size * 4 or memoryview(request.selection).nbytes != size:
        return events.Failed(job.job, "bad_request", "The picture and its selection are not of the announced size.")
    if not bytes(request.selection).strip(b"\0"):
        return events.Failed(job.job, "empty_selection", EMPTY_SELECTION)
    return None


def _upload(job: _Job, history: bool) -> Iterator[Tuple[Any, Any]]:
    """The messages of a submit or a branch, made one at a time."""
    request = job.request
    if not isinstance(request, JobRequest):
        yield _submit(job, history), None
        return
    for blob, data in (("p" + job.job, request.pixels), ("s" + job.job, request.selection)):
        view = memoryview(data).cast("B")
        for offset in range(0, len(view), messages.CHUNK):
            yield messages.Blob(blob, len(view), offset), view[offset : offset + messages.CHUNK]
    yield _submit(job, history), None
