"""``connect`` and its neighbours when something is wrong: one sentence each, with what to do next."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge_server.box import keys, wire
from tests.box.road import Box, command, fingerprints

OTHER_VERSION = """
import bridge_server.__main__ as program, bridge_server.box.serve as box
box.version = lambda: "9.9"
program.start()
"""

pytestmark = pytest.mark.usefixtures("own_home")


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    one = Box()
    yield one
    one.close()


def refused(*arguments: str, home: Path | None = None) -> str:
    """The one sentence of a command that fails."""
    done = command(*arguments, home=home)
    assert done.returncode == 1, done.stdout
    [line] = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert line.endswith((".", "5560."))
    assert keys.box() is None
    return line


def test_a_computer_that_the_box_does_not_know_and_how_it_gets_in(box: Box) -> None:
    done = command("connect", box.address, box.key)
    assert done.returncode == 1
    theirs, mine = fingerprints(done.stdout)
    assert theirs == box.fingerprint
    assert f"run “repaint-bridge allow {mine}” there, then connect again" in done.stderr
    assert box.said(mine, "asks to use this box")
    assert keys.box() is None
    assert f"{mine}  has asked" in command("allow", home=box.home).stdout
    assert command("allow", mine, home=box.home).returncode == 0
    done = command("connect", box.address, box.key)
    assert done.returncode == 0, done.stderr
    assert "Connected: 1 worker(s)" in done.stdout
    assert command("connect", box.address).returncode == 0, "the key is known"
    assert command("forbid", mine, home=box.home).returncode == 0
    assert "does not let this computer in" in command("connect", box.address, box.key).stderr
    assert "is not used any more" in command("disconnect").stdout
    assert keys.box() is None


def test_a_box_with_another_key(box: Box) -> None:
    other = keys.text(keys.own().public)
    assert "cannot prove that it has the key" in refused("connect", box.address, other)


def test_a_line_that_was_not_copied_whole(box: Box) -> None:
    assert "copy the whole line" in refused("connect", box.address, box.key[:-3])
    assert "copy the whole line" in refused("connect", box.address)
    assert "is not an address" in refused("connect", "box", box.key)


def test_nothing_listens(box: Box) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    sentence = refused("connect", f"127.0.0.1:{port}", box.key)
    assert "Nothing answers" in sentence
    assert "Connection refused" in sentence
    assert "Nothing answers" in refused("connect", "no-such-box.invalid:5560", box.key)


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", bytes(100)])
def test_an_address_that_is_something_else(box: Box, greeting: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            one, _ = listener.accept()
            one.sendall(greeting)
            one.close()

        threading.Thread(target=serve, daemon=True).start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        assert "not a RePaint box" in refused("connect", address, box.key)


def test_the_bridge_of_an_editor_is_no_box(box: Box) -> None:
    import zmq

    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.plain_server = True
        port = router.bind_to_random_port("tcp://127.0.0.1")
        assert "Another program listens" in refused("connect", f"127.0.0.1:{port}", box.key)


def test_a_box_of_another_version() -> None:
    box = Box(code=OTHER_VERSION)
    try:
        box.allow()
        sentence = refused("connect", box.address, box.key)
        assert "The box runs RePaint 9.9" in sentence
        assert "install the same version on both" in sentence
    finally:
        box.close()


def test_serving_where_it_cannot(box: Box, tmp_path: Path) -> None:
    taken = refused("serve-workers", "--listen", box.address, home=tmp_path)
    assert "RePaint cannot listen on" in taken
    assert "is already running for this user" in refused("serve-workers", "--listen", "127.0.0.1:0", home=box.home)
    assert "is not an address" in refused("serve-workers", "--listen", "5560", home=tmp_path)
    assert "has asked" in refused("allow", "aaaa-bbbb-cccc-dddd-eeee", home=tmp_path)


def test_strangers_and_noise_cost_the_box_nothing(box: Box) -> None:
    port = int(box.address.rpartition(":")[2])
    for noise in (
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(64),
        b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48),
        b"\xff" * 5000,
    ):
        with socket.create_connection(("127.0.0.1", port)) as one:
            one.sendall(noise)
    for _ in range(2):
        done = command("connect", box.address, box.key)
        assert "does not let this computer in" in done.stderr
    mine = fingerprints(done.stdout)[1]
    box.said(mine, "allow")  # the last line of the two about it
    assert sum(mine in line for line in box.lines) == 2, "a computer is shown once"


def test_every_message_of_the_road_is_described() -> None:
    text = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
    part = text[text.index("## The road to a box") :]
    assert all(f"`{name}`" in part for name in wire.FAR.types)
