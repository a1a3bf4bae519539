"""Looking on while an experiment runs: its scenes, the page that shows them, TensorBoard."""

from __future__ import annotations

import json
import re
import sys
import threading
import urllib.error
import urllib.request
from dataclasses import replace

import numpy as np
import pytest

from engine import api
from engine.lab import (
    Result,
    Scene,
    Watch,
    painted,
)
from tests.engine.lab_help import GRAY, lab, refused


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
