"""Learning through the real bridge and the real engine, with the shipped model."""

from __future__ import annotations

from pathlib import Path

from bridge_server.client import events
from tests.bridge.home import PLAIN_RUN, Home, request

LEARN = {**PLAIN_RUN, "steps": 4, "jump_length": 4, "learn": 5}


def _learned(home: Home) -> list[Path]:
    return list((home.path / "cache" / "learned").rglob("*"))


def test_the_news_of_learning_and_what_was_learned_comes_back(shared: Home) -> None:
    watched = shared.session()
    job = watched.session.submit(request("texture", options=LEARN))
    assert isinstance(watched.end(job), events.Done)
    news = watched.of(job, events.Learning)
    shares = [event.fraction for event in news]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert all(event.seconds_left >= 0 for event in news)
    kinds = [type(event) for event in watched.of(job)]
    assert max(k for k, kind in enumerate(kinds) if kind is events.Learning) < kinds.index(events.Progress)
    assert len(_learned(shared)) == 1
    first, second = watched.run(request("texture", options=LEARN, variants=2))
    assert first.rgba == watched.of(job, events.Result)[0].rgba
    assert second.rgba != first.rgba
    watched.check_ends()


def test_cancel_while_it_learns_leaves_nothing(shared: Home) -> None:
    before = _learned(shared)
    watched = shared.session()
    job = watched.session.submit(request("texture", side=104, options={**LEARN, "learn": 600}))
    watched.wait(job, events.Learning, count=2)
    pid = shared.status().worker_pid
    watched.session.cancel(job)
    assert isinstance(watched.end(job), events.Cancelled)
    end = watched.session.submit(request("texture", side=104, options={**LEARN, "learn": None}))
    assert isinstance(watched.end(end), events.Done)
    assert shared.status().worker_pid == pid, "it stopped by itself"
    assert _learned(shared) == before


def test_what_cannot_be_learned_is_said(shared: Home) -> None:
    watched = shared.session()
    for fields, words in (
        ({"model": "test/gaussian", "options": {"learn": 15}}, "cannot learn"),
        ({"model": "texture", "options": {"learn": 2}}, "5 to 600"),
        ({"model": "texture", "options": {"learn": "long"}}, "learn"),
        ({"model": "texture", "side": 32, "options": {"learn": 15}}, "too little"),
    ):
        end = watched.end(watched.session.submit(request(**fields)))
        assert isinstance(end, events.Failed)
        assert words in end.sentence
