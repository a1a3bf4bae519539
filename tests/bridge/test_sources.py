"""Jobs with a source of their own through the bridge: the same pixels as the engine's, after a crash too; branches."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bridge_server.client import events, messages
from bridge_server.client.records import BranchRequest
from bridge_server.client.requests import JobRequest
from engine import api
from tests.bridge.home import ENDS, Ear, Home, request, submit, until
from tests.bridge.test_branches import branch, steps_of

OPTIONS = {"steps": 20, "jump_samples": 1}


def green(width: int = 64, height: int = 48) -> dict[str, Any]:
    """A source: green noise, of which the left quarter is not to be used."""
    pixels = np.random.default_rng(1).integers(0, 60, (height, width, 4), np.uint8)
    pixels[..., 1] += 190
    pixels[..., 3] = 255
    pixels[:, : width // 4] = (255, 0, 0, 0)
    return {"source": pixels.tobytes(), "source_width": width, "source_height": height}


def wanted(**fields: Any) -> JobRequest:
    return request("exemplar", **{"options": OPTIONS, **green(), **fields})


def painted(result: events.Result, one: JobRequest) -> np.ndarray:
    """(N, 4) what was selected."""
    marks = np.frombuffer(one.selection, np.uint8).reshape(result.height, result.width)
    return np.frombuffer(result.rgba, np.uint8).reshape(result.height, result.width, 4)[marks > 0]


def test_a_source_makes_up_the_fill_and_its_branches(shared: Home) -> None:
    watched, one = shared.session(), wanted()
    job = watched.session.submit(one)
    assert isinstance(watched.end(job), events.Done)
    (result,) = watched.of(job, events.Result)
    shape = (one.height, one.width)
    direct = api.Job(
        np.frombuffer(one.pixels, np.uint8).reshape(*shape, 4),
        np.frombuffer(one.selection, np.uint8).reshape(shape),
        seed=one.seed,
        source=np.frombuffer(one.source, np.uint8).reshape(48, 64, 4),
        **OPTIONS,
    )
    *_, last = api.run(direct, api.load_model("exemplar", "cpu"))
    assert result.rgba == last.layer().tobytes()
    assert np.median(painted(result, one)[:, 1]) > 180
    _, (again,) = branch(watched, BranchRequest(job, 0, steps_of(watched, job)[5].call))
    assert again.rgba == result.rgba
    _, (other,) = branch(watched, BranchRequest(job, 0, steps_of(watched, job)[0].call, "idea", 1, 5))
    assert other.rgba != result.rgba
    assert np.median(painted(other, one)[:, 1]) > 180


def test_a_mask_of_shares_travels_beside_it(shared: Home) -> None:
    """Its right half alone is filled from the source; branches keep to it."""
    watched, plain = shared.session(), wanted()
    right = np.tile(np.where(np.arange(plain.width) < plain.width // 2, 0, 255).astype(np.uint8), (plain.height, 1))
    one = replace(plain, share_mask=right.tobytes())
    job = watched.session.submit(one)
    assert isinstance(watched.end(job), events.Done)
    (result,) = watched.of(job, events.Result)
    places = np.nonzero(np.frombuffer(one.selection, np.uint8).reshape(one.height, one.width))[1]
    step = steps_of(watched, job)[0].call
    _, (other,) = branch(watched, BranchRequest(job, 0, step, "idea", 1, 5))
    for each in (result, other):
        greens = painted(each, one)[:, 1].astype(int) - painted(each, one)[:, 0]
        assert np.median(greens[places < one.width // 2 - 8]) < 100 < np.median(greens[places > one.width // 2 + 8])
    until(lambda: not list((shared.state / "spool").glob("*/share_mask")), "the end of the mask's file")


def test_the_ring_is_told_with_the_figures(shared: Home) -> None:
    """A source that is green beside a picture that is not."""
    watched = shared.session()
    (asked,) = watched.run(wanted(options={**OPTIONS, "ring": True}))
    assert asked.figures is not None
    assert asked.figures.ring_before > asked.figures.ring_after + 1
    (plain,) = watched.run(wanted())
    assert plain.figures is not None
    assert (plain.figures.ring_before, plain.figures.ring_after) == (None, None)
    assert plain.rgba != asked.rgba


@pytest.mark.slow
def test_a_job_with_a_source_survives_the_engine_and_the_bridge(home: Home) -> None:
    watched, one = home.session("studio", preview_interval=0.0), wanted(options={"steps": 80, "jump_samples": 1})
    (before,) = watched.run(one)
    job = watched.session.submit(one)
    watched.wait(job, events.Progress)
    home.kill()
    assert isinstance(watched.end(job), events.Done)
    assert watched.of(job, events.Result)[0].rgba == before.rgba
    job = watched.session.submit(one)
    watched.wait(job, events.Progress)
    os.kill(home.status().worker_pid, signal.SIGKILL)
    assert isinstance(watched.end(job), events.Done)
    assert watched.of(job, events.Result)[0].rgba == before.rgba
    until(lambda: not list((home.state / "spool").glob("*/source")), "the end of the source's file")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"source": b"x"}, "wrong size"),
        ({"source": b""}, "wrong size"),
        ({"source_width": 0}, "out of range"),
        ({"source_height": 65}, "wrong size"),
        ({"source_width": 16384, "source_height": 16384}, "choose or mark a smaller one"),
        ({"source_width": -1}, "out of range"),
        ({"share_mask": b"x"}, "wrong size"),
        ({"share_mask": bytes(64 * 48), "source": b"", "source_width": 0, "source_height": 0}, "out of range"),
    ],
)
def test_a_source_of_another_size_is_refused_before_it_is_sent(shared: Home, wrong: dict[str, Any], says: str) -> None:
    watched = shared.session()
    end = watched.end(watched.session.submit(replace(wanted(), **wrong)))
    assert isinstance(end, events.Failed)
    assert says in end.sentence


def test_what_the_engine_cannot_use_is_one_sentence(shared: Home) -> None:
    watched = shared.session()
    nothing, small = bytes(64 * 48 * 4), green(7, 7)
    for one in (wanted(source=nothing), wanted(**small), replace(wanted(), model="test/gaussian")):
        end = watched.end(watched.session.submit(one))
        assert isinstance(end, events.Failed)
        assert "source" in end.sentence
        assert "\n" not in end.sentence


def test_the_bridge_looks_at_the_source_itself(shared: Home) -> None:
    ear, one = Ear(shared.link("source")), wanted()
    submit(ear.link, "source-lacking", one)  # its source is never sent
    failed = ear.wait(lambda: ear.of("source-lacking", *ENDS), "the end")[0]
    assert failed.code == "no_pixels"
    for blob, data in (("p", one.pixels), ("s", one.selection), ("m", one.source[4:])):
        ear.link.send(messages.Blob(blob, len(data), 0), data)
    ear.link.send(messages.Submit("source-short", one.order(), "p", "s", False, "m"))
    ear.link.flush()
    assert ear.wait(lambda: ear.of("source-short", *ENDS), "the end")[0].code == "no_pixels"
