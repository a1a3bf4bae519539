"""The laboratory: cells that are kept, notebooks that go on, pages that open offline, and what ``--watch`` shows."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from engine import api, devices
from engine.commands.cli import _parser, main
from engine.errors import EngineError
from engine.lab import (
    EXPERIMENTS,
    Cell,
    Claim,
    Experiment,
    Live,
    Notebook,
    Option,
    Outcome,
    Pictures,
    Plot,
    Result,
    Scene,
    Section,
    Setup,
    Table,
    Watch,
    index,
    painted,
    plots,
    report,
)

GRAY = np.full((8, 8, 3), 127, np.uint8)


class Trial:
    """An experiment of three cells, which tells which ones were run and does what it is told in them."""

    def __init__(self) -> None:
        self.runs: list[int] = []
        self.within: Callable[[int], None] = lambda _number: None
        self.experiment = Experiment(
            "trial", "A trial", "Three cells are run.", self._cells, self._conclude, (Option("scale", 2.0, "a factor"),)
        )

    def _cells(self, setup: Setup) -> list[Cell]:
        def run(number: int, live: Live) -> Result:
            self.runs.append(number)
            live.step(1, 2, lambda: Scene(GRAY, GRAY, GRAY, GRAY), {"loss": 0.5})
            self.within(number)
            live.step(2, 2)
            value = number * float(setup.options["scale"])
            return Result({"value": value, "curve": [1.0, value], "lost": None}, {"made": GRAY + number})

        return [Cell({"number": number, "kind": "a/b ü"}, lambda live, k=number: run(k, live)) for number in (1, 2, 3)]

    def _conclude(self, notebook: Notebook) -> list[Section]:
        points = [(float(record.settings["number"]), record.number("value") or 0.0) for record in notebook.records]
        shown = [record.picture("made") for record in notebook.records]
        return [
            Section(
                "What <came> out",
                "First `code` & more.\n\nSecond.",
                [
                    Claim("Three are run.", "holds" if len(points) == 3 else "not all", f"{len(points)} were."),
                    Plot({"value": [(*point, 0.5) for point in points]}, "number", "value", "A <line>."),
                    Table(["number", "value", "none"], [[*point, None] for point in points], "All of them."),
                    Pictures(["made", "missing"], [(str(k), [each, None]) for k, each in enumerate(shown)]),
                ],
            )
        ]


@pytest.fixture
def trial(monkeypatch: pytest.MonkeyPatch) -> Trial:
    found = Trial()
    monkeypatch.setitem(EXPERIMENTS, "trial", found.experiment)
    return found


def lab(out: Path, *more: str) -> int:
    return main(["lab", "trial", "--out", str(out), *more])


def refused(capsys, *words: str) -> None:
    said = capsys.readouterr().err
    assert re.fullmatch(r"error: .+[.]\n", said), said
    for word in words:
        assert word in said, said


@pytest.mark.usefixtures("trial")
def test_an_experiment_leaves_numbers_pictures_and_its_command(tmp_path, capsys):
    assert lab(tmp_path, "--scale", "3") == 0
    assert "3 of 3 cells" in capsys.readouterr().out
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["experiment"] == "trial"
    assert settings["options"] == {"scale": 3.0}
    assert settings["command"].startswith("python -m engine ")
    cells = [json.loads(line) for line in (tmp_path / "cells.jsonl").read_text().splitlines()]
    assert [cell["numbers"]["value"] for cell in cells] == [3.0, 6.0, 9.0]
    rows = list(csv.DictReader((tmp_path / "numbers.csv").open(encoding="utf-8")))
    assert [(row["number"], row["value"], row["curve"], row["lost"]) for row in rows][1] == (
        "2",
        "6.0",
        "[1.0, 6.0]",
        "",
    )
    assert [cell["value"] for cell in json.loads((tmp_path / "numbers.json").read_text())["cells"]] == [3.0, 6.0, 9.0]
    notebook = Notebook(tmp_path, settings)
    assert [int(record.picture("made")[0, 0, 0]) for record in notebook.records] == [128, 129, 130]
    assert len(notebook.find(kind="a/b ü")) == 3
    assert {path.parent for path in notebook.records[0].pictures.values()} == {tmp_path / "pictures"}


@pytest.mark.usefixtures("trial")
def test_the_page_opens_offline_and_says_all(tmp_path):
    lab(tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert not re.search(r"https?:|//", re.sub(r"data:image/png;base64,[\w+/=]+", "", page).replace("</", ""))
    assert page.count("data:image/png") == 3
    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page
    for text in ("What &lt;came&gt; out", "<code>code</code> &amp; more", "holds", "A &lt;line&gt;", "A trial", "<svg"):
        assert text in page, text
    assert "–" in page
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| 2 | 4 | – |" in text
    assert "**holds**" in text


def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(trial, tmp_path, capsys):
    def interrupt(number: int) -> None:
        if number == 2:
            raise KeyboardInterrupt

    trial.within = interrupt
    assert lab(tmp_path) == 130
    said = capsys.readouterr().err
    assert re.fullmatch(r"Stopped with 1 of 3 cells, \d+ s; the same command goes on\. See .*report\.html\.\n", said)
    assert "not all" in (tmp_path / "report.html").read_text(encoding="utf-8")
    trial.within = lambda _number: None
    assert lab(tmp_path) == 0
    assert trial.runs == [1, 2, 2, 3]
    assert lab(tmp_path) == 0
    assert trial.runs == [1, 2, 2, 3]


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_real_ctrl_c_is_one_line(tmp_path):
    command = ["lab", "time", "--model", "texture", "--calls", "4", "--adm", "0", "--out", str(tmp_path)]
    start = (
        "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # also in a background job
    )
    start += "runpy.run_module('engine', run_name='__main__')"
    process = subprocess.Popen([sys.executable, "-c", start, *command], stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(600):
            if (tmp_path / "cells.jsonl").exists():
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert re.fullmatch(r"Stopped with [1-4] of 5 cells, .*\n", said), said
    assert (tmp_path / "report.html").exists()


def test_limit_begins_no_further_cell(trial, tmp_path):
    assert lab(tmp_path, "--limit", "0") == 0
    assert trial.runs == []
    assert "0 of 3 cells" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_failing_cell_is_told_and_the_others_are_run(trial, tmp_path, capsys):
    def fail(number: int) -> None:
        if number == 2:
            raise EngineError("out_of_memory", "Memory was short <here>.")

    trial.within = fail
    assert lab(tmp_path) == 3
    assert "failed: number 2, kind a/b ü: Memory was short <here>." in capsys.readouterr().err
    assert "Memory was short &lt;here&gt;." in (tmp_path / "report.html").read_text(encoding="utf-8")
    trial.within = lambda _number: None
    assert lab(tmp_path) == 0
    assert trial.runs == [1, 2, 3, 2]


def test_folders_of_others_are_refused(trial, tmp_path, capsys):
    lab(tmp_path)
    capsys.readouterr()
    assert lab(tmp_path, "--scale", "5") == 2
    refused(capsys, "options", "2.0", "--out")
    assert main(["lab", "time", "--small", "--model", "texture", "--out", str(tmp_path)]) == 2
    refused(capsys, "experiment", "trial", "--out")
    (tmp_path / "settings.json").unlink()
    assert lab(tmp_path) == 2
    refused(capsys, "settings.json", "--out")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "numbers.csv").write_text("mine")
    assert lab(tmp_path / "photos") == 2
    refused(capsys, "holds something", "--out")
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["numbers.csv"]
    assert trial.runs == [1, 2, 3]


def test_cells_have_pictures_of_their_own_and_finite_numbers(tmp_path):
    notebook = Notebook(tmp_path, {})
    ways = ["a b", "a-b", "a/b", "a" * 300, "a" * 301]
    for number, way in enumerate(ways):
        notebook.add({"way": way}, Result({"none": float("nan"), "np": np.float32(0.5)}, {"made": GRAY + number}), 1.0)  # type: ignore[dict-item]
    found = Notebook(tmp_path, {}).records
    assert [int(record.picture("made")[0, 0, 0]) for record in found] == [127, 128, 129, 130, 131]
    assert [record.settings["way"] for record in found] == ways
    assert found[0].numbers == {"none": None, "np": 0.5}


def test_damaged_notebooks_are_refused_but_a_line_cut_short_is_not(trial, tmp_path, capsys):
    lab(tmp_path)
    cells = tmp_path / "cells.jsonl"
    whole = cells.read_bytes()
    cells.write_bytes(whole[:-20])
    assert lab(tmp_path) == 0
    assert trial.runs == [1, 2, 3, 3]
    assert cells.read_bytes().count(b"\n") == 3
    next((tmp_path / "pictures").glob("number-1*")).unlink()
    assert lab(tmp_path) == 0
    assert trial.runs == [1, 2, 3, 3, 1]
    for damaged in (b"{]\n", b"[1]\n", b"{}\n", b'{"settings": 3}\n', b"\xff\n"):
        cells.write_bytes(whole + damaged)
        capsys.readouterr()
        assert lab(tmp_path) == 2
        refused(capsys, "cells.jsonl", "line 4")
    cells.write_bytes(whole)
    for damaged in (b"{", b"[]", b"\xff"):
        (tmp_path / "settings.json").write_bytes(damaged)
        assert lab(tmp_path) == 2
        refused(capsys, "settings.json", "--out")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_a_sentence(trial, tmp_path, capsys):
    def fill(number: int) -> None:
        if number == 2:
            (tmp_path / "cells.jsonl").rename(tmp_path / "before")
            (tmp_path / "cells.jsonl").symlink_to("/dev/full")

    trial.within = fill
    assert lab(tmp_path) == 3
    refused(capsys, "The disk is full", str(tmp_path))


def test_places_that_cannot_be_written_are_a_sentence(trial, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("")
    assert lab(tmp_path / "file" / "within") == 2
    refused(capsys, "cannot be written", "--out")
    assert lab(tmp_path / "file") == 2
    refused(capsys, "cannot be written", "--out")

    def read_only(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(Path, "write_text", read_only)
    assert lab(tmp_path / "other") == 2
    refused(capsys, "cannot be written", "--out")
    assert trial.runs == []


def test_models_that_are_not_there_are_a_sentence(tmp_path, capsys):
    out = ["--out", str(tmp_path)]
    assert main(["lab", "time", "--model", "nonsense", *out]) == 2
    refused(capsys, "'nonsense'", "choose one of")
    with pytest.raises(EngineError, match="needs a latent model, and there is none among those given"):
        Setup(("texture",)).models(lambda info: info.family == "latent", "latent model")
    assert not list(tmp_path.iterdir())


def test_every_option_and_name_can_be_typed(capsys):
    for name, experiment in EXPERIMENTS.items():
        assert name == experiment.name
        assert experiment.claim.endswith((".", "?"))
        with pytest.raises(SystemExit):
            main(["lab", name, "--help"])
        said = capsys.readouterr().out
        for option in experiment.options:
            assert f"--{option.name} " in said


def test_the_guides_commands_can_be_typed():
    guide = Path(__file__).parents[2] / "docs" / "guide" / "laboratory.md"
    commands = re.findall(r"^repaint (.+)$", guide.read_text(encoding="utf-8"), re.M)
    assert len(commands) >= 5
    for command in commands:
        assert callable(_parser().parse_args(shlex.split(command)).run)


# ------------------------------------------------------------------------------------------------------ looking on


def test_halves_are_what_the_next_call_is_given(monkeypatch):
    """RePaint's figure: where κ = 1 the known half is the very noise that the next call will draw."""
    monkeypatch.setenv("REPAINT_BRIDGE_TEST_MODELS", "1")
    model = api.load_model("test/gaussian", "cpu")
    given: list[np.ndarray] = []

    def predict(x, timestep, condition=None):
        given.append(x.numpy().copy())
        return model.predict(x, timestep, condition)

    image = np.random.default_rng(1).integers(0, 255, (32, 32, 4), np.uint8)
    image[..., 3] = 255
    selection = np.zeros((32, 32), np.uint8)
    selection[8:20, 8:24] = 255
    for preset in ("repaint", "fast", "quality"):
        options = {} if preset == "quality" else {"steps": 8, "jump_length": 8, "jump_samples": 1}
        job = api.Job(image, selection, "test/gaussian", preset, seed=3, padding=16, scale=1.0, **options)
        given.clear()
        halves = []
        for event in api.run(job, replace(model, predict=predict)):
            if isinstance(event, api.Step):
                halves.append(event.halves())
        compared = 0
        for half, x in zip(halves, given[1:], strict=False):
            merged = half.keep * half.known + (1 - half.keep) * half.unknown
            expected = (np.clip(x[0].transpose(1, 2, 0), -1, 1) + 1) / 2
            if preset != "quality":  # its Langevin steps move x once more before the next call
                np.testing.assert_allclose(merged, expected, atol=2e-6)
                compared += 1
            else:
                assert merged.shape == expected.shape
        assert compared == (0 if preset == "quality" else 7)
        assert halves[-1].keep.min() == 0
        assert halves[-1].keep.max() == 1


def test_scenes_are_made_only_for_who_looks(monkeypatch):
    monkeypatch.setenv("REPAINT_BRIDGE_TEST_MODELS", "1")
    model = api.load_model("test/gaussian", "cpu")
    image, selection = np.full((32, 32, 4), 255, np.uint16), np.zeros((32, 32), np.uint8)
    selection[8:16, 8:16] = 255
    job = api.Job(image * 257, selection, "test/gaussian", seed=1, steps=4, jump_length=4, jump_samples=1)
    scenes: list[Scene] = []

    class Looks:
        def step(self, call, calls, look=None, _numbers=None):
            if call == calls:
                scenes.append(look())

    plain = painted(Looks(), job, model)
    [scene] = scenes
    assert plain.calls == 4
    for picture, channels in ((scene.estimate, 3), (scene.known, 4), (scene.unknown, 4), (scene.merged, 3)):
        assert picture.dtype == np.uint8
        assert picture.shape[2] == channels
    assert scene.estimate.shape[:2] == (32, 32)


def asked(address: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    request = urllib.request.Request(address, headers={key.replace("_", "-"): value for key, value in headers.items()})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read(), dict(error.headers)


@pytest.fixture
def watch():
    found = Watch()
    yield found
    found.close()


def test_the_watch_page_answers_its_own_address_only(watch):
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", watch.address)
    status, page, headers = asked(watch.address)
    assert status == 200
    assert b"<script nonce=" in page
    assert b"{nonce}" not in page
    assert b"http" not in page.split(b"<script")[1]
    assert "Access-Control-Allow-Origin" not in headers
    for word in ("default-src 'none'", "frame-ancestors 'none'"):
        assert word in headers["Content-Security-Policy"]
    root, token = watch.address.rsplit("/", 2)[:2]
    for place in ("/", "/news", f"/{token[:-1]}/", f"/{token}x/news", "/%C3%BC/", f"/x/{token}/"):
        status, said, _ = asked(root + place)
        assert status == 403, place
        assert token.encode() not in said
    assert asked(f"{watch.address}other")[0] == 404
    assert asked(f"{watch.address}../{token}")[0] == 404
    port = root.rsplit(":", 1)[1]
    for host in ("evil.example", f"evil.example:{port}", f"localhost:{port}", "127.0.0.1"):
        assert asked(watch.address, Host=host)[0] == 403, host
    for other in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}):
        assert asked(watch.address + "news?after=-1", **other)[0] == 403
    request = urllib.request.Request(watch.address, data=b"x", method="POST")
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=10)
    assert error.value.code == 501


def test_the_watch_page_is_told_each_step_that_it_waits_for(watch, trial):
    looked: list[int] = []

    def look() -> Scene:
        looked.append(1)
        return Scene(GRAY, np.dstack([GRAY, GRAY[..., :1]]), GRAY, GRAY)

    watch.begin(trial.experiment, "number 1", 0, 3)
    watch.step(1, 5, look, {})
    assert not looked  # nobody waits
    news = json.loads(asked(watch.address + "news?after=0")[1])
    assert (news["title"], news["cell"], news["of"], news["number"]) == ("A trial", "number 1", 3, 1)
    answers: list[bytes] = []
    waiting = threading.Thread(target=lambda: answers.append(asked(watch.address + "news?after=1")[1]))
    waiting.start()
    for call in range(2, 1000):
        watch.step(call, 1000, look, {"loss": 0.125})
        waiting.join(0.01)
        if not waiting.is_alive():
            break
    news = json.loads(answers[0])
    assert news["call"] >= 2
    assert set(news["pictures"]) == {"estimate", "known", "unknown", "merged"}
    assert news["numbers"] == {"loss": "0.125"}
    assert len(looked) == 1
    watch.end(Result({"value": 2.5}))
    assert json.loads(asked(watch.address + "news?after=0")[1])["numbers"] == {"value": "2.5"}


def test_watch_is_printed_and_gone_at_the_end(trial, tmp_path, capsys):
    addresses: list[str] = []

    def visit(number: int) -> None:
        if number == 1:
            addresses.extend(re.findall(r"http://\S+", capsys.readouterr().err))
            assert asked(addresses[0])[0] == 200

    trial.within = visit
    assert lab(tmp_path, "--watch") == 0
    with pytest.raises(urllib.error.URLError):
        asked(addresses[0])


@pytest.mark.usefixtures("trial")
def test_tensorboard_files_hold_steps_and_results(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert lab(tmp_path, "--tensorboard") == 0
    folders = sorted((tmp_path / "tensorboard").iterdir())
    assert len(folders) == 3
    events = accumulator.EventAccumulator(str(folders[1]))
    events.Reload()
    assert [each.step for each in events.Scalars("seconds of a call")] == [1, 2]
    assert [each.value for each in events.Scalars("loss")] == [0.5]
    assert [each.value for each in events.Scalars("result/value")] == [4.0]
    assert [each.value for each in events.Scalars("result/curve")] == [1.0, 4.0]
    assert {"estimate", "result/made"} <= set(events.Tags()["images"])


def test_without_tensorboard_a_sentence_says_what_to_install(trial, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert lab(tmp_path, "--tensorboard") == 2
    refused(capsys, "repaint-bridge[lab]")
    assert trial.runs == []


# ----------------------------------------------------------------------------------------------------------- pages


def test_plots_are_whole_whatever_the_numbers():
    for plot in (
        Plot({}, "x", "y"),
        Plot({"one": []}, "x", "y"),
        Plot({"one": [(1.0, 2.0)]}, "x", "y"),
        Plot({"<a>": [(1.0, 2.0, 0.5), (10.0, 2.0, 3.0)]}, "x & y", "y", log_x=True, log_y=True),
        Plot({"a": [(0.0, -1.0), (5.0, float("nan")), (7.0, 1e9)]}, "x", "y", log_y=True, dots=True),
        Plot({str(k): [(float(x), k * 0.001) for x in range(40)] for k in range(9)}, "x", "y"),
    ):
        root = ElementTree.fromstring(plots.svg(plot))
        for element in root.iter():
            for number in re.findall(r"[-\d.]+", element.get("d", "")):
                assert -1 <= float(number) <= plots.WIDTH + 1
        assert len(root.findall("circle")) == sum(map(len, plot.shown.values()))
    points = [(10.0, 1.0), (100.0, 4.0), (1000.0, 2.0)]
    root = ElementTree.fromstring(plots.svg(Plot({"one": points}, "x", "y", log_x=True)))
    circles = [(float(each.get("cx", "")), float(each.get("cy", ""))) for each in root.findall("circle")]
    assert circles[1][0] - circles[0][0] == pytest.approx(circles[2][0] - circles[1][0], abs=0.2)
    assert circles[1][1] < circles[2][1] < circles[0][1]
    texts = [element.text for element in root.findall("text")]
    assert {"10", "100", "1 000", "0", "4", "one", "x", "y"} <= set(texts)


def test_the_index_tells_each_claim_once_and_why_nothing_came(trial, tmp_path):
    sections = [
        Section("one", parts=[Claim("It is so.", "holds", "5 < 6.")]),
        Section("two", parts=[Claim("It is so.", "does not hold", "7 > 6."), Claim("Else.", "in part", "1.")]),
    ]
    outcome = Outcome(Notebook(tmp_path / "trial", {}), 3, 2, ["number 3: Too <large>."], sections=sections)
    found = [(trial.experiment, outcome), (trial.experiment, "There is no model <x>.")]
    page = index(tmp_path, found, "lab all --out '<y>'")
    assert page.count("It is so.") == 1
    assert page.count('class="claim') == 2
    for text in ("one: 5 &lt; 6.", "two: 7 &gt; 6.", "2 of 3 cells, 1 failed", "no model &lt;x&gt;", "&lt;y&gt;"):
        assert text in page, text
    assert page.count('href="trial/report.html"') == 1
    assert page.count("Three cells are run.") == 1


def test_values_are_told_short():
    values = (None, [], 0.123456, 12345.678, 3, "a", [0.5, 2.0, 3.0], float("inf"), 1e-7)
    told = [report.told(value) for value in values]
    assert told == ["–", "–", "0.123", "12 346", "3", "a", "0.5 … 3 (3)", "inf", "1e-07"]


@pytest.fixture
def one_thread():
    """Two of them wait for each other where another program computes."""
    before = torch.get_num_threads()
    devices.use_threads(1)
    yield
    devices.use_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_all_experiments_small_make_their_pages(tmp_path, capsys):
    """`lab all --small`: every page is made, says what came out, and opens offline; a second run has nothing to do."""
    assert main(["lab", "all", "--small", "--out", str(tmp_path)]) == 0
    index = (tmp_path / "index.html").read_text(encoding="utf-8")
    made = [name for name in EXPERIMENTS if (tmp_path / name).is_dir()]
    assert {"time"} <= set(made)
    for name in EXPERIMENTS:
        assert report.escape(EXPERIMENTS[name].title) in index
    for name in made:
        assert f'href="{name}/report.html"' in index
        page = (tmp_path / name / "report.html").read_text(encoding="utf-8")
        assert "<h2>" in page
        assert not re.search(r"(?:src|href)=\"(?!data:|numbers\.|report\.md)", page)
        cells = json.loads((tmp_path / name / "numbers.json").read_text(encoding="utf-8"))["cells"]
        assert cells
        before = (tmp_path / name / "cells.jsonl").read_bytes()
        assert main(["lab", name, "--small", "--out", str(tmp_path / name)]) == 0
        assert (tmp_path / name / "cells.jsonl").read_bytes() == before
        settings = json.loads((tmp_path / name / "settings.json").read_text(encoding="utf-8"))
        for done in range(1, len(cells)):  # a run that was stopped there has a page, too
            (tmp_path / name / "cells.jsonl").write_bytes(b"".join(before.splitlines(keepends=True)[:done]))
            assert EXPERIMENTS[name].conclude(Notebook(tmp_path / name, settings))
    assert "failed" not in capsys.readouterr().err
