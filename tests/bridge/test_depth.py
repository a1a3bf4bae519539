"""Pictures of every depth through the bridge: previews, results, kept steps, branches, and after a restart."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bridge_server.client import events, launch, messages
from bridge_server.client.geometry import Box
from bridge_server.client.records import PIXEL_BYTES, BranchRequest, Order
from bridge_server.client.requests import JobRequest
from bridge_server.journal import Journal
from bridge_server.rows import FORMAT, SCHEMA
from tests.bridge.home import ENDS, SLOW, Ear, Home, Watched, request, submit, until
from tests.bridge.test_branches import branch, steps_of

TYPES = {"u8": "u1", "u16": "<u2", "f16": "<f2", "f32": "<f4"}
SIDE, PART = 96, Box(30, 28, 36, 40)


def deep(depth: str) -> JobRequest:
    """A gradient of the depth's own levels, of floats up to 4, with a selected square in the middle."""
    levels = np.linspace(0, 1, SIDE * SIDE).reshape(SIDE, SIDE, 1) * np.array([1, 0.5, 0.75])
    pixels = np.ones((SIDE, SIDE, 4))
    pixels[..., :3] = levels * (4 if depth.startswith("f") else 1)
    largest = {"u8": 255, "u16": 65535}.get(depth, 1)
    data = (pixels * largest).astype(TYPES[depth]).tobytes()
    return request(pixels=data, depth=depth, linear=depth.startswith("f"), painted=PART, options={"steps": 20})


def pixels(event: events.Result | events.Preview | events.StepView, depth: str) -> np.ndarray:
    assert event.depth == depth
    columns, rows = (event.columns, event.rows) if isinstance(event, events.StepView) else (event.width, event.height)
    assert len(event.rgba) == columns * rows * PIXEL_BYTES[depth]
    return np.frombuffer(event.rgba, TYPES[depth]).reshape(rows, columns, 4)


@pytest.mark.parametrize("depth", TYPES)
def test_a_picture_comes_back_in_the_depth_it_was_sent_in(shared: Home, depth: str) -> None:
    watched = shared.session(preview_interval=0.0)
    one = replace(deep(depth), model=SLOW)  # a preview that comes while another is on its way is left out
    job = watched.session.submit(one)
    assert isinstance(watched.end(job), events.Done)
    (result,) = watched.of(job, events.Result)
    found = pixels(result, depth)
    largest = 1 if depth.startswith("f") else np.iinfo(TYPES[depth]).max
    marks = np.frombuffer(one.selection, np.uint8).reshape(SIDE, SIDE)[PART.y : PART.y + 40, PART.x : PART.x + 36]
    assert np.array_equal(found[..., 3] == largest, marks == 255)
    inside = found[marks == 255][:, :3]
    assert np.isfinite(inside.astype(float)).all()
    if depth != "u8":
        assert len(np.unique(inside)) > 512
    if depth.startswith("f"):
        assert inside.max() > 1, "light above white survives"
    assert all(pixels(preview, depth).shape == found.shape for preview in watched.of(job, events.Preview))
    assert watched.of(job, events.Preview)
    step = steps_of(watched, job)[-2]
    watched.session.look(job, 0, step.call)
    view = until(lambda: watched.of(job, events.StepView), "the picture of a step")[0]
    assert pixels(view, depth).shape == found.shape
    _, (again,) = branch(watched, BranchRequest(job, 0, step.call))
    assert np.array_equal(pixels(again, depth), found)


def test_deep_results_outlive_the_bridge(home: Home) -> None:
    watched = home.session("studio", history=True)
    job = watched.session.submit(deep("u16"))
    assert isinstance(watched.end(job), events.Done)
    (result,) = watched.of(job, events.Result)
    home.hang_up()
    home.kill()
    later = home.session("studio", history=True)
    entry = until(lambda: later.all(events.Recovered), "the job")[0]
    assert entry.depth == "u16"
    later.session.resume(job)
    assert isinstance(later.end(job), events.Done)
    assert later.of(job, events.Result) == [result]


def refusal(watched: Watched, wanted: JobRequest) -> events.Failed:
    end = watched.end(watched.session.submit(wanted))
    assert isinstance(end, events.Failed)
    assert end.sentence.endswith(".")
    assert "\n" not in end.sentence
    return end


def test_another_depth_or_size_is_refused_before_it_is_sent(shared: Home) -> None:
    watched = shared.session()
    one = deep("u16")
    for wrong in (replace(one, depth="f32"), replace(one, depth="u8"), replace(one, pixels=one.pixels[:-1])):
        assert "wrong size" in refusal(watched, wrong).sentence
    for wrong in (replace(one, depth="u12"), replace(one, depth=None), replace(one, linear=1)):
        assert refusal(watched, wrong).code == "bad_request"


def test_the_bridge_refuses_another_depth_or_size_itself(shared: Home) -> None:
    ear = Ear(shared.link("short"))
    submit(ear.link, "short", replace(deep("f16"), depth="f32"))
    failed = ear.wait(lambda: ear.of("short", *ENDS), "the end")[0]
    assert (failed.code, failed.sentence) == (
        "no_pixels",
        "The picture did not arrive completely: click RePaint again.",
    )
    order = {**json.loads(json.dumps(vars(deep("f16").order()), default=vars)), "depth": "f64"}
    header = {"type": "submit", "job": "odd", "order": order, "pixels": "p", "selection": "s"}
    ear.link.dealer.send([b"RPB1", json.dumps(header).encode()])
    error = ear.wait(lambda: ear.of("odd", messages.Error), "the refusal")[0]
    assert (error.code, error.about) == ("wire", "submit")


def test_a_journal_whose_pictures_all_had_8_bits_is_taken_over(tmp_path: Path) -> None:
    launch.private_folder(tmp_path)
    base = sqlite3.connect(tmp_path / "journal.sqlite")
    base.executescript(SCHEMA.replace(f"user_version={FORMAT}", "user_version=1"))
    order = {
        "width": 4, "height": 3, "painted": {"x": 0, "y": 0, "width": 2, "height": 3}, "model": "texture",
        "preset": "fast", "seed": 11, "variants": 1, "options": {}, "tag": "",
    }  # fmt: skip
    about = {"client": "studio", "order": order, "origin": None, "history": True, "created": time.time()}
    base.execute(
        "INSERT INTO jobs VALUES('one', ?, 0, 'done', 1, 2.5, '', '', '')",
        [json.dumps(about)],
    )
    result = {
        "job": "one", "variant": 0, "seed": 11, "x": 0, "y": 0, "width": 2, "height": 3, "model": "texture",
        "seconds": 2.5, "calls": 9, "unfinished": False,
    }  # fmt: skip
    base.execute("INSERT INTO results VALUES('one', 0, ?, 0)", [json.dumps({"result": result, "step": None})])
    base.commit()
    base.close()
    (tmp_path / "spool" / "one").mkdir(parents=True)
    (tmp_path / "spool" / "one" / "variant-0").write_bytes(bytes(24))
    journal = Journal(tmp_path)
    (one,) = journal.load()
    assert not journal.notice
    assert one.order == Order(4, 3, Box(0, 0, 2, 3), "texture", "fast", 11, 1, {}, "", "u8", False)
    assert one.finished[0].result == messages.Result(**result, depth="u8")
    assert one.order.painted_bytes == 24
    journal.close()
