"""Keys: made once, private, shown as fingerprints; who may use a box, and who has asked."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ProcessPoolExecutor

import pytest
import zmq
from zmq.utils import z85

from bridge_server.box import commands, keys
from bridge_server.client.errors import BridgeError

pytestmark = pytest.mark.usefixtures("own_home")
ZEROS, ONES = 64 * "0", 64 * "1"


def _key() -> bytes:
    return bytes(z85.decode(zmq.curve_keypair()[0]))


def _public(_: int) -> bytes:
    return keys.own().public


def test_a_key_pair_is_made_once_and_is_private() -> None:
    with ProcessPoolExecutor(4) as several:
        assert len(set(several.map(_public, range(16)))) == 1
    file = keys.folder() / "key.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.folder().stat().st_mode) == 0o700
    file.chmod(0o644)
    keys.own()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", ["", "{", "[]", '{"public": "00"}', f'{{"public": "{ZEROS}", "secret": "{ONES}"}}'])
def test_a_damaged_key_is_said_and_not_replaced(content: str) -> None:
    keys.own()
    file = keys.folder() / "key.json"
    file.write_text(content)
    with pytest.raises(BridgeError, match="cannot be read: move it away"):
        keys.own()
    assert file.read_text() == content


def test_keys_as_text_and_fingerprints() -> None:
    for _ in range(50):
        key = _key()
        assert keys.of_text(keys.text(key)) == keys.of_text(keys.text(key).upper()) == key
        assert len(keys.fingerprint(key)) == 24
    assert keys.fingerprint(bytes(32)) == "mzuh-vlpy-mk6x-o3ep-ygfy"
    for wrong in ("", "x", keys.text(key)[:-1], keys.text(key) + "a", "1" * 52, "ä" * 52):
        with pytest.raises(BridgeError, match="copy the whole line"):
            keys.of_text(wrong)


def test_who_has_asked_is_let_in_by_the_fingerprint_and_can_be_forbidden() -> None:
    many = [_key() for _ in range(keys.ASKED + 4)]
    for key in many:
        keys.note_asked(key)
    assert keys.asked() == many[4:]
    words = keys.fingerprint(many[-1])
    assert keys.allow(words.upper()) == many[-1]
    assert keys.allowed() == {many[-1]}
    assert many[-1] not in keys.asked()
    with pytest.raises(BridgeError, match="has asked"):
        keys.allow(keys.fingerprint(many[0]))
    with pytest.raises(BridgeError, match="has asked"):
        keys.allow(words[:9])
    keys.allow(keys.text(many[0]))  # by its whole key it needs not ask
    assert keys.forbid(words)
    assert not keys.forbid(words)
    assert keys.allowed() == {many[0]}
    (keys.folder() / "allowed.json").write_text(json.dumps({"nobody": 1}))
    with pytest.raises(BridgeError, match="cannot be read"):
        keys.allowed()


def test_addresses() -> None:
    assert commands.split("box.local:5560") == ("box.local", 5560)
    assert commands.split("[fe80::1]:5560") == ("fe80::1", 5560)
    assert keys.Box("fe80::1", 5560, "").place == "[fe80::1]:5560"
    for wrong in (
        "",
        "box",
        "box:",
        ":5560",
        "box:70000",
        "box:-1",
        "fe80::1:5560",
        "http://box:80",
        "a b:1",
        "x;tcp:1",
        "box:²",
    ):
        with pytest.raises(BridgeError, match="is not an address"):
            commands.split(wrong)
