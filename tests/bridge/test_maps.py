"""Jobs with maps through the bridge: the same pixels as the engine's, kept, branched from, and after a crash too."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bridge_server.client import events, messages
from bridge_server.client.records import BranchRequest
from bridge_server.client.requests import JobRequest, MapRequest
from engine import api
from tests.bridge import test_apart as apart
from tests.bridge.home import ENDS, Ear, Home, request, submit, until
from tests.bridge.test_branches import branch, steps_of

OPTIONS = {"steps": 20, "jump_samples": 1}
TYPES = {"u8": np.uint8, "u16": np.uint16, "f32": np.float32}


def colours(one: JobRequest) -> np.ndarray:
    """(H, W, 3) float, 0 … 1."""
    return np.frombuffer(one.pixels, np.uint8).reshape(one.height, one.width, 4)[..., :3] / 255


def stored(values: np.ndarray, depth: str) -> bytes:
    """Opaque gray pixels of (H, W) in 0 … 1."""
    top = 1 if depth == "f32" else np.iinfo(TYPES[depth]).max
    pixels = np.full((*values.shape, 4), top, TYPES[depth])
    pixels[..., :3] = (values if top == 1 else np.rint(values * top))[..., None]
    return pixels.tobytes()


def wanted(**fields: Any) -> JobRequest:
    """Its maps are the mean of the colours in 16 bits, and what the red lacks, in floats."""
    one = request("exemplar", **{"options": OPTIONS, **fields})
    seen = colours(one)
    height = MapRequest("Height", stored(seen.mean(2), "u16"), "values", 1.0, "u16")
    rough = MapRequest("Roughness", stored(1 - seen[..., 0], "f32"), "values", 0.5, "f32")
    return replace(one, maps=(height, rough))


def layers(result: events.Result) -> list[np.ndarray]:
    shape = (result.height, result.width, 4)
    return [
        np.frombuffer(pixels, TYPES[depth]).reshape(shape)
        for pixels, depth in zip(
            (result.rgba, *result.map_pixels), (result.depth, *(each.depth for each in result.maps)), strict=True
        )
    ]


def same_function(result: events.Result) -> None:
    """What was painted is the function that the maps of `wanted` are."""
    colour, height, rough = layers(result)
    painted = (colour[..., 3] > 0) & ((colour > 0) & (colour < 255))[..., :3].all(2)  # what is cut off is none
    assert painted.sum() > 500
    seen = colour[painted][:, :3] / 255
    assert np.abs(height[painted][:, 0] / 65535 - seen.mean(1)).max() < 1.5 / 255
    assert np.abs(rough[painted][:, 0] - (1 - seen[:, 0])).max() < 1.5 / 255
    assert all(np.array_equal(layer[..., 3] > 0, colour[..., 3] > 0) for layer in (height, rough))


def test_maps_come_back_as_the_engine_paints_them_and_in_branches(shared: Home) -> None:
    watched, one = shared.session(), wanted()
    job = watched.session.submit(one)
    assert isinstance(watched.end(job), events.Done)
    (result,) = watched.of(job, events.Result)
    assert [each.name for each in result.maps] == ["Height", "Roughness"]
    shape = (one.height, one.width)
    direct = api.Job(
        np.frombuffer(one.pixels, np.uint8).reshape(*shape, 4),
        np.frombuffer(one.selection, np.uint8).reshape(shape),
        seed=one.seed,
        maps=tuple(
            api.Map(each.name, np.frombuffer(each.pixels, TYPES[each.depth]).reshape(*shape, 4), each.kind, each.weight)
            for each in one.maps
        ),
        **OPTIONS,
    )
    *_, last = api.run(direct, api.load_model("exemplar", "cpu"))
    assert result.rgba == last.layer().tobytes()
    assert result.map_pixels == tuple(layer.tobytes() for layer in last.map_layers())
    same_function(result)
    _, (again,) = branch(watched, BranchRequest(job, 0, steps_of(watched, job)[5].call))
    assert (again.rgba, again.map_pixels) == (result.rgba, result.map_pixels)
    _, (other,) = branch(watched, BranchRequest(job, 0, steps_of(watched, job)[0].call, "idea", 1, 5))
    assert other.rgba != result.rgba
    same_function(other)


def test_what_is_kept_of_a_stopped_run_has_its_maps(shared: Home) -> None:
    watched = shared.session(preview_interval=0.0)
    job = watched.session.submit(wanted(options={"steps": 200, "jump_samples": 1}))
    watched.wait(job, events.Progress)
    watched.session.keep(job)
    assert isinstance(watched.end(job), events.Done)
    (result,) = watched.of(job, events.Result)
    assert result.unfinished
    colour, height, rough = layers(result)
    assert (height.dtype, rough.dtype) == (np.uint16, np.float32)
    assert np.array_equal(height[..., 3] > 0, colour[..., 3] > 0)
    assert height[colour[..., 3] > 0][:, 0].std() > 0


@pytest.mark.slow
def test_a_job_with_maps_survives_the_engine_and_the_bridge(home: Home) -> None:
    watched, one = home.session("studio", preview_interval=0.0), wanted(options={"steps": 80, "jump_samples": 1})
    (before,) = watched.run(one)
    job = watched.session.submit(one)
    watched.wait(job, events.Progress)
    home.kill()
    assert isinstance(watched.end(job), events.Done)
    (after,) = watched.of(job, events.Result)
    assert (after.rgba, after.map_pixels) == (before.rgba, before.map_pixels)
    job = watched.session.submit(one)
    watched.wait(job, events.Progress)
    os.kill(home.status().worker_pid, signal.SIGKILL)
    assert isinstance(watched.end(job), events.Done)
    (after,) = watched.of(job, events.Result)
    assert (after.rgba, after.map_pixels) == (before.rgba, before.map_pixels)
    until(lambda: not list((home.state / "spool").glob("*/map-*")), "the end of the maps' files")


@pytest.mark.slow
def test_results_with_maps_are_handed_to_the_next_editor(home: Home) -> None:
    first = home.session("studio", history=True)
    job = first.session.submit(wanted(variants=2))
    assert isinstance(first.end(job), events.Done)
    results = first.of(job, events.Result)
    assert len(results) == 2
    home.hang_up()
    home.kill()
    later = home.session("studio", history=True)
    until(lambda: later.all(events.Recovered), "the job")
    later.session.resume(job)
    assert isinstance(later.end(job), events.Done)
    assert later.of(job, events.Result) == results


def test_maps_of_far_apart_places_are_sent_and_come_back_in_pieces(shared: Home) -> None:
    selection = apart.corners(1200, 1600)
    one, pixels = apart.wanted(selection)
    height = np.full(pixels.shape, 65535, np.uint16)
    height[..., :3] = (pixels[..., :3].mean(2) * 257)[..., None]
    box, found = apart.looked_through(selection)
    assert found is not None
    sent = MapRequest("Height", b"".join(apart.cut(height, piece).tobytes() for piece in found.pieces), depth="u16")
    watched = shared.session()
    (result,) = watched.run(replace(one, maps=(sent,)))
    direct = api.Job(pixels, selection, seed=3, maps=(api.Map("Height", height),), **apart.QUICK)
    *_, last = api.run(direct, api.load_model("exemplar", "cpu"))
    assert result.rgba == b"".join(apart.cut(last.layer(), part).tobytes() for part in found.parts)
    assert result.map_pixels == (b"".join(apart.cut(last.map_layers()[0], part).tobytes() for part in found.parts),)
    assert (result.parts, box.area > 4 * sum(part.area for part in found.parts)) == (one.parts, True)
    end = watched.end(watched.session.submit(replace(one, maps=(replace(sent, pixels=sent.pixels[8:]),))))
    assert "The map Height has another size" in end.sentence


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"pixels": b"x"}, "The map Height has another size than the picture"),
        ({"name": ""}, "A map has no name"),
        ({"name": "Roughness"}, "Two maps have the same name"),
        ({"kind": "bump"}, "out of range"),
        ({"depth": "u12"}, "out of range"),
    ],
)
def test_a_map_that_does_not_fit_is_refused_before_it_is_sent(shared: Home, change: dict[str, Any], says: str) -> None:
    watched, one = shared.session(), wanted()
    end = watched.end(watched.session.submit(replace(one, maps=(replace(one.maps[0], **change), one.maps[1]))))
    assert isinstance(end, events.Failed)
    assert says in end.sentence


def test_more_maps_than_a_run_takes_are_refused(shared: Home) -> None:
    watched, one = shared.session(), wanted()
    many = tuple(replace(one.maps[0], name=str(number)) for number in range(8))
    end = watched.end(watched.session.submit(replace(one, maps=many)))
    assert isinstance(end, events.Failed)
    assert "More than 7 maps" in end.sentence


def test_what_the_engine_cannot_use_is_one_sentence(shared: Home) -> None:
    watched, one = shared.session(), wanted()
    flat = stored(np.full((one.height, one.width), 0.5), "u16")
    zero = replace(one.maps[0], name="Normals", kind="normal", pixels=flat)
    empty = replace(one.maps[1], pixels=bytes(len(one.maps[1].pixels)))
    source = {"source": one.pixels, "source_width": one.width, "source_height": one.height}
    for wrong, says in (
        (replace(one, maps=(zero,)), "Normals has normals of length 0"),
        (replace(one, maps=(empty,)), "Roughness is empty around the selection"),
        (replace(one, model="test/gaussian"), "paints no maps beside the picture"),
        (replace(one, **source), "together with sources"),
    ):
        end = watched.end(watched.session.submit(wrong))
        assert isinstance(end, events.Failed)
        assert says in end.sentence
        assert "\n" not in end.sentence


def test_the_bridge_looks_at_the_maps_itself(shared: Home) -> None:
    ear, one = Ear(shared.link("maps")), wanted()
    submit(ear.link, "maps-lacking", one)  # they are never sent
    failed = ear.wait(lambda: ear.of("maps-lacking", *ENDS), "the end")[0]
    assert failed.code == "no_pixels"
    for blob, data in (("p", one.pixels), ("s", one.selection), ("a", one.maps[0].pixels), ("b", one.maps[1].pixels)):
        ear.link.send(messages.Blob(blob, len(data), 0), data)
    ear.link.send(messages.Submit("maps-turned", one.order(), "p", "s", False, None, ("b", "a")))
    ear.link.flush()
    assert ear.wait(lambda: ear.of("maps-turned", *ENDS), "the end")[0].code == "no_pixels"
