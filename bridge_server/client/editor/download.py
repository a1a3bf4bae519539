"""Models that are not installed: what is to be known before one is downloaded, its licence first, and how it goes.

`Downloads` holds the state, `Downloads.shown` puts it into words and flags; a window only draws these and calls
`Flow.accept_licence`, `Flow.download` and `Flow.stop_download`.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Callable, Deque, Iterable, List, Optional, Set, Tuple

from bridge_server.client import events

from . import sentences
from .texts import time_left
from .words import tr

WINDOW = 10.0  # seconds over which the pace is taken


@dataclass(frozen=True)
class Shown:
    """What a window draws. ``fraction``: of the bar, 0…1, negative while it is not known."""

    visible: bool = False
    text: str = ""
    asks: bool = False  # the licence, and the button to begin
    accepted: bool = False
    can_start: bool = False
    runs: bool = False
    can_stop: bool = False
    fraction: float = 0.0
    progress: str = ""
    sentence: str = ""
    is_error: bool = False


class Downloads:
    """What is known of downloads: the one under way, and how the last one of each model ended."""

    def __init__(self, session: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self.session, self.clock = session, clock
        self.now: Optional[events.Downloading] = None
        self._stopping = False
        self._accepted: Set[Tuple[str, str]] = set()  # model and licence
        self._last = ("", "", False)  # model, sentence, whether it is an error
        self._heard: Deque[Tuple[float, int]] = deque()

    # ---- commands ----
    def accept(self, model: events.Model, yes: bool) -> None:
        (self._accepted.add if yes else self._accepted.discard)((model.id, model.licence))

    def start(self, model: events.Model) -> None:
        """Begins, if the licence has been accepted and nothing else is under way."""
        if self.now is None and model.download and not model.installed and self._agreed(model):
            self._begin(events.Downloading(model.id, 0, model.download_bytes))
            self.session.download(model.id, model.licence)

    def stop(self) -> None:
        if self.now is not None and not self._stopping:
            self._stopping = True
            self.session.stop_download(self.now.model)

    # ---- news ----
    def heard(self, event: events.Downloading) -> None:
        if self.now is None or self.now.model != event.model:
            self._begin(event)
        self.now = event
        if event.done:  # what comes before the first byte is no part of the pace
            now = self.clock()
            self._heard.append((now, event.done))
            while now - self._heard[0][0] > WINDOW:
                self._heard.popleft()

    def ended(self, event: events.Downloaded, models: Iterable[events.Model]) -> Tuple[str, bool]:
        """The sentence to say, and whether it is an error."""
        if self.now is not None and self.now.model == event.model:
            self.now = None
        sentence, error = event.sentence, True
        if event.end == "installed":
            title = next((model.title for model in models if model.id == event.model), event.model)
            sentence, error = tr(sentences.INSTALLED).format(model=tr(title)), False
        elif event.end == "stopped":
            sentence, error = tr(sentences.DOWNLOAD_STOPPED).format(done=amount(event.done)), False
        self._last = (event.model, tr(sentence), error)
        return self._last[1:]

    def lost(self) -> None:
        """The bridge is gone, and with it what it was downloading."""
        if self.now is not None:
            self._last, self.now = (self.now.model, tr(sentences.DOWNLOAD_LOST), True), None

    # ---- what a window draws ----
    def shown(self, chosen: Optional[events.Model], models: List[events.Model], connected: bool) -> Shown:
        if self.now is not None:
            title = next((model.title for model in models if model.id == self.now.model), self.now.model)
            return Shown(
                visible=True,
                text=tr(sentences.DOWNLOADING).format(model=tr(title)),
                runs=True,
                can_stop=not self._stopping,
                fraction=self.now.done / self.now.total if self.now.total else -1.0,
                progress=self._progress(self.now),
            )
        if chosen is None or chosen.installed:
            return Shown()
        mine = self._last[0] == chosen.id
        return Shown(
            visible=True,
            text="\n".join(_about(chosen)),
            asks=chosen.download,
            accepted=self._agreed(chosen),
            can_start=connected and chosen.download and self._agreed(chosen),
            sentence=self._last[1] if mine else "",
            is_error=mine and self._last[2],
        )

    # ---- inside ----
    def _begin(self, event: events.Downloading) -> None:
        self.now, self._stopping, self._last = event, False, ("", "", False)
        self._heard.clear()

    def _agreed(self, model: events.Model) -> bool:
        return (model.id, model.licence) in self._accepted

    def _progress(self, now: events.Downloading) -> str:
        if self._stopping:
            return tr(sentences.STOPPING_DOWNLOAD)
        if not now.done:
            return tr(sentences.ASKING_FOR_FILES)
        if not now.total:
            return amount(now.done)
        if now.done >= now.total:
            return tr(sentences.CHECKING_MODEL)
        parts = [tr(sentences.DONE_OF_TOTAL).format(done=amount(now.done), total=amount(now.total)), self._left(now)]
        return " · ".join(part for part in parts if part)

    def _left(self, now: events.Downloading) -> str:
        (first, there), (last, here) = self._heard[0], self._heard[-1]
        if last - first < 1.0 or here <= there:
            return ""
        return time_left((now.total - here) * (last - first) / (here - there))


def amount(size: int) -> str:
    """ "4.3 MB", "2.1 GB": bytes, in powers of ten as the hubs say it."""
    if size >= 10**9:
        return tr(sentences.GIGABYTES).format(number=f"{size / 1e9:.1f}")
    return tr(sentences.MEGABYTES).format(number=f"{size / 1e6:.1f}" if size < 10**8 else f"{size / 1e6:.0f}")


def _about(model: events.Model) -> List[str]:
    """What is to be known of a model that is not installed, a line each."""
    lines = [
        tr(sentences.NOT_INSTALLED).format(model=tr(model.title)),
        tr(sentences.LICENCE).format(licence=model.licence),
    ]
    if not model.source:
        return [*lines, tr(sentences.INCOMPLETE)]
    if model.download:
        lines.append(
            tr(sentences.SIZE).format(size=amount(model.download_bytes))
            if model.download_bytes
            else tr(sentences.NO_SIZE)
        )
    lines.append(tr(sentences.SOURCE).format(source=model.source))
    return lines if model.download else [*lines, tr(sentences.BY_HAND)]
