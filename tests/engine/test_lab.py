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
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from engine import devices
from engine.commands.cli import _parser, main
from engine.errors import EngineError
from engine.lab import (
    EXPERIMENTS,
    Claim,
    Notebook,
    Outcome,
    Plot,
    Result,
    Section,
    Setup,
    index,
    plots,
    report,
)
from tests.engine.lab_help import GRAY, lab, refused


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
@pytest.mark.slow
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
