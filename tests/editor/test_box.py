"""The entry of a box in an editor: the line that is pasted, and what the engine's own command says to it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge_server.client import launch
from bridge_server.client.editor import box, sentences
from bridge_server.client.errors import BridgeError
from bridge_server.client.setup.sentences import NOT_THE_LINE

KEY = "rcpstsdjd2vqjms7rqrv73vmnvslzfrdyyp2bclxoowy5kuld55q"


class Pump:
    """Does what is to be done aside when it is told to."""

    def __init__(self) -> None:
        self.later: list[Callable[[], None]] = []

    def aside(
        self, _name: str, work: Callable[[], Any], then: Callable[[Any], Any], failed: Callable[[str], Any]
    ) -> None:
        def run() -> None:
            try:
                answer = work()
            except BridgeError as error:
                failed(error.sentence)
            else:
                then(answer)

        self.later.append(run)


@pytest.mark.parametrize("line", [f"repaint-bridge connect box:5560 {KEY}", f"  box:5560   {KEY}\n"])
def test_the_line_of_the_box_is_taken_whole_or_in_part(line: str) -> None:
    asked, pump = [], Pump()
    page = box.BoxPage(pump, lambda *words: asked.append(words) or "Connected.")  # type: ignore[arg-type,func-returns-value]
    shown: list[str] = []
    page.listeners.append(lambda: shown.append(page.text))
    page.connect(line)
    page.disconnect()  # one thing at a time
    assert page.text == sentences.BOX_ASKED
    pump.later.pop()()
    assert asked == [("connect", "box:5560", KEY)]
    assert shown == [sentences.BOX_ASKED, "Connected."]
    page.disconnect()
    pump.later.pop()()
    assert asked[-1] == ("disconnect",)


@pytest.mark.parametrize("line", ["", "a b c", "--help", "box:5560", f"box:5560 {KEY} --state"])
def test_what_is_no_such_line_asks_nobody(line: str) -> None:
    pump = Pump()
    page = box.BoxPage(pump)  # type: ignore[arg-type]
    page.connect(line)
    assert page.text == NOT_THE_LINE
    assert not pump.later


def test_the_command_of_the_engine_that_is_set_up_answers(own_home: Path) -> None:
    program = own_home / "program.py"
    lines = "print('Fingerprint ü'); print('error:', *sys.argv[1:], file=sys.stderr)"
    program.write_text(f"import sys; {lines}; exit(1)", encoding="utf-8")
    launch.write_launch_file(sys.executable, [str(program), "serve", "--idle-seconds", "9"], own_home)
    said = box.command("connect", "box:1", KEY).splitlines()
    assert sorted(said) == ["Fingerprint ü", f"connect box:1 {KEY}"]
    launch.write_launch_file(str(own_home / "gone"), [str(program), "serve"], own_home)
    pump = Pump()
    (launch.user_folders().config / "bridge.json").write_text('{"box": {"host": "::1", "port": 7}}', encoding="utf-8")
    page = box.BoxPage(pump)  # type: ignore[arg-type]
    assert "[::1]:7" in page.text
    page.disconnect()
    pump.later.pop()()
    assert page.text == launch.NOT_INSTALLED
