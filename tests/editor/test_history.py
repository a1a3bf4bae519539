"""Pictures of earlier times: found again by the document's key or path, and never taken for another document's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bridge_server.client import events
from bridge_server.client.editor.history import LONGEST_TAG, History, note
from bridge_server.client.editor.model import MapTarget, Run, Settings, Target, Variant
from bridge_server.client.geometry import Box


def run(key: str = "", path: str = "", seed: int = 7) -> Run:
    target = Target("open", "", Box(1, 2, 30, 40), Box(5, 6, 7, 8), key, path)
    return Run(1, Settings("texture", "fast", seed, 2), target, None, [Variant(0, seed), Variant(1, seed + 1)])


def kept(history: History, job: str, of: Run, parent: str = "", results: int = 2) -> bool:
    return history.add(events.Recovered(job, note(of, parent), "texture", "done", 2, results, 30, 40, "u8"))


def test_a_run_comes_back_as_it_was() -> None:
    history, branch = History(), run("key")
    branch.parent, branch.kind = (4, 1, 30), "idea"
    assert kept(history, "a", run("key"))
    assert kept(history, "b", branch, parent="a")
    assert (history.pictures(), history.bytes()) == (4, 4 * 4 * 30 * 40)
    first, second = history.take("again", "key", "")
    assert (first.job, second.job) == ("a", "b"), "in the order of the bridge, which is that of the clicks"
    assert first.target == Target("again", "", Box(1, 2, 30, 40), Box(5, 6, 7, 8), "key", "")
    assert (first.settings.model, first.settings.preset) == ("texture", "fast")
    assert [variant.seed for variant in first.variants] == [7, 8]
    assert (second.kind, history.parents["b"]) == ("idea", ["a", 1, 30])
    assert history.take("again", "key", "") == [], "they wait no longer"


def test_a_deep_picture_comes_back_with_its_depth_and_colours() -> None:
    history, deep = History(), run("key")
    deep.target = replace(deep.target, depth="f16", linear=True, space="RGBA F16 Rec2020-elle-V4-g10.icc")
    history.add(events.Recovered("a", note(deep), "texture", "done", 2, 2, 30, 40, "f16"))
    assert history.bytes() == 2 * 8 * 30 * 40
    (found,) = history.take("open", "key", "")
    assert found.target == deep.target


def test_pictures_are_counted_with_their_maps() -> None:
    history, one = History(), run("key")
    one.target = replace(one.target, maps=(MapTarget("Height", "", 1.0, "", "u16", False, "", True),))
    history.add(events.Recovered("a", note(one), "texture", "done", 2, 2, 30, 40, "u8"))
    assert history.bytes() == 2 * (4 + 8) * 30 * 40


def test_a_picture_of_a_version_without_depths_was_srgb() -> None:
    history = History()
    content = {**json.loads(note(run("key"))), "plain": True}
    del content["linear"], content["space"]
    history.add(events.Recovered("a", json.dumps(content), "texture", "done", 2, 2, 30, 40, "u8"))
    (found,) = history.take("open", "key", "")
    assert found.target == run("key").target


def test_a_document_without_a_key_is_known_by_its_path() -> None:
    history = History()
    kept(history, "a", run(path="/pictures/a.png"))
    assert history.take("d", "", "/pictures/b.png") == []
    assert history.take("d", "", "") == []
    assert len(history.take("d", "", "/pictures/a.png")) == 1


@pytest.mark.parametrize("there", [True, False], ids=["copied", "moved"])
def test_a_copy_under_another_name_is_another_document_and_a_moved_file_the_same(tmp_path: Path, there: bool) -> None:
    original, other = tmp_path / "original.kra", tmp_path / "other.kra"
    other.touch()
    if there:
        original.touch()
    history = History()
    kept(history, "a", run("key", str(original)))
    assert len(history.take("d", "key", str(other))) == (0 if there else 1)
    assert len(history.take("d", "key", str(original))) == (1 if there else 0)


def test_what_a_document_was_before_it_had_a_file_is_its_own() -> None:
    history = History()
    kept(history, "a", run("key", ""))
    assert len(history.take("d", "key", "/pictures/new.kra")) == 1


def test_a_note_never_grows_beyond_what_the_bridge_takes() -> None:
    long = run("key", "/" + "x" * 2000)
    assert len(note(long)) <= LONGEST_TAG
    assert json.loads(note(long))["path"] == ""
    assert json.loads(note(run("key", "/short")))["path"] == "/short"


@pytest.mark.parametrize("tag", ["", "{}", "[]", "no json", '{"box": [1]}', "null"])
def test_a_note_of_somebody_else_is_left_alone(tag: str) -> None:
    history = History()
    assert not history.add(events.Recovered("x", tag, "texture", "done", 1, 1, 4, 4, "u8"))
    assert history.pictures() == 0


def test_forgetting_names_all_that_wait() -> None:
    history = History()
    kept(history, "a", run("key"))
    kept(history, "b", run("other"))
    assert sorted(history.forget()) == ["a", "b"]
    assert (history.pictures(), history.forget()) == (0, [])
