"""Models downloaded through the real bridge, by real processes, from a hub on this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge_server.client import events, link, messages
from tests import toy_hub
from tests.bridge.home import PLAIN_RUN, SLOW, Ear, Home, Watched, alive, request, until
from tests.engine.standin_hub import StandIn
from tests.toy_hub import GATED, LICENCE, SIZE, TOY

WORDS = {"steps": 4, "jump_length": 4, "jump_samples": 1, "prompt": "a red circle on sand"}
NETWORK = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def _place() -> Iterator[tuple[Home, StandIn]]:
    with toy_hub.running() as hub:
        home = Home()
        try:
            home.ready()
            yield home, hub
        finally:
            home.close()


@pytest.fixture
def home(_place: tuple[Home, StandIn]) -> Iterator[Home]:
    """Nothing is installed or under way, and the bridge knows it."""
    home, hub = _place
    hub.pace = 0.0
    for kept in (hub.statuses, hub.sizes, hub.ranges):
        kept.clear()
    home.ready()
    until(lambda: not _downloader(home), "no download is under way")
    shutil.rmtree(_models(home), ignore_errors=True)
    watched = _connected(home)
    watched.session.download("no/such", "")  # after a refusal it looks again
    until(lambda: not _model(watched).installed, "the bridge knows that the model is gone")  # type: ignore[union-attr]
    home.hang_up()
    yield home
    home.hang_up()


@pytest.fixture
def hub(_place: tuple[Home, StandIn]) -> StandIn:
    return _place[1]


def _models(home: Home) -> Path:
    return home.path / "data" / "models"


def _model(watched: Watched, name: str = TOY) -> events.Model | None:
    """As the newest catalogue has it."""
    told = [event for event in watched.all(events.Connected) if event.models]
    return next((each for each in told[-1].models if each.id == name), None) if told else None


def _connected(home: Home) -> Watched:
    watched = home.session()
    until(lambda: _model(watched), "the catalogue")
    return watched


def _end(watched: Watched) -> events.Downloaded:
    return until(lambda: watched.all(events.Downloaded), "the end of a download")[-1]


def _downloader(home: Home) -> int:
    """The process that downloads."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line, status = (entry / "cmdline").read_bytes(), (entry / "stat").read_text()
            except OSError:
                continue
            if b"--watched" in line and int(status.rsplit(")", 1)[1].split()[1]) == home.bridge_pid():
                return int(entry.name)
    return 0


def test_the_catalogue_tells_licence_source_and_size(home: Home, hub: StandIn) -> None:
    model = _model(_connected(home))
    assert model is not None
    assert (model.installed, model.download, model.licence, model.download_bytes) == (False, True, LICENCE, 4_000_000)
    assert model.source == f"127.0.0.1:{hub.port}/{toy_hub.REPOSITORY}"
    listed = {each.id: each for each in home.sessions[0].all(events.Connected)[-1].models}
    assert [listed[name].learns for name in ("exemplar", "texture", TOY)] == [False, True, False]
    assert not listed["repaint-places2-256"].download, "it is fetched by hand"
    assert listed["repaint-places2-256"].source == "github.com/andreas128/RePaint"


@pytest.mark.parametrize(
    ("model", "licence", "code"),
    [(TOY, "another", "licence"), ("exemplar", "GPL-3.0-or-later", "model_unknown"), ("no/such", "", "model_unknown"),
     ("repaint-places2-256", "CC-BY-NC-SA-4.0", "model_unknown")],
)  # fmt: skip
def test_nothing_is_downloaded_without_its_licence(
    home: Home, hub: StandIn, model: str, licence: str, code: str
) -> None:
    watched = _connected(home)
    watched.session.download(model, licence)
    end = _end(watched)
    assert (end.model, end.end, end.code) == (model, "failed", code)
    assert end.sentence.endswith(".")
    assert not _downloader(home)
    assert not (_models(home) / ".downloads").exists()
    assert not hub.ranges


def test_progress_stop_and_the_rest_while_a_job_runs(home: Home, hub: StandIn) -> None:
    """Both editors hear of it; what was there when it was stopped is not fetched again; then it paints."""
    first, second = _connected(home), _connected(home)
    hub.pace = 0.05
    job = first.session.submit(request(SLOW, options={**PLAIN_RUN, "steps": 120}))
    first.session.download(TOY, LICENCE)
    for watched in (first, second):
        until(lambda w=watched: w.all(events.Downloading) and w.all(events.Downloading)[-1].done > 500_000, "progress")
    late = _connected(home)
    until(lambda: late.all(events.Downloading), "one who comes later hears of it, too")
    second.session.stop_download(TOY)
    ends = [_end(watched) for watched in (first, second)]
    assert {end.end for end in ends} == {"stopped"}
    heard = first.all(events.Downloading)
    shares = [event.done for event in heard]
    assert shares == sorted(shares)
    assert heard[-1].total == SIZE
    assert ends[0].done < SIZE
    until(lambda: not _downloader(home), "its process is gone")
    parts = list((_models(home) / ".downloads" / TOY).rglob("*.part"))
    assert sum(part.stat().st_size for part in parts) > 100_000
    assert not _model(first).installed  # type: ignore[union-attr]
    assert isinstance(first.end(job), events.Done), "the job was not held up"
    assert len(first.of(job, events.Progress)) > 20

    asked, hub.pace = len(hub.ranges), 0.0
    first.session.download(TOY, LICENCE)
    until(lambda: len(first.all(events.Downloaded)) == 2, "the second end")
    assert _end(first).end == "installed"
    assert first.all(events.Downloading)[-1] == events.Downloading(TOY, SIZE, SIZE)
    assert hub.ranges[asked].startswith("bytes="), "it went on where it stopped"  # type: ignore[union-attr]
    for watched in (first, second):
        until(lambda w=watched: _model(w).installed, "the catalogue says so")
    result = first.run(request(TOY, options=WORDS))[0]
    plain = first.run(request(TOY, options={**WORDS, "prompt": ""}))[0]
    assert result.rgba != plain.rgba
    first.session.download(TOY, LICENCE)
    until(lambda: len(first.all(events.Downloaded)) == 3, "a refusal")
    assert _end(first).code == "model_unknown"


@pytest.mark.parametrize(
    ("model", "status", "code", "says"),
    [(TOY, 404, "not_found", "refuses"), (GATED, 401, "gated", LICENCE), (GATED, 403, "gated", "HF_TOKEN"),
     (TOY, 0, "offline", "connect to the internet"), (TOY, 200, "disk_full", "not enough room")],
)  # fmt: skip
def test_what_goes_wrong_is_one_sentence(
    home: Home, hub: StandIn, model: str, status: int, code: str, says: str
) -> None:
    watched = _connected(home)
    if status == 200:
        hub.sizes[NETWORK] = 2**52
    else:
        hub.statuses["unet/config.json"] = status
    watched.session.download(model, LICENCE)
    end = _end(watched)
    assert (end.model, end.end, end.code) == (model, "failed", code)
    assert says in end.sentence
    assert "\n" not in end.sentence
    assert not _model(watched, model).installed  # type: ignore[union-attr]


def test_one_at_a_time_and_nothing_left_when_the_bridge_dies(home: Home, hub: StandIn) -> None:
    watched = _connected(home)
    hub.pace = 0.2
    watched.session.download(TOY, LICENCE)
    until(lambda: watched.all(events.Downloading) and watched.all(events.Downloading)[-1].done > 200_000, "progress")
    watched.session.download(GATED, LICENCE)
    assert _end(watched).code == "busy"
    pid = _downloader(home)
    assert pid
    home.kill()
    until(lambda: not alive(pid), "the end of the download", patience=5.0)
    assert list((_models(home) / ".downloads" / TOY).rglob("*.part"))
    until(lambda: watched.all(events.Disconnected), "the session notices")
    home.ready()
    until(lambda: isinstance(watched.all(events.Connected)[-1], events.Connected) and _model(watched), "it is back")
    hub.pace = 0.0
    watched.session.download(TOY, LICENCE)
    until(lambda: watched.all(events.Downloaded)[-1].end == "installed", "it goes on")


def test_a_download_that_dies_is_said(home: Home, hub: StandIn) -> None:
    watched = _connected(home)
    hub.pace = 0.2
    watched.session.download(TOY, LICENCE)
    until(lambda: watched.all(events.Downloading) and watched.all(events.Downloading)[-1].done > 200_000, "progress")
    os.kill(_downloader(home), 9)
    end = _end(watched)
    assert (end.end, end.code) == ("failed", "broken_off")
    assert "continues" in end.sentence


def test_the_words_on_the_wire(home: Home, hub: StandIn) -> None:
    """An editor that leaves does not stop the download; the next one hears how it ended from the catalogue."""
    del hub
    ear = Ear(home.link("one"))
    ear.link.send(messages.Download(TOY, LICENCE))
    ear.link.flush()
    ear.wait(lambda: [m for _, m, _ in ear.heard if isinstance(m, messages.Downloading)], "it began")
    ear.link.send(messages.Bye())
    ear.link.flush()
    ear.link.close()
    home.links.clear()
    watched = _connected(home)
    until(lambda: _model(watched).installed, "it is installed")  # type: ignore[union-attr]
    assert isinstance(link.read_connection_file(home.state).pid, int)
