"""The engine's set-up as the editors show it: what will be installed and where, how it goes, what else can be done.

`SetUpPage` holds the state and does what the buttons ask for; `SetUpPage.shown` puts it into words and flags, which a
window only draws. Nothing here waits: what may take long is done by a thread, and a tick looks how far it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, List, Optional, Sequence, Tuple

from bridge_server.client import setup
from bridge_server.client.launch import user_folders

from . import sentences
from .download import amount
from .pump import Pump
from .texts import duration, time_left
from .words import tr

BUTTONS = {
    "ready": "set_up",
    "missing": "set_up",
    "broken": "repair",
    "old": "update",
}  # state → the main button's name in `labels`
SIGNS = {"waiting": "○", "running": "▸", "done": "✓", "failed": "✗"}
LOG_BYTES = 20_000  # of the log's end that are shown
setup.sentences.translate = tr


@dataclass(frozen=True)
class Shown:
    """What a window draws. ``alone``: instead of all its other pages. ``button``: the main button's name in
    `labels.BUTTONS`. ``fraction``: of the bar, 0…1, negative while it is not known. ``log``: "" while not asked for."""

    visible: bool = False
    alone: bool = False
    text: str = ""
    button: str = "set_up"
    can_start: bool = False
    runs: bool = False
    can_stop: bool = False
    steps: str = ""
    fraction: float = 0.0
    progress: str = ""
    sentence: str = ""
    is_error: bool = False
    has_log: bool = False
    log: str = ""


class SetUpPage:
    """``kit``: the folder with what a set-up needs. ``door``: what sets up; tests have one of paper. ``listeners`` are
    called after each change, ``done`` after a set-up that ended well where there was no engine before."""

    def __init__(self, kit: Path, pump: Pump, door: Any = setup) -> None:
        self._kit, self._pump, self._flow, self._door = kit, pump, pump.flow, door
        self.listeners: List[Callable[[], None]] = []
        self.done: List[Callable[[], None]] = []
        self.state = "ready"  # as `setup.Found`
        self.plan: Optional[setup.Plan] = None
        self.job: Optional[setup.SetUp] = None  # that runs
        self._why = ""  # there is no working engine
        self._told = ""  # what was done before
        self._last: Optional[setup.Shown] = None  # how the last job ended
        self._log: Optional[Path] = None
        self.wants_log = False
        self._sentence, self._is_error = "", False
        self._source: Optional[Path] = None
        self._box = ""  # the line of another machine that is to paint
        self._waiting = self._stopping = False  # for a thread; for the job's end
        self._first = self._paused = False  # the job is no repair and no update; nothing is offered
        self._heard = (self._flow.no_bridge, self._works())
        self._flow.listeners.append(self._listen)

    # ---- commands ----
    def look(self) -> None:
        """Whether there is a working engine, and if not, what a set-up would do."""
        self._find()
        if self._needed() and self.plan is None:
            self._make_plan()
        self._changed()

    def _find(self) -> None:
        found = self._door.found(self._kit if self._kit.is_dir() else None)
        self.state, self._why = found.state, found.sentence

    def start(self) -> None:
        """Sets up, or goes on; if there was an obstacle, looks first whether it still is there."""
        if self.plan is not None and self.job is None and not self._waiting:
            if self.plan.problem:
                self._make_plan(self._begin)
            else:
                self._begin()

    def cancel(self) -> None:
        if self.job is not None and not self._stopping:
            self._stopping = True
            self.job.cancel()
            self._changed()

    def use(self, folder: Path) -> None:
        """Takes the engine in that folder."""
        self._ask(sentences.TRYING_ENGINE, lambda: self._door.use(folder), lambda _: self._ended_well())

    def take_from(self, folder: Path) -> None:
        """Plans a set-up from a folder with all that is needed."""
        self._make_plan(source=folder, box=self._box)

    def use_box(self, line: str) -> None:
        """Plans a set-up of the bridge alone, with another machine to paint: ``line`` is what that machine shows."""
        self._make_plan(source=self._source, box=line)

    def pause(self, on: bool, told: str = "") -> None:
        """Offers nothing while everything is being removed; ``told``: how that ended, until the next set-up."""
        self._paused, self.plan, self._told = on, None, tr(told)
        self.look()

    def show_log(self, wanted: bool) -> None:
        self.wants_log = wanted
        self._changed()

    def close(self) -> None:
        """The editor ends; what has arrived is kept."""
        if self.job is not None:
            self.job.cancel()
            self.job.join(1.0)

    # ---- what happens by itself ----
    def _listen(self) -> None:
        """The bridge may have come, or told that there is no engine or that it does not start."""
        heard = (self._flow.no_bridge, self._works())
        if heard != self._heard:
            self._heard = heard
            self._pump.do("look", self.look)

    def _works(self) -> bool:
        return self._flow.connected and self._flow.engine != "down"

    def _needed(self) -> bool:
        return not self._paused and (self.state == "old" or (self.state != "ready" and not self._works()))

    def _tick(self) -> bool:
        """Looks how far the job is; True when it has ended."""
        if self.job is None or self.job.shown().state in ("idle", "running"):
            self._changed()
            return self.job is None
        self._last, self.job, self._stopping = self.job.shown(), None, False
        if self._last.state == "done":
            self._ended_well(self.done if self._first else [])
        else:
            self._find()
            self._make_plan(source=self._source, box=self._box)
        return True

    def _begin(self) -> None:
        if self.plan is not None and not self.plan.problem:
            self.job = self._door.SetUp(self._kit, self.plan, self._source)
            self._log, self._first, self._told = self.job.log, self.state == "missing", ""
            self.job.start()
            self._say("")
            self._pump.repeat("set-up", self._tick)

    def _ended_well(self, told: Sequence[Callable[[], None]] = ()) -> None:
        self.plan = self._source = self._last = None
        self._box = ""
        self._say("")
        if not self._flow.busy:
            self._flow.session.restart_bridge()
        self._flow.say(sentences.STARTING_ENGINE)
        self.look()
        for listener in told if self.state == "ready" else ():
            listener()

    def _make_plan(
        self,
        then: Callable[[], None] = lambda: None,
        source: Optional[Path] = None,
        sentence: str = "",
        box: str = "",
    ) -> None:
        """``source``: a folder to take all from, ``box``: the line of a machine that is to paint; if these do not do,
        ``sentence`` of the plan without them says why."""

        def planned(plan: setup.Plan) -> None:
            if plan.problem and (source is not None or box):
                self._make_plan(sentence=plan.problem)
                return
            self.plan, self._source, self._box = plan, source, box
            problem = plan.problem or sentence
            self._say(problem, bool(problem))
            then()

        if self._kit.is_dir():
            self._ask(sentence, lambda: self._door.plan(self._kit, source, box=box), planned)
        else:
            self._say(sentences.NO_KIT, True)

    def _ask(self, meanwhile: str, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Has ``work`` done by a thread, one at a time, and ``then`` called with its answer."""

        def answered(answer: Any) -> None:
            self._waiting = False
            then(answer)

        def failed(sentence: str) -> None:
            self._waiting = False
            self._say(sentence, True)

        if not self._waiting:
            self._waiting = True
            self._say(meanwhile)
            self._pump.aside("set-up", work, answered, failed)

    def _say(self, sentence: str, error: bool = False) -> None:
        self._sentence, self._is_error = tr(sentence), error
        self._changed()

    def _changed(self) -> None:
        for listener in list(self.listeners):
            listener()

    # ---- what a window draws ----
    def shown(self) -> Shown:
        if self.job is None and not self._needed():
            return Shown()
        going = self.job.shown() if self.job is not None else self._last
        fraction, progress = _progress(going)
        failed = self.job is None and going is not None and going.state == "failed" and not self._sentence
        return Shown(
            visible=True,
            alone=self.state != "old",
            text="\n".join(self._about() if self.job is not None or failed else [*self._reasons(), *self._about()]),
            button="go_on" if self.state == "missing" and not failed and _interrupted() else BUTTONS[self.state],
            can_start=self.plan is not None and not self._waiting,
            runs=self.job is not None,
            can_stop=not self._stopping,
            steps="\n".join(_step(step) for step in going.steps) if going is not None else "",
            fraction=fraction,
            progress=tr(sentences.STOPPING_DOWNLOAD) if self._stopping else progress,
            sentence=self._sentence or (going.sentence if going is not None else ""),
            is_error=self._is_error or failed,
            has_log=self._log is not None,
            log=self._log_end(),
        )

    def _reasons(self) -> List[str]:
        return [each for each in (self._told, self._why) if each]

    def _about(self) -> List[str]:
        """What is to be known before it begins, a line each."""
        plan = self.plan
        if plan is None:
            return [tr(sentences.LOOKING_AT_COMPUTER)] if self._waiting else []
        if not plan.device:  # what is in the way says all
            return []
        size = {"download": amount(plan.download), "disk": amount(plan.disk), "free": amount(plan.free)}
        return [
            tr(sentences.SET_UP_SIZE if self._source is None else sentences.SET_UP_FROM).format(
                folder=self._source, **size
            ),
            tr(sentences.SET_UP_WHERE).format(folder=plan.folder),
            tr(sentences.SET_UP_DEVICE).format(device=plan.device),
            tr(sentences.SET_UP_PYTHON).format(python=plan.python),
            tr(sentences.LICENCE).format(licence=plan.licence),
        ]

    def _log_end(self) -> str:
        if not self.wants_log or self._log is None:
            return ""
        try:
            with open(self._log, "rb") as file:
                file.seek(max(0, self._log.stat().st_size - LOG_BYTES))
                return "\n".join(file.read().decode("utf-8", "replace").splitlines())  # as text widgets keep it
        except OSError as error:
            return str(error)


def _interrupted() -> bool:
    """Whether an unfinished set-up has left something to go on with."""
    wheels = user_folders().cache / "wheels"
    return wheels.is_dir() and any(wheels.iterdir())


def _step(step: setup.StepShown) -> str:
    """ "▸ Download the packages · 120 MB of 640 MB · 34 s"."""
    parts = [SIGNS[step.state] + " " + step.label]
    if step.total and step.state != "waiting":
        parts.append(tr(sentences.DONE_OF_TOTAL).format(done=amount(step.done), total=amount(step.total)))
    if step.state != "waiting":
        parts.append(duration(step.seconds))
    return " · ".join(parts)


def _progress(going: Optional[setup.Shown]) -> Tuple[float, str]:
    """What the bar shows of the step that runs: the done part, negative while it is not known; its text."""
    step = next((each for each in going.steps if each.state == "running"), None) if going is not None else None
    if step is None or not step.total:
        return -1.0, ""
    if not step.done or step.seconds < 1.0 or step.done >= step.total:
        return step.done / step.total, ""
    return step.done / step.total, time_left(step.seconds * (step.total - step.done) / step.done)
