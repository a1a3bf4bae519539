"""SetUp: the steps of a set-up, in a thread of the editor or of a command."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, List, Tuple

from bridge_server.client import launch
from bridge_server.client.errors import BridgeError, SetUpFailed
from bridge_server.client.locks import FileLock
from bridge_server.client.setup import environments, fetch, pythons, runner, running, sentences, settings, trial
from bridge_server.client.setup.kit import Kit, Wheel
from bridge_server.client.setup.plans import Plan, lacking_in, to_fetch
from bridge_server.client.setup.programs import interpreter_in
from bridge_server.client.setup.runner import Cancelled
from bridge_server.client.setup.sentences import say
from bridge_server.client.threads import spared

log = logging.getLogger("repaint.setup")

INSTALL_SECONDS = 3600.0
PYTHON_SECONDS = 1800.0


@dataclass(frozen=True)
class StepShown:
    """``state``: waiting, running, done or failed; ``done`` of ``total`` bytes (0: there are none to count)."""

    label: str
    state: str = "waiting"
    done: int = 0
    total: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Shown:
    """``state``: idle, running, cancelled, failed or done; ``sentence``: what failed and what to do next, or ""."""

    steps: Tuple[StepShown, ...] = ()
    state: str = "idle"
    sentence: str = ""


class SetUp:
    """One set-up by a plan; to go on after Cancel or a failure, make another one by another plan.

    ``start`` and ``cancel`` return at once and ``shown`` never waits: all three are for the editor's own thread.
    """

    def __init__(self, kit: Path, plan: Plan, source: Path | None = None) -> None:
        self.log = launch.user_folders().state / "logs" / "setup.log"
        self._kit, self._plan, self._source = kit, plan, source
        self._cancel = threading.Event()
        self._thread = threading.Thread(target=spared(self._run), name="repaint-setup", daemon=True)
        self._shown = Shown()
        self._began = 0.0
        self._told = 0.0
        self._lock: FileLock | None = None
        self._start_lock: FileLock | None = None

    def start(self) -> None:
        self._shown = Shown(state="running")
        self._thread.start()

    def cancel(self) -> None:
        """End at the next possible moment; what has arrived is kept."""
        self._cancel.set()

    def shown(self) -> Shown:
        return self._shown

    def join(self, timeout: float | None = None) -> None:
        self._thread.join(timeout)

    def _run(self) -> None:
        handler = None
        try:
            if self._plan.problem:
                raise SetUpFailed(self._plan.problem)
            for folder in (self.log.parent, environments.engines()):
                launch.private_folder(folder)
            handler = launch.PrivateLog(self.log, backups=1)
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
            log.addHandler(handler)
            log.setLevel(logging.INFO)
            self._alone()
            try:
                self._steps()
            finally:
                for lock in (self._lock, self._start_lock):
                    if lock:
                        lock.release()
        except Cancelled:
            self._end("cancelled", say(sentences.CANCELLED))
        except BridgeError as error:
            log.error("%s (%s)", error.sentence, error.details)
            self._end("failed", error.sentence)
        except OSError as error:
            log.exception("set-up failed")
            self._end("failed", runner.of_system(error, self._plan.folder).sentence)
        except Exception:
            log.exception("set-up failed")
            self._end("failed", say(sentences.UNEXPECTED))
        else:
            self._end("done", say(sentences.READY))
        finally:
            if handler:
                log.removeHandler(handler)
                handler.close()

    def _alone(self) -> None:
        """Wait for the lock, showing how far its holder is."""
        lock = FileLock(launch.user_folders().data / environments.LOCK)
        while not lock.acquire(0.0):
            if self._cancel.is_set():
                raise Cancelled
            try:
                told = json.loads((launch.user_folders().data / environments.PROGRESS).read_text(encoding="utf-8"))
                steps = tuple(StepShown(**each) for each in told["steps"])
            except (OSError, ValueError, TypeError, KeyError):
                steps = ()
            self._shown = Shown(steps, "running", say(sentences.OTHER_EDITOR))
            time.sleep(0.2)
        self._lock = lock

    def _steps(self) -> None:
        kit, plan = Kit(self._kit), self._plan
        lacking = lacking_in(plan.folder, kit, plan.wheels)
        fetched = to_fetch(plan.folder, kit, plan.target, lacking)
        labels = [sentences.COPY if self._source else sentences.DOWNLOAD]
        work: List[Any] = [lambda: self._fetch(kit, fetched)]
        if not plan.interpreter:
            labels.append(sentences.GET_PYTHON)
            work.append(self._bring_python)
        labels += [sentences.INSTALL, sentences.CONNECT if plan.box else sentences.TRY, sentences.SWITCH]
        work += [lambda: self._install(kit, lacking), self._try, self._switch]
        version = "{}.{}".format(*plan.target.python)
        self._shown = Shown(tuple(StepShown(say(label, version=version)) for label in labels), "running")
        log.info("set-up of %s with %s, %s, %d packages", plan.folder, plan.python, plan.device, len(lacking))
        for number, each in enumerate(work):
            self._began = time.monotonic()
            self._step(number, "running", *((0, sum(wheel.size for wheel in fetched)) if number == 0 else ()))
            if self._cancel.is_set():
                raise Cancelled
            each()
            self._step(number, "done")
            log.info("%s: %.1f s", self._shown.steps[number].label, time.monotonic() - self._began)
        environments.delete(launch.user_folders().data / environments.PROGRESS)

    def _step(self, number: int, state: str, done: int = -1, total: int = -1) -> None:
        """Show one step's state; another editor reads it from a file."""
        steps = list(self._shown.steps)
        old = steps[number]
        done, total = (done if done >= 0 else old.done), (total if total >= 0 else old.total)
        steps[number] = StepShown(old.label, state, done, total, time.monotonic() - self._began)
        changed = state != old.state
        self._shown = Shown(tuple(steps), "running", self._shown.sentence)
        if changed or time.monotonic() - self._told > 0.5:
            self._told = time.monotonic()
            try:
                text = json.dumps({"steps": [asdict(step) for step in steps]})
                launch.write_private(launch.user_folders().data / environments.PROGRESS, text)
            except OSError:  # a full disk is told by the step that needs it
                pass

    def _end(self, state: str, sentence: str) -> None:
        wrong = {"failed": "failed", "cancelled": "waiting"}.get(state, "done")
        steps = tuple(
            StepShown(each.label, wrong if each.state == "running" else each.state, each.done, each.total, each.seconds)
            for each in self._shown.steps
        )
        self._shown = Shown(steps, state, sentence)

    def _stop(self) -> bool:
        """Whether to stop now; asked all the while, so the running step's seconds go on."""
        for number, step in enumerate(self._shown.steps):
            if step.state == "running":
                self._step(number, "running")
        return self._cancel.is_set()

    def _place(self) -> Path:
        return self._source or environments.wheels()

    def _fetch(self, kit: Kit, wanted: List[Wheel]) -> None:
        def told(done: int) -> None:
            self._step(0, "running", done)

        if self._source is None:
            launch.private_folder(environments.wheels())
        fetch.fetch(wanted, self._place(), self._source is None, kit.index, told, self._stop, kit.roots)

    def _uv(self, kit: Kit) -> Path:
        """The program itself, taken out of its wheel."""
        wheel = kit.uv(self._plan.target)
        name = "uv.exe" if self._plan.target.platform == "win32" else "uv"
        program = launch.private_folder(launch.user_folders().cache / "uv") / f"{wheel.sha256[:8]}-{name}"
        if not program.is_file():
            content = (self._place() / wheel.name).read_bytes()  # others may write there: what is run is checked
            if hashlib.sha256(content).hexdigest() != wheel.sha256:
                raise SetUpFailed(say(sentences.WRONG_HASH, name=wheel.name, host=self._place()))
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                inside = next(each for each in archive.namelist() if each.endswith(f".data/scripts/{name}"))
                scratch = program.with_suffix(".part")
                scratch.write_bytes(archive.read(inside))
                scratch.chmod(0o700)
                scratch.replace(program)
        return program

    def _uv_run(self, kit: Kit, *arguments: str, otherwise: str, patience: float, **variables: str) -> None:
        """Where uv fetches it hears the user's own settings; where it installs none, for any could break it."""
        fetches = arguments[0] == "python"
        own = {} if fetches else {name: None for name in os.environ if name.upper().startswith("UV_")}
        chosen: Dict[str, str | None] = {
            **own,
            "UV_CACHE_DIR": str(
                environments.engines() / ".cache"
            ),  # on the environment's own disk, so that nothing is copied
            "UV_PYTHON_INSTALL_DIR": str(environments.pythons()),
            "UV_NO_PROGRESS": "1",
            "NO_COLOR": "1",
            **variables,
        }
        if "onedrive" in str(environments.engines()).lower():  # its files may not have two names
            chosen["UV_LINK_MODE"] = "copy"
        inherited = self._lock.fileno() if self._lock else -1
        command = [str(self._uv(kit)), *arguments]
        # It looks for settings in every folder above the one where it stands: these are not the user's.
        place = Path(self.log.anchor) if fetches else self.log.parent
        status, told = runner.run(command, self.log, self._stop, patience, inherited, place, **chosen)
        if status:
            raise runner.why(told, environments.engines(), otherwise)

    def _bring_python(self) -> None:
        version = "{}.{}".format(*self._plan.target.python)
        words = say(sentences.NO_PYTHON, version=version)
        arguments = ("python", "install", version, "--no-bin", "--no-registry")
        kit = Kit(self._kit)
        launch.private_folder(environments.pythons())
        variables = {"UV_PYTHON_DOWNLOADS": "manual", **settings.for_uv(settings.read())}
        self._uv_run(kit, *arguments, otherwise=words, patience=PYTHON_SECONDS, **variables)

    def _interpreter(self) -> str:
        if self._plan.interpreter:
            return self._plan.interpreter
        version = self._plan.target.python
        for found in pythons.find([version], environments.pythons()):
            return str(found.executable)
        raise SetUpFailed(say(sentences.NO_PYTHON, version="{}.{}".format(*version)))

    def _install(self, kit: Kit, lacking: List[Wheel]) -> None:
        """All packages into a new environment, or the broken ones into the one that is there."""
        plan = self._plan
        folder, words = plan.folder, say(sentences.INSTALL_FAILED)
        whole = environments.read_stamp(folder) is not None
        if whole and not lacking and environments.interpreter_works(folder):
            return
        if folder == environments.current():
            self._start_lock = running.keep_stopped(self._stop)
        if not whole:
            environments.delete(folder)
        cache = environments.engines() / ".cache"
        environments.delete(cache)  # what a killed set-up left may have two names, and have been harmed by the other
        if not environments.interpreter_works(folder):
            options = ("--allow-existing", "--no-project", "--no-config", "--offline", "--python", self._interpreter())
            self._uv_run(kit, "venv", *options, str(folder), otherwise=words, patience=INSTALL_SECONDS)
        if lacking:
            environments.forget(folder, {wheel.project for wheel in lacking})
            # The project's own wheel lies in the kit, the others in the folder of wheels.
            lines = [f"{wheel.project}=={wheel.version} --hash=sha256:{wheel.sha256}\n" for wheel in lacking]
            wanted = folder / "requirements.txt"
            launch.write_private(wanted, "".join(lines))
            options = ("--offline", "--no-config", "--no-index", "--no-deps", "--require-hashes", "--no-build")
            places = ("--find-links", str(self._place()), "--find-links", str(self._kit))
            target = ("--python", str(interpreter_in(folder)), "-r", str(wanted))
            command = ("pip", "install", *options, *places, *target)
            with self._or_anew():
                self._uv_run(kit, *command, otherwise=words, patience=INSTALL_SECONDS)
        environments.delete(cache)
        broken = environments.broken_files(folder)
        if broken:
            raise SetUpFailed(words, f"still broken: {broken}")
        environments.write_stamp(folder, kit.digest, kit.version, plan.flavour, plan.target.python)

    @contextlib.contextmanager
    def _or_anew(self) -> Iterator[None]:
        """If this fails, more may be broken than can be seen: the next set-up makes the environment from the start."""
        try:
            yield
        except SetUpFailed as error:
            if error.code != "disk_full":
                environments.delete(self._plan.folder / environments.STAMP)
            raise

    def _try(self) -> None:
        inherited = self._lock.fileno() if self._lock else -1
        interpreter = interpreter_in(self._plan.folder)
        if self._plan.box:
            trial.connect(interpreter, self._plan.box, self.log, self._stop, inherited)
        else:
            with self._or_anew():
                trial.paint(interpreter, self.log, self._stop, sentences.TRY_FAILED, inherited)
        environments.delete(launch.trouble_file(str(interpreter)))

    def _switch(self) -> None:
        trial.switch(interpreter_in(self._plan.folder))
        running.stop(only_idle=True)  # the editors start the new one
