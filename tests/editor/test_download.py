"""What is said of models that are not installed, and how a download goes, without an editor or a bridge.

The bridge's side is played by hand here; tests/bridge/test_downloads.py shows that it plays true.
"""

from __future__ import annotations

from typing import Any

import pytest

from bridge_server.client import events
from bridge_server.client.editor import download, model, words
from tests.editor.stage import Stage

MB = 10**6
SD = events.Model(
    "sd15", "By words", "latent", "OpenRAIL-M", False, True, False, source="hub.example/sd15", download=True,
    download_bytes=2130 * MB,
)  # fmt: skip
HAND = events.Model(
    "places2", "Places", "diffusers-pixel", "CC-BY-NC-SA-4.0", False, False, False, source="a/page"
)  # fmt: skip
BROKEN = events.Model("mine", "mine", "diffusers-pixel", "see the folder", False, False, False)
BUILT_IN = events.Model("exemplar", "From this picture", "exemplar", "GPL-3.0-or-later", True, False, False)


class Shop(Stage):
    """A connected flow whose session notes what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []
        self.session.download = lambda model, licence: self.asked.append((model, licence))  # type: ignore[attr-defined]
        self.session.stop_download = self.asked.append  # type: ignore[attr-defined]
        self.tell(events.Connected((BUILT_IN, SD, HAND, BROKEN), (), "1"))

    def shown(self, model: str = "sd15") -> download.Shown:
        return self.flow.shown_download(model)

    def begin(self) -> None:
        self.flow.accept_licence("sd15", True)
        self.flow.download("sd15")


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_licence_size_and_source_come_first(shop: Shop) -> None:
    before = shop.shown()
    assert (before.visible, before.asks, before.can_start, before.runs) == (True, True, False, False)
    assert before.text.splitlines() == [
        "By words is not installed.",
        "Licence: OpenRAIL-M",
        "Size: 2.1 GB",
        "From: hub.example/sd15",
    ]
    shop.flow.download("sd15")
    assert not shop.asked, "nothing is downloaded unasked"
    shop.flow.accept_licence("sd15", True)
    assert shop.shown().can_start
    shop.flow.accept_licence("sd15", False)
    assert not shop.shown().can_start
    shop.begin()
    assert shop.asked == [("sd15", "OpenRAIL-M")]
    shop.flow.download("sd15")
    assert len(shop.asked) == 1, "once is enough"
    assert not shop.shown("exemplar").asks


def test_a_new_licence_is_asked_for_again(shop: Shop) -> None:
    shop.flow.accept_licence("sd15", True)
    changed = events.Model(**{**vars(SD), "licence": "another"})
    shop.tell(events.Connected((BUILT_IN, changed), (), "1"))
    assert not shop.shown().accepted
    assert not shop.shown().can_start


def test_what_cannot_be_downloaded_says_what_to_do(shop: Shop) -> None:
    for name, says in (("places2", "by hand"), ("mine", "incomplete")):
        shown = shop.shown(name)
        assert (shown.visible, shown.asks, shown.can_start) == (True, False, False)
        assert says in shown.text
        shop.flow.accept_licence(name, True)
        shop.flow.download(name)
    assert not shop.asked
    assert not shop.shown("exemplar").visible


def test_progress_is_told_with_the_time_that_is_left(shop: Shop) -> None:
    shop.begin()
    assert (shop.shown().runs, shop.shown().progress) == (True, "Looking up the files …")
    shares = []
    for second in range(1, 6):
        shop.now = float(second)
        shop.tell(events.Downloading("sd15", second * 50 * MB, 2000 * MB))
        shares.append(shop.shown().fraction)
    assert shares == [0.025, 0.05, 0.075, 0.1, 0.125]
    assert shop.shown().progress == "250 MB of 2.0 GB · 35 s left"
    assert shop.shown("exemplar").runs, "another model may be chosen meanwhile"
    assert not shop.flow.busy
    shop.tell(events.Downloading("sd15", 2000 * MB, 2000 * MB))
    assert shop.shown().progress == "Checking the model …"
    shop.tell(events.Downloaded("sd15", "installed", 2000 * MB, "", "", ""))
    there = events.Model(**{**vars(SD), "installed": True})
    shop.tell(events.Connected((BUILT_IN, there), (), "1"))
    assert shop.flow.sentence == "By words is installed."
    assert not shop.flow.is_error
    assert not shop.shown().visible


def test_without_a_known_size_there_is_a_number_all_the_same(shop: Shop) -> None:
    shop.begin()
    shop.tell(events.Downloading("sd15", 5 * MB, 0))
    assert shop.shown().fraction < 0
    assert shop.shown().progress == "5.0 MB"


def test_stopping_keeps_what_is_there_and_says_so(shop: Shop) -> None:
    shop.begin()
    shop.tell(events.Downloading("sd15", 12 * MB, 2000 * MB))
    shop.flow.stop_download()
    shop.flow.stop_download()
    assert shop.asked[1:] == ["sd15"]
    assert (shop.shown().progress, shop.shown().can_stop) == ("Stopping …", False)
    shop.tell(events.Downloading("sd15", 13 * MB, 2000 * MB), events.Downloaded("sd15", "stopped", 13 * MB, "", "", ""))
    shown = shop.shown()
    assert shown.sentence == "Stopped; 13.0 MB are kept, and Download continues from there."
    assert (shown.is_error, shown.runs, shown.can_start) == (False, False, True)
    shop.begin()
    assert shop.shown().sentence == ""


def test_a_failure_is_said_in_place_and_in_the_status_line(shop: Shop) -> None:
    shop.begin()
    sentence = "hub.example cannot be reached; connect to the internet and try again."
    shop.tell(events.Downloaded("sd15", "failed", 0, "offline", sentence, "why"))
    assert (shop.shown().sentence, shop.shown().is_error) == (sentence, True)
    assert (shop.flow.sentence, shop.flow.is_error) == (sentence, True)
    assert shop.shown("places2").sentence == "", "it belongs to its model"
    assert shop.shown().can_start


def test_the_status_line_of_a_run_is_left_alone(shop: Shop) -> None:
    shop.running()
    shop.begin()
    before = shop.flow.sentence
    shop.tell(events.Downloaded("sd15", "failed", 0, "offline", "No.", ""))
    assert shop.flow.sentence == before


def test_another_editor_s_download_is_shown_and_can_be_stopped(shop: Shop) -> None:
    shop.tell(events.Downloading("places2", MB, 5 * MB))
    assert shop.shown("exemplar").text == "Downloading Places"
    shop.flow.accept_licence("sd15", True)
    shop.flow.download("sd15")
    assert not shop.asked
    shop.flow.stop_download()
    assert shop.asked == ["places2"]


def test_a_bridge_that_is_gone_takes_the_download_with_it(shop: Shop) -> None:
    shop.begin()
    shop.tell(events.Downloading("sd15", MB, 5 * MB), events.Disconnected("The bridge is gone."))
    assert not shop.shown().runs
    assert shop.shown().is_error
    assert "click Download again" in shop.shown().sentence
    assert not shop.shown().can_start, "there is nobody to ask"


def test_a_run_with_it_is_refused_with_the_way_out(shop: Shop) -> None:
    shop.flow.start(model.Settings("sd15", "fast", 7))
    assert not shop.flow.busy
    assert shop.flow.is_error
    assert shop.flow.sentence == "By words is not installed: download it first, or choose another model."
    assert not shop.session.calls


def test_it_speaks_the_artist_s_language(shop: Shop) -> None:
    try:
        words.choose("fr")
        shop.begin()
        shop.tell(events.Downloading("sd15", 12 * MB, 90 * MB))
        assert shop.shown().progress == "12.0 Mo sur 90.0 Mo"
    finally:
        words.choose("en")
