"""Whole pipelines with text from the stand-in hub: licences, gates, tokens, and going on where one was cut."""

from __future__ import annotations

import json

import pytest

from engine import api
from engine.commands import models as commands
from engine.models import catalogue, entries, hub, models_dir, watched
from tests.engine import toys
from tests.engine.hub_help import fails, get
from tests.engine.standin_hub import REVISION, StandIn


@pytest.fixture
def pipeline(tmp_path, monkeypatch, standin) -> StandIn:
    """The stand-in also holds the toy latent model as a hub would, and a catalogue that names it."""
    for path in toys.FOLDER.rglob("*"):
        if path.is_file():
            name = path.relative_to(toys.FOLDER).as_posix()
            standin.files[name.replace(".safetensors", ".fp16.safetensors")] = path.read_bytes()
    listed = [
        {"id": name, "title": "Toy", "licence": "a licence", "repo": "some/toy", "revision": REVISION,
         "layout": "sd", "half": True, "gated": name == "gated"}
        for name in ("words", "gated")
    ]  # fmt: skip
    path = tmp_path / "pipelines.json"
    path.write_text(json.dumps(listed))
    monkeypatch.setattr(entries, "CATALOGUE", path)
    return standin


@pytest.mark.usefixtures("pipeline")
def test_a_whole_pipeline_is_installed_and_its_licence_said_first():
    said: list[str] = []
    listed = next(info for info in catalogue() if info.id == "words")
    assert (listed.installed, listed.takes_prompt, listed.licence) == (False, True, "a licence")
    target = get("words", say=said.append)
    assert "a licence" in said[0]
    assert "some/toy" in said[0]
    model = api.load_model("words", "cpu")
    assert model.info.takes_prompt
    assert api.load_model(str(toys.FOLDER), "cpu").read("red").embeddings.keys() == model.read("red").embeddings.keys()
    origin = json.loads((target / "origin.json").read_text())
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in origin["files"]
    assert commands.verify("words")[0].endswith("as they arrived")
    assert not (models_dir() / ".downloads" / "words").exists()
    assert commands.remove("words") == "words"


def test_a_pipeline_goes_on_where_it_was_cut(pipeline):
    """A cut, then a silence; the second try asks for the rest only."""
    pipeline.cuts = [50_000] + [0] * 20
    fails("download_failed", "words")
    pipeline.cuts = []
    get("words")
    assert any(asked and asked.startswith("bytes=50000") for asked in pipeline.ranges)


def test_a_damaged_part_of_a_pipeline_is_not_installed(pipeline):
    name = "vae/config.json"
    pipeline.files[name] = pipeline.files["unet/config.json"]
    fails("model_corrupt", "words")


def test_a_gated_repository_says_what_to_do(pipeline, monkeypatch):
    monkeypatch.setenv(hub.TOKEN_HOST, f"127.0.0.1:{pipeline.port}")
    pipeline.statuses["model_index.json"] = 401
    error = fails("gated", "gated")
    assert "HF_TOKEN" in error.sentence
    assert "a licence" in error.sentence
    fails("not_found", "words")


def test_a_token_goes_to_no_mirror_that_was_not_named_for_it(pipeline, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.delenv(hub.TOKEN_HOST, raising=False)
    get("words")
    assert pipeline.tokens == []
    pipeline.statuses["model_index.json"] = 401
    assert hub.TOKEN_HOST in fails("gated", "gated").sentence
    assert pipeline.tokens == []


def test_a_token_goes_to_the_named_mirror_but_not_to_its_storage(pipeline, monkeypatch):
    """Small files come from the mirror itself, large ones from where it redirects."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv(hub.TOKEN_HOST, f"127.0.0.1:{pipeline.port}")
    get("words")
    assert {token for _, _, token in pipeline.tokens} == {"Bearer hf_secret"}
    assert {host for host, _, _ in pipeline.tokens} == {f"127.0.0.1:{pipeline.port}"}
    assert all("/resolve/" in path for _, path, _ in pipeline.tokens)


@pytest.mark.parametrize(
    ("url", "named", "may"),
    [
        ("https://huggingface.co/a/b", None, True),
        ("http://huggingface.co/a/b", None, False),
        ("http://huggingface.co/a/b", "huggingface.co", False),
        ("https://huggingface.co.evil.org/a", None, False),
        ("https://evil.org/huggingface.co", None, False),
        ("https://huggingface.co@evil.org/a", None, False),
        ("https://mirror.org/a", None, False),
        ("https://mirror.org/a", "mirror.org", True),
        ("https://other.mirror.org/a", "mirror.org", False),
        ("http://mirror.org/a", "mirror.org", False),
        ("http://127.0.0.1:5/a", None, False),
        ("http://127.0.0.1:5/a", "127.0.0.1:5", True),
        ("http://127.0.0.1.evil.org/a", "127.0.0.1.evil.org", False),
        ("ftp://huggingface.co/a", None, False),
    ],
)
def test_where_a_token_may_go(monkeypatch, url, named, may):
    monkeypatch.delenv(hub.TOKEN_HOST, raising=False)
    if named is not None:
        monkeypatch.setenv(hub.TOKEN_HOST, named)
    assert hub.may_have_token(url) is may


def test_a_watcher_hears_of_the_whole_model(pipeline):
    """Bytes of all files together, also of those that an earlier try has left; silence between two words."""
    pipeline.cuts = [50_000] + [0] * 20
    fails("download_failed", "words")
    pipeline.cuts = []
    size = sum(path.stat().st_size for path in toys.FOLDER.rglob("*") if path.is_file())
    said: list[dict] = []
    report = watched.Report(said.append, clock=lambda: 0.0)
    get("words", progress=report, expect=report.expect)
    assert said[-1] == {"done": size, "total": size}
    assert said[0]["total"] == size
    assert len(said) == 2, "the clock stood still: the first word and the last"
