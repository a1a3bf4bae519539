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
from collections.abc import Callable, Sequence
from typing import Any, Deque, Dict, List

from bridge_server.client import checks, events, messages
from bridge_server.client.codec import Buffer
from bridge_server.client.errors import BridgeError, ConnectionLost
from bridge_server.client.jobs import Jobs
from bridge_server.client.link import IN_USE, NO_HELLO, Link, find, find_or_start
from bridge_server.client.pieces import Pages
from bridge_server.client.records import BranchRequest
from bridge_server.client.requests import AnyRequest, JobRequest
from bridge_server.client.threads import NO_SIGNAL, spared
from bridge_server.client.waiting import Waiting

__all__ = ["BranchRequest", "JobRequest", "Session"]

log = logging.getLogger("repaint.session")

PING_SECONDS = 2.0
UNSENT = 2 * messages.CHUNK  # an upload waits while so much waits for the system


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
        self._lasting = client_id is not None
        self._client = client_id or secrets.token_hex(16)
        checks.IDENT.accept(self._client)
        self._commands: Deque[Callable[[], None]] = deque()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._closing = False
        self._resting = False  # the bridge said goodbye: it is not started again before it is needed
        self._again = False  # but it was asked to, so that another engine can be started
        self._waiting = Waiting(notify or (lambda: None))
        # what follows belongs to the network thread
        self._thread = threading.Thread(target=spared(self._run), name="repaint-bridge", daemon=True)
        self._jobs = Jobs(self._waiting, history, preview_interval)
        self._handlers: Dict[type, Callable[[Any, Buffer | None], None]] = {
            **self._jobs.handlers,
            messages.Catalogue: self._on_catalogue,
            messages.EngineDown: self._on_news,
            messages.Notice: self._on_news,
            messages.Downloading: self._on_downloading,
            messages.Downloaded: self._on_downloaded,
            messages.Bye: self._on_bye,
            messages.Error: self._on_error,
        }
        self._models = Pages("models")
        self._catalogue: messages.Catalogue | None = None
        self._downloads = 0  # that have ended
        self._disconnected = ""
        self._refusals = 0

    # ------------------------------------------------------------------------------------------- the editor's side

    def start(self) -> None:
        """Start the thread; ``Connected`` or ``Disconnected`` follows."""
        self._thread.start()

    def poll(self) -> List[events.Event]:
        """All events since the last call, oldest first.  Handing a preview over asks for the next one."""
        found = self._waiting.take()
        for event in found:
            if isinstance(event, (events.Preview, events.Result, *events.TERMINAL)):
                self._command(self._jobs.handed_over, event)
        return found

    def branch(self, request: BranchRequest) -> str:
        """Queue a job from a kept step and return its id; events as of ``submit``, and ``Failed`` (``state_gone``)."""
        return self._begin(request)

    def keep(self, job: str, variants: Sequence[int] = ()) -> None:
        """Stop a running job and keep the present estimates of these variants (none named: of all) as results."""
        self._command(self._jobs.say, messages.Keep(job, tuple(variants)))

    def look(self, job: str, variant: int, call: int) -> None:
        """Ask for the picture of a kept step: ``StepView`` follows, or ``Steps`` if it is gone."""
        self._command(self._jobs.say, messages.Look(job, variant, call))

    def fetch(self, job: str) -> None:
        """Ask once more for the results of a job that has ended (``history``): they come as events, with its end."""
        self._needed()
        self._command(self._jobs.fetch, job)

    def release(self, job: str) -> None:
        """Delete an ended job and its results at the bridge (``history``)."""
        self._command(self._jobs.release, job)

    def drop(self, job: str, variant: int) -> None:
        """Delete one result of an ended job at the bridge (``history``); with its last one the job goes, too."""
        self._command(self._jobs.drop, job, variant)

    def submit(self, request: JobRequest) -> str:
        """Queue a job and return its id; also before ``Connected``.  A bad request ends in ``Failed``."""
        return self._begin(request)

    def cancel(self, job: str) -> None:
        """Cancel a job in any state; twice or too late does no harm."""
        self._command(self._jobs.cancel, job)

    def resume(self, job: str) -> None:
        """Take over a job that was announced by ``Recovered``."""
        self._command(self._jobs.resume, job)

    def discard(self, job: str) -> None:
        """Give up a job that was announced by ``Recovered``; no event follows."""
        self._command(self._jobs.discard, job)

    def restart_engine(self) -> None:
        """Ask for a new engine process after EngineDown(will_retry=False)."""
        self._needed()
        self._command(self._jobs.say, messages.RestartEngine())

    def restart_bridge(self) -> None:
        """Have the bridge end in order and start the one that the launch file names now."""
        self._command(self._restart)

    def download(self, model: str, licence: str) -> None:
        """Fetch a model of the catalogue whose licence, as the catalogue says it, the artist has agreed to.

        ``Downloading`` and in the end ``Downloaded`` follow, also in the other editors of this user.
        """
        self._command(self._jobs.say, messages.Download(model, licence))

    def stop_download(self, model: str) -> None:
        """Stop it; what there is of it is kept."""
        self._command(self._jobs.say, messages.StopDownload(model))

    def set_preview_interval(self, seconds: float) -> None:
        """At least so many seconds between two previews of a variant (from now on)."""
        self._jobs.interval = max(0.0, seconds)

    def close(self, timeout: float = 1.0) -> None:
        """Say goodbye and end the thread; waits at most ``timeout`` seconds.

        With a ``client_id`` of its own, the running job finishes into the spool and the others wait, to be recovered;
        without one they are cancelled, because nobody could ask for them any more.
        """
        self._closing = True
        self._wake()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _begin(self, request: AnyRequest) -> str:
        job = secrets.token_hex(16)
        self._needed()
        self._command(self._jobs.begin, job, request)
        return job

    def _needed(self) -> None:
        self._resting = False

    def _command(self, function: Callable[..., None], *arguments: Any) -> None:
        self._commands.append(lambda: function(*arguments))
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # it has been woken often enough, or is gone
            self._wake_writer.send(b"x", NO_SIGNAL)

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
                    self._jobs.link = None
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
                self._lost(ConnectionLost("RePaint lost the connection to its engine; reconnecting.", "see the log"))
            until = time.monotonic() + pause
            while not self._run_commands() and time.monotonic() < until:
                self._wait(None, until)
            pause = min(2.0, pause * 2)
        self._wake_reader.close()
        self._wake_writer.close()

    def _run_commands(self) -> bool:
        """Do what the editor asked for; True when the session is closing."""
        while self._commands:
            self._commands.popleft()()
        return self._closing

    def _restart(self) -> None:
        """Where nothing is connected there is nothing to end: a bridge that rests is started."""
        self._resting, self._again = False, self._jobs.link is not None
        self._jobs.say(messages.Stop())

    def _give_way(self) -> bool:
        """Another window of the editor has our name: take one of our own, unless the name's jobs are ours."""
        self._refusals += 1
        if self._refusals < 5 or self._jobs.known_at_the_bridge:
            return False  # perhaps it is our own connection, which the bridge has not yet seen end
        self._client, self._lasting = secrets.token_hex(16), False
        self._jobs.renamed()
        return True

    def _lost(self, error: BridgeError) -> None:
        self._catalogue = None
        if self._disconnected != error.code + error.sentence and not self._closing:
            self._disconnected = error.code + error.sentence
            self._waiting.put(events.Disconnected(error.sentence, error.code))
        self._jobs.disconnected()

    def _serve(self, link: Link) -> None:
        self._disconnected = ""
        self._refusals = 0
        self._again = False
        self._models = Pages("models")
        self._jobs.connected(link)
        self._hear(link)
        heard = pinged = time.monotonic()
        number = 0
        while not self._run_commands():
            now = time.monotonic()
            if now - heard > messages.LOST_SECONDS and not link.wait(0.0):
                raise ConnectionLost("The RePaint engine no longer answers; reconnecting.", "silent")
            if now - pinged >= PING_SECONDS:
                pinged, number = now, number + 1
                link.send(messages.Ping(number))
            due = min(pinged + PING_SECONDS, self._jobs.send_credits(now))
            while self._jobs.uploading and link.unsent < UNSENT:
                self._jobs.upload_piece(link)
            link.flush()
            if self._jobs.uploading and link.unsent < UNSENT:
                due = now  # the system took it all: only look whether something came, then send on
            if self._wait(link, due) and self._hear(link):
                heard = time.monotonic()
        self._say_goodbye(link)

    def _say_goodbye(self, link: Link) -> None:
        if not self._lasting:
            self._jobs.release_all()
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

    # -------------------------------------------------------------------------------------------- from the bridge

    def _hear(self, link: Link) -> bool:
        """Hand over what has come, each message to the one that takes its kind; whether anything came."""
        found = link.receive()
        for message, payload in found:
            handler = self._handlers.get(type(message))
            if handler is not None:
                handler(message, payload)
            elif not isinstance(message, messages.Pong):
                log.warning("nothing to do with %s", type(message).TYPE)
        return bool(found)

    def _on_news(self, message: Any, _: Any) -> None:
        self._waiting.put(message)

    def _on_downloading(self, message: messages.Downloading, _: Any) -> None:
        self._waiting.put(message, messages.Downloading, self._downloads)

    def _on_downloaded(self, message: messages.Downloaded, _: Any) -> None:
        self._downloads += 1
        self._waiting.put(message)

    def _on_bye(self, message: messages.Bye, _: Any) -> None:
        self._resting, self._again = not self._jobs and not self._again, False
        raise ConnectionLost("The RePaint engine has stopped; it starts again when it is needed.", message.reason)

    def _on_error(self, message: messages.Error, _: Any) -> None:
        if message.code == NO_HELLO:
            raise ConnectionLost("The RePaint engine lost this editor; reconnecting.", message.details)
        self._jobs.on_error(message, None)

    def _on_catalogue(self, page: messages.Catalogue, _: Any) -> None:
        message = self._models.whole(page)
        if message is None or self._jobs.link is None:
            return
        if message.engine == "busy":
            message = messages.Catalogue(message.models, message.presets, "ready")
        if message != self._catalogue:
            self._catalogue = message
            version = self._jobs.link.welcome.bridge_version
            connected = events.Connected(message.models, message.presets, version, message.engine)
            self._waiting.put(connected, events.Connected)
