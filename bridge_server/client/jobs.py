"""The jobs of a session, on its network thread: what is asked of the bridge for them, and what it answers.

Every job ends in exactly one of Done, Failed, Cancelled.  What cannot be said while there is no bridge is said when
there is one again (`connected`).
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar, Deque, Dict, Set, Tuple, Type

from bridge_server.client import events, messages
from bridge_server.client.codec import Buffer
from bridge_server.client.errors import BridgeError
from bridge_server.client.link import Link
from bridge_server.client.pieces import Download, Pages, Pieces, painted_pixels
from bridge_server.client.records import PIXEL_BYTES, OfJob
from bridge_server.client.requests import AnyRequest, Outgoing
from bridge_server.client.waiting import Waiting

log = logging.getLogger("repaint.session")

ENDING = ("submit", "branch", "attach", "cancel", "pull")  # an error about one of these ends its job
WISHES = ("keep", "look", "download", "stop-download", "restart-engine")  # the artist hears of an error about these
LOST = "The RePaint engine lost this picture: click RePaint again."


class Job:
    """One job that has not ended; ``outgoing``: None if it was taken over from an earlier session."""

    def __init__(self, name: str, variants: int, outgoing: Outgoing | None) -> None:
        self.name, self.variants, self.outgoing = name, variants, outgoing
        self.sent = outgoing is None  # its request went out at some time
        self.answer_due = False  # its request went out on this connection and nothing has come back
        self.asked_again = False
        self.cancel = False
        self.got: Set[int] = set()  # variants handed to the editor
        self.downloads: Dict[int, Download] = {}
        self.end: Any = None  # the terminal event, while downloads are under way
        self.preview = Pieces()
        self.preview_at: Dict[int, float] = {}
        self.credit_due: Dict[int, float] = {}

    def disconnected(self) -> None:
        """What was under way on the connection is void."""
        self.downloads.clear()
        self.credit_due.clear()
        self.preview, self.end, self.answer_due = Pieces(), None, False


class Jobs:
    """All of them.  ``link``: the present connection; ``interval``: seconds between two previews of a variant."""

    def __init__(self, waiting: Waiting, history: bool, interval: float) -> None:
        self._put = waiting.put
        self._history = history
        self.interval = interval
        self.link: Link | None = None
        self._jobs: Dict[str, Job] = {}
        self._ended: Set[str] = set()  # handed over, and to be released at the bridge
        self._dropped: Set[Tuple[str, int]] = set()  # single results that are to go; said again after each connecting
        self._recovered: Dict[str, events.Recovered] = {}
        self._kept: Dict[str, int] = {}  # ended, not released: number of variants
        self._uploads: Deque[Tuple[Job, Iterator[Tuple[Any, Buffer | None]]]] = deque()
        self._attached: Set[str] | None = None
        self._listed, self._steps = Pages("jobs"), Pages("steps")
        self._view = Pieces()
        self._pulls = 0

    def __bool__(self) -> bool:
        return bool(self._jobs)

    @property
    def uploading(self) -> bool:
        return bool(self._uploads)

    @property
    def known_at_the_bridge(self) -> bool:
        """Whether a job of ours may be there, under our name."""
        return any(job.sent for job in self._jobs.values())

    def say(self, message: Any) -> None:
        """Send it, if there is a bridge just now."""
        if self.link is not None:
            self.link.send(message)

    # ------------------------------------------------------------------------------------------------- connections

    def connected(self, link: Link) -> None:
        """Say again what an earlier connection may not have carried, and ask for what was missed."""
        self.link = link
        self._pulls, self._view = 0, Pieces()
        self._listed, self._steps = Pages("jobs"), Pages("steps")
        self._uploads.clear()
        for job in self._jobs.values():
            job.disconnected()
        for name in self._ended:
            link.send(messages.Release(name))
        for name, variant in self._dropped:
            link.send(messages.Drop(name, variant))
        wanted = [name for name, job in self._jobs.items() if job.sent]
        self._attached = set(wanted)
        for start in range(0, max(1, len(wanted)), messages.MAX_ATTACHED):
            link.send(messages.Attach(tuple(wanted[start : start + messages.MAX_ATTACHED])))
        for job in list(self._jobs.values()):
            if job.sent:
                self._grant(job)
            else:
                self._schedule_upload(job)

    def disconnected(self) -> None:
        self.link = None
        self._uploads.clear()
        for job in [job for job in self._jobs.values() if job.cancel]:
            self._finish(job, events.Cancelled(job.name))

    def renamed(self) -> None:
        """The session goes by another name from now on: what belongs to the old one is none of its business."""
        self._ended.clear()
        self._dropped.clear()
        self._recovered.clear()
        self._kept.clear()

    def release_all(self) -> None:
        """Nobody could ask for them any more."""
        for name in self._jobs:
            self.say(messages.Release(name))

    # ---------------------------------------------------------------------------------------- what the editor asks

    def begin(self, name: str, request: AnyRequest) -> None:
        try:
            outgoing = Outgoing(name, request, self._history)
        except BridgeError as error:
            self._put(events.Failed(name, error.code, error.sentence, error.details[:4000]))
            return
        job = self._jobs[name] = Job(name, request.variants, outgoing)
        self._schedule_upload(job)

    def cancel(self, name: str) -> None:
        job = self._jobs.get(name)
        if job is None or job.cancel or job.end is not None:
            return
        job.cancel = True
        self._stop_upload(job)
        if self.link is not None and job.sent:
            self.link.send(messages.Cancel(name))
        else:  # the bridge hears of it with the release, when there is one again
            self._finish(job, events.Cancelled(name))

    def resume(self, name: str) -> None:
        entry = self._recovered.pop(name, None)
        if entry is not None:
            job = self._jobs[name] = Job(name, entry.variants, None)
            self.say(messages.Attach((name,)))
            self._grant(job)

    def fetch(self, name: str) -> None:
        variants = self._kept.pop(name, None)
        if variants is not None:
            self._jobs[name] = Job(name, variants, None)
            self.say(messages.Attach((name,)))  # or as soon as there is a bridge
        elif name not in self._jobs:
            self._put(events.Failed(name, "lost", LOST))

    def discard(self, name: str) -> None:
        if name in self._recovered:
            self.release(name)

    def release(self, name: str) -> None:
        self._kept.pop(name, None)
        self._recovered.pop(name, None)
        self._jobs.pop(name, None)  # its results may be on their way once more
        self._ended.add(name)
        self.say(messages.Release(name))

    def drop(self, name: str, variant: int) -> None:
        self._dropped.add((name, variant))
        self.say(messages.Drop(name, variant))

    def handed_over(self, event: events.Event) -> None:
        """The editor has this event: claim, release, or ask for the next preview."""
        if isinstance(event, events.Preview):
            job = self._jobs.get(event.job)
            if job is not None:
                job.credit_due[event.variant] = job.preview_at.get(event.variant, 0.0) + self.interval
        elif isinstance(event, events.Result):
            if not self._history:
                self.say(messages.Claim(event.job, event.variant))
        elif isinstance(event, events.TERMINAL) and event.job not in self._kept:
            self.release(event.job)

    # --------------------------------------------------------------------------------------------- to the bridge

    def _schedule_upload(self, job: Job) -> None:
        if self.link is not None and job.outgoing is not None and all(each is not job for each, _ in self._uploads):
            self._uploads.append((job, job.outgoing.pieces()))

    def _stop_upload(self, job: Job) -> None:
        self._uploads = deque(entry for entry in self._uploads if entry[0] is not job)

    def upload_piece(self, link: Link) -> None:
        """Send the next piece of the oldest upload."""
        job, pieces = self._uploads[0]
        piece = next(pieces, None) if self._jobs.get(job.name) is job else None
        if piece is None:
            self._uploads.popleft()
            return
        link.send(*piece)
        if isinstance(piece[0], OfJob):
            job.sent = job.answer_due = True
            self._grant(job)

    def _grant(self, job: Job) -> None:
        self.say(messages.Credit(job.name, tuple(range(job.variants))))

    def send_credits(self, now: float) -> float:
        """Ask for the previews that are due; returns when the next one will be."""
        following = float("inf")
        for job in self._jobs.values():
            due = [variant for variant, moment in job.credit_due.items() if moment <= now]
            for variant in due:
                del job.credit_due[variant]
            if due:
                self.say(messages.Credit(job.name, tuple(due)))
            following = min([following, *job.credit_due.values()])
        return following

    def _pull(self) -> None:
        for job in self._jobs.values():
            for variant, download in job.downloads.items():
                while self._pulls < messages.MAX_PULLS:
                    piece = download.next(messages.CHUNK)
                    if piece is None:
                        break
                    self.say(messages.Pull(job.name, variant, *piece))
                    self._pulls += 1

    # -------------------------------------------------------------------------------------------- from the bridge

    @property
    def handlers(self) -> Dict[Type[Any], Callable[[Any, Buffer | None], None]]:
        """What takes each kind of message about jobs."""
        found: Dict[Type[Any], Callable[[Any, Buffer | None], None]] = {}
        found.update({kind: partial(handler, self) for kind, handler in self._general.items()})
        found.update({kind: partial(self._about_job, handler) for kind, handler in self._of_job.items()})
        return found

    def _about_job(self, handler: Callable[..., None], message: Any, payload: Buffer | None) -> None:
        job = self._jobs.get(message.job)
        if job is not None:
            job.answer_due = job.answer_due and isinstance(message, messages.State)
            handler(self, job, message, payload)

    def on_error(self, message: messages.Error, _: Any) -> None:
        """It names what it answers: that has failed, and nothing else."""
        log.warning("the bridge refused a message (%s): %s %s", message.about, message.sentence, message.details)
        job = self._jobs.get(message.job)
        if message.about == "pull":
            self._pulls = max(0, self._pulls - 1)
        elif message.about == "release":
            self._ended.discard(message.job)
        elif message.about == "drop":
            self._dropped = {entry for entry in self._dropped if entry[0] != message.job}
        if job is not None and message.about in ENDING:
            job.downloads.clear()
            self._finish(job, events.Failed(job.name, message.code, message.sentence, message.details))
        elif message.about in WISHES:
            self._put(events.Notice(message.sentence))
        self._pull()

    def _on_jobs(self, page: messages.Jobs, _: Any) -> None:
        message = self._listed.whole(page)
        if message is None:
            return
        known = {entry.job: entry for entry in message.jobs}
        for name, entry in known.items():
            if name in self._ended:
                self.release(name)
            elif name not in self._jobs and name not in self._recovered and name not in self._kept:
                self._recovered[name] = events.Recovered(**vars(entry))
                self._put(self._recovered[name])
        self._ended &= set(known)
        missing, self._attached = (self._attached or set()) - set(known), None
        for job in [job for name, job in self._jobs.items() if name in missing]:
            if job.outgoing is not None:
                self._schedule_upload(job)
            else:
                self._finish(job, events.Failed(job.name, "lost", LOST))

    def _on_steps(self, page: messages.Steps, _: Any) -> None:
        message = self._steps.whole(page, (page.job, page.variant))
        if message is not None:
            self._put(message, messages.Steps, message.job, message.variant)

    def _on_view(self, message: messages.View, payload: Any) -> None:
        fields = dict(vars(message))
        offset = fields.pop("offset")
        size = message.columns * message.rows * PIXEL_BYTES[message.depth]
        rgba = self._view.add(tuple(fields.values()), offset, payload, size)
        if rgba is not None:
            self._put(events.StepView(**fields, rgba=rgba), messages.View, message.job, message.variant)

    def _on_preview(self, job: Job, message: messages.Preview, payload: Any) -> None:
        fields = dict(vars(message))
        offset = fields.pop("offset")
        size = painted_pixels(message) * PIXEL_BYTES[message.depth]
        rgba = job.preview.add(tuple(fields.values()), offset, payload, size)
        if rgba is not None:
            job.preview_at[message.variant] = time.monotonic()
            self._put(events.Preview(**fields, rgba=rgba), messages.Preview, job.name, message.variant)

    def _on_result(self, job: Job, message: messages.Result, _: Any) -> None:
        if message.variant not in job.got and message.variant not in job.downloads:
            job.downloads[message.variant] = Download(message)
            self._pull()

    def _on_chunk(self, message: messages.Chunk, payload: Any) -> None:
        self._pulls = max(0, self._pulls - 1)
        job = self._jobs.get(message.job)
        download = job.downloads.get(message.variant) if job is not None else None
        if job is not None and download is not None and download.add(message.offset, payload):
            del job.downloads[message.variant]
            job.got.add(message.variant)
            rgba, *maps = download.pictures()
            self._put(events.Result(**vars(download.result), rgba=rgba, map_pixels=tuple(maps)))
            if job.end is not None:
                self._finish(job, job.end)
        self._pull()

    def _on_state(self, job: Job, message: messages.State, _: Any) -> None:
        if message.state == "cancelled":
            self._finish(job, events.Cancelled(job.name))
        elif job.answer_due:
            job.answer_due = False  # a submit that the bridge had already: hear the rest
            if message.state in ("done", "failed") and job.asked_again:
                self._finish(job, events.Failed(job.name, "lost", LOST))
            else:
                job.asked_again = True
                self.say(messages.Attach((job.name,)))
                self._attached = {job.name}

    def _on_news(self, _job: Job, message: Any, _: Any) -> None:
        self._put(message)

    def _on_learning(self, job: Job, message: messages.Learning, _: Any) -> None:
        self._put(message, messages.Learning, job.name)

    def _on_progress(self, job: Job, message: messages.Progress, _: Any) -> None:
        self._put(message, messages.Progress, job.name, message.variant)

    def _on_end(self, job: Job, message: Any, _: Any) -> None:
        if isinstance(message, messages.Failed) and message.code == "lost":
            job.downloads.clear()
        self._finish(job, message)

    _general: ClassVar[Dict[Type[Any], Callable[..., None]]] = {
        messages.Chunk: _on_chunk,
        messages.Error: on_error,
        messages.Jobs: _on_jobs,
        messages.Steps: _on_steps,
        messages.View: _on_view,
    }
    _of_job: ClassVar[Dict[Type[Any], Callable[..., None]]] = {
        messages.Accepted: _on_news,
        messages.Note: _on_news,
        messages.Learning: _on_learning,
        messages.Progress: _on_progress,
        messages.Preview: _on_preview,
        messages.Result: _on_result,
        messages.State: _on_state,
        messages.Done: _on_end,
        messages.Failed: _on_end,
        messages.Cancelled: _on_end,
    }

    def _finish(self, job: Job, end: Any) -> None:
        """The one place where a job ends; waits for its results unless it is cancelled."""
        if job.downloads and not isinstance(end, events.Cancelled):
            job.end = end
            return
        self._stop_upload(job)
        del self._jobs[job.name]
        if self._history and job.got:
            self._kept[job.name] = job.variants
        else:
            self._ended.add(job.name)
        self._put(end)
