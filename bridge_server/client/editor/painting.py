"""Pictures on their way into a layer: the newest of each, one after the other, no faster than the editor bears."""

from __future__ import annotations

from collections import deque
from typing import Callable, Deque, Generator, Optional, Tuple

from .model import THERE, Run, Variant

REFRESH_SHARE = 0.1  # at most this part of the time goes into the host's refreshing of previews
FASTEST_PREVIEWS = 0.1  # seconds between two previews at best
REFRESHES = 5  # the latest, whose median counts: a single one may have waited for other programs
FIRST_INTERVAL = 0.5  # at most so long is waited for the second preview, whatever the first took

Work = Generator[None, None, None]
"""Work of some milliseconds between two turns of the event loop."""


class Painter:
    """Paints what is wanted, in steps.

    lost: told of a run whose layer is no longer there, and of the layer's state.
    painted: told of a run whose picture stands in its layer now, and how many seconds the editor needed to show it.
    """

    def __init__(self, lost: Callable[[Run, str], None], painted: Callable[[Run, float], None]) -> None:
        self._lost, self._painted = lost, painted
        self._work: Optional[Work] = None
        self._wanted: Optional[Tuple[Run, Variant]] = None  # what is to be taken up next
        self._then: Optional[Callable[[], Work]] = None  # after the last picture

    @property
    def busy(self) -> bool:
        """Whether `step` has something to do."""
        return self._work is not None

    def show(self, run: Run, variant: Variant, then: Optional[Callable[[], Work]] = None) -> None:
        """Has the variant's newest picture painted; one that waits already is replaced. ``then`` follows the last."""
        self._wanted = (run, variant)
        if then is not None:
            self._then = then
        if self._work is None:
            self._work = self._paint()
            self.step()  # a small picture is in the layer at once, a large one in further steps

    def step(self) -> None:
        """Paints on for some milliseconds."""
        work = self._work
        assert work is not None
        try:
            next(work)
        except StopIteration:
            if self._work is work:
                self._work = None

    def stop(self) -> None:
        """Forgets what is wanted, and what was to follow."""
        self._work = self._wanted = self._then = None

    def _paint(self) -> Work:
        while self._wanted is not None or self._then is not None:
            if self._wanted is None:
                then, self._then = self._then, None
                assert then is not None
                yield from then()
                continue
            (run, variant), self._wanted = self._wanted, None
            version, picture = variant.version, variant.picture
            place = (run.number, variant.index, version)
            if run.layer is None or picture is None or run.series.painted == place:
                continue
            seconds = yield from run.layer.paint(picture)
            state = run.layer.state() if run.layer is not None else THERE
            if state != THERE:
                self._lost(run, state)
                continue
            run.series.painted = place
            self._painted(run, seconds)


class PreviewRate:
    """How often previews are asked for: so seldom that the editor's refreshing takes at most a tenth of the time.

    set_interval: told the seconds between two previews when they change.
    """

    def __init__(self, set_interval: Callable[[float], None]) -> None:
        self._set_interval = set_interval
        self._interval = FASTEST_PREVIEWS
        self._refreshes: Deque[float] = deque(maxlen=REFRESHES)
        self._document = ""  # of these

    def begin(self, document: str) -> None:
        """A run begins; what was measured in another document does not count."""
        if self._document != document:
            self._document = document
            self._refreshes.clear()

    def refreshed(self, seconds: float) -> None:
        """The editor needed that long to show a preview."""
        self._refreshes.append(seconds)
        usual = sorted(self._refreshes)[(len(self._refreshes) - 1) // 2]
        interval = max(FASTEST_PREVIEWS, usual / REFRESH_SHARE)
        if len(self._refreshes) == 1:
            interval = min(interval, FIRST_INTERVAL)
        if abs(interval - self._interval) > 0.25 * self._interval:
            self._interval = interval
            self._set_interval(interval)
