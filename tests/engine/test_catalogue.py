"""A catalogue file from anybody: a bad entry is left out and named, a bad file gives way to the shipped one."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge_server import work
from bridge_server.client import messages
from bridge_server.client.codec import encode, pages
from bridge_server.worker import runner
from engine.commands import cli
from engine.errors import BadInput, EngineError
from engine.models import entries, hub, load, models_dir

GOOD = {"id": "good", "title": "Good", "licence": "CC0", "repo": "some/good"}
BY_URL = {"id": "bad", "title": "Bad", "licence": "CC0", "url": "https://a.org/x.pt", "kind": "adm-256"}
BAD: dict[str, Any] = {
    "no object": 5,
    "unknown key": GOOD | {"id": "bad", "surplus": 1},
    "no id": {"title": "Bad", "licence": "CC0", "repo": "some/bad"},
    "long id": GOOD | {"id": "x" * 100},
    "space": GOOD | {"id": "a b"},
    "above": GOOD | {"id": "../../evil"},
    "hidden": GOOD | {"id": ".."},
    "absolute": GOOD | {"id": "/tmp/evil"},
    "of Windows": GOOD | {"id": "c:\\evil"},
    "number": GOOD | {"id": 5},
    "list": GOOD | {"id": ["bad"]},
    "twice": GOOD,
    "long licence": GOOD | {"id": "bad", "licence": "x" * 300},
    "two lines": GOOD | {"id": "bad", "title": "a\nb"},
    "half a character": GOOD | {"id": "bad", "title": "\ud800"},
    "negative size": GOOD | {"id": "bad", "size": -1},
    "huge size": GOOD | {"id": "bad", "download_mb": 10**30},
    "size in words": GOOD | {"id": "bad", "size": "5"},
    "weights elsewhere": GOOD | {"id": "bad", "weights": "../../weights.safetensors"},
    "repo elsewhere": GOOD | {"id": "bad", "repo": "../bad"},
    "revision elsewhere": GOOD | {"id": "bad", "revision": "../../main"},
    "layout": GOOD | {"id": "bad", "layout": "sd9"},
    "hash": GOOD | {"id": "bad", "sha256": "5"},
    "nowhere": {"id": "bad", "title": "Bad", "licence": "CC0"},
    "in two places": BY_URL | {"repo": "some/bad"},
    "file address": BY_URL | {"url": "file:///etc/passwd"},
    "folder's address": BY_URL | {"url": "https://a.org/x/.."},
    "address without a name": BY_URL | {"url": "https://a.org/"},
    "without a kind": {key: value for key, value in BY_URL.items() if key != "kind"},
    "classifier elsewhere": BY_URL | {"classifier_url": "https://a.org/..", "classifier_kind": "classifier-256"},
    "page without a file": {"id": "bad", "title": "Bad", "licence": "CC0", "page": "a page", "kind": "adm-256"},
}
FILES = ["", "{", "[" * 10**5, "{}", '{"id": "a"}', "5", "null", "[NaN]", "\udcff"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REPAINT_BRIDGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


def _listed(place: Path, content: object, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place / "catalogue.json"
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    entries._read.cache_clear()
    monkeypatch.setattr(entries, "CATALOGUE", path)


def _told() -> set[str]:
    """The ids that editors are told of; it fails where one cannot be said."""
    found: set[str] = set()
    for page in pages(work.Models(runner.models()), "models", messages.PAGE):
        encode(page)
        found |= {model.id for model in page.models}
    return found


@pytest.mark.parametrize("what", BAD)
def test_a_bad_entry_is_left_out_and_named(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    what: str,
) -> None:
    _listed(home, [GOOD, BAD[what]], monkeypatch)
    with caplog.at_level(logging.INFO):
        assert [entry.id for entry in entries.known_models()] == ["good"]
    assert "Entry 2" in caplog.text
    assert cli.main(["models", "list"]) == 0
    out, err = capsys.readouterr()
    assert "good" in out
    assert err.startswith("Entry 2 of the catalogue catalogue.json is left out: ")
    assert len(err.splitlines()) == 1
    assert len(err) < 300
    assert {"good", "exemplar", "texture"} <= _told()


@pytest.mark.parametrize("text", FILES)
def test_a_bad_file_gives_way_to_the_shipped_one(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    _listed(home, text, monkeypatch)
    assert cli.main(["models", "list"]) == 0
    out, err = capsys.readouterr()
    assert "ddpm-celebahq-256" in out
    assert "the shipped one is used" in err
    assert "ddpm-celebahq-256" in _told()


def test_a_catalogue_that_is_no_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [home / "missing.json", home, Path("/dev/zero")]
    if hasattr(os, "mkfifo"):
        os.mkfifo(home / "pipe.json")
        places.append(home / "pipe.json")
    for place in places:
        monkeypatch.setattr(entries, "CATALOGUE", place)
        assert "shipped one" in entries.faults()[0]
        assert entries.entry_of("adm-256") is not None


def test_a_file_without_end_is_not_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _listed(home, [], monkeypatch)
    with entries.CATALOGUE.open("r+b") as file:
        file.truncate(10 << 30)
    assert "shipped one" in entries.faults()[0]


def test_folders_of_anything_are_listed(home: Path) -> None:
    """Of the user's own models: JSON of any depth and size, pipes and headers without end."""
    models = models_dir()
    assert models.is_relative_to(home)
    for number, text in enumerate(["[" * 10**5, "5", "null", '{"any_scale": ' * 10**4]):
        for name in ("config.json", "model_index.json", "origin.json", "unet/config.json"):
            path = models / f"m{number}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (models / f"m{number}" / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"\xff" * 16)
    if hasattr(os, "mkfifo"):
        (models / "pipe" / "unet").mkdir(parents=True)
        for name in ("config.json", "model_index.json", "origin.json", "unet/config.json"):
            os.mkfifo(models / "pipe" / name)
    assert {"m0", "m1", "m2", "m3"} <= _told()
    for number in range(4):
        with pytest.raises(EngineError):
            load(f"m{number}", "cpu")


@pytest.mark.parametrize("name", ["../../evil", "/tmp/evil", "..", "a/../../../evil"])
def test_nothing_is_written_outside_the_models_folder(home: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (home / "inner").mkdir()
    name = str(home / "outer") if name.startswith("/") else name
    _listed(home / "inner", [GOOD | {"id": name}], monkeypatch)
    before = sorted(home.rglob("*"))
    with pytest.raises(BadInput, match="no model"):
        hub.get(name, home / "inner" / "models", lambda _: None, lambda *_: None)
    assert sorted(home.rglob("*")) == before


def test_the_shipped_catalogue_is_whole() -> None:
    shipped, wrong = entries._read(entries.SHIPPED)
    assert wrong == ()
    assert len(shipped) == len(json.loads(entries.SHIPPED.read_text(encoding="utf-8"))) > 10


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=300), st.just([]), st.just({}),
    st.sampled_from(["..", "../x", "/x", "a b", "http://", "sd", "\0", "x" * 10**4]),
)  # fmt: skip
NAMES = st.one_of(st.sampled_from([*GOOD, *BY_URL, "size", "download_mb", "layout", "weights", "page"]), st.text())


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(st.one_of(VALUES, st.dictionaries(NAMES, VALUES).map(lambda more: GOOD | more)), max_size=3))
def test_any_catalogue_can_be_told(home: Path, monkeypatch: pytest.MonkeyPatch, listed: list[Any]) -> None:
    with monkeypatch.context() as patched:
        _listed(home, listed, patched)
        assert len(entries.known_models()) + len(entries.faults()) == len(listed) or "shipped" in entries.faults()[0]
        assert "exemplar" in _told()
