"""Every message against docs/protocol.md, and the parser against what is not lawful."""

from __future__ import annotations

import dataclasses
import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge_server import work
from bridge_server.client import codec, messages, records
from bridge_server.client.errors import WireError
from bridge_server.client.geometry import Box
from tests.bridge.home import ROOT
from tests.promises import Tried, many

PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
RECORDS = (
    records.Model, records.Preset, records.Step, Box, records.Figures, records.Map, records.Order,
    records.BranchRequest, records.JobEntry,
)  # fmt: skip
NESTED = {cls.__name__: cls for cls in RECORDS}

# one good value and some bad ones for every kind of value that the page knows
SAMPLES: dict[str, tuple[Any, list[Any]]] = {
    "id": ("a-B_9", ["", "a b", "ü", "x" * 65, "../a", 7, None]),
    "name": ("test/gaussian-1.0", ["", "/etc", "../x", "a b", "x" * 129, 7, None]),
    "number": (1.5, ["1", None, True, [], float("nan"), float("inf")]),
    "flag": (True, [0, 1, "true", None]),
    "options": (
        {"steps": 5, "schedule": [1, 2], "hard": True, "x": None, "w": "text", "g": 1.5},
        [[], None, {"a b": 1}, {"a": {}}, {"a": [[1]]}, {"a": "x" * 4001}, {"a": 2**60}],
    ),
}


def sections() -> dict[str, str]:
    """Heading → text of all ### sections of the page."""
    found = re.split(r"^### (.*)$", PAGE, flags=re.M)
    return {found[k].strip(): re.split(r"^## ", found[k + 1], flags=re.M)[0] for k in range(1, len(found), 2)}


def table(text: str) -> dict[str, tuple[str, str]]:
    """Field → (values, default) of a section."""
    rows = re.findall(r"^\| `(\w+)` \| (.*) \| (.*?) ?\|$", text, flags=re.M)
    return {name: (values.strip(), default.strip()) for name, values, default in rows}


def specified(cls: type[Any]) -> dict[str, tuple[str, str]]:
    found = {}
    for field in dataclasses.fields(cls):
        default = ""
        if field.default is not dataclasses.MISSING:
            default = f"`{json.dumps(field.default)}`"
        elif field.default_factory is not dataclasses.MISSING:
            default = f"`{json.dumps(field.default_factory())}`"
        found[field.name] = (field.metadata["check"].spec, default)
    return found


def sample(spec: str) -> tuple[Any, list[Any]]:
    """A good value and bad ones for what a cell of the page says."""
    if spec in SAMPLES:
        return SAMPLES[spec]
    if spec in NESTED:
        return {name: sample(values)[0] for name, (values, _) in specified(NESTED[spec]).items()}, [None, [], {}, 1]
    if spec.endswith(", or null"):
        good, bad = sample(spec[: -len(", or null")])
        return good, [value for value in bad if value is not None]
    if spec.startswith("text"):
        longest = int(spec.split()[-1])
        return "ä" * min(longest, 20), ["x" * (longest + 1), None, 5, "\ud800"]
    if spec.startswith("integer"):
        low, high = ({"2^53": 2**53, "2^53-1": 2**53 - 1}.get(part) or int(part) for part in spec[8:].split(" … "))
        return low, [low - 1, high + 1, float(low), True, str(low), None]
    if spec.startswith("list of"):
        longest, inner = re.fullmatch(r"list of ≤ (\d+): (.*)", spec).groups()  # type: ignore[union-attr]
        good, bad = sample(inner)
        return [good], [None, good, [bad[0]], [good] * (int(longest) + 1)]
    if "\\|" in spec:
        return spec.split(" \\| ")[0], ["", "other", None, 3]
    raise AssertionError(f"the page knows no {spec!r}")


@pytest.mark.parametrize("name", messages.WIRE.types)
def test_a_message_is_as_the_page_says(name: str) -> None:
    cls = messages.WIRE.types[name]
    heading = f"`{name}` ({cls.DIRECTION}{', one payload' if cls.PAYLOAD else ''})"
    assert heading in sections(), f"{heading} is not on the page"
    assert table(sections()[heading]) == specified(cls)


def test_the_page_has_no_other_messages() -> None:
    named = [heading.split("`")[1] for heading in sections() if heading.startswith("`")]
    assert named == list(messages.WIRE.types)
    for name, cls in NESTED.items():
        assert table(sections()[name]) == specified(cls)


@pytest.mark.parametrize("name", messages.WIRE.types)
def test_a_message_survives_the_wire_and_bad_values_do_not(name: str) -> None:
    cls = messages.WIRE.types[name]
    payload = [b"pixels"] if cls.PAYLOAD else []
    fields = {field: sample(spec) for field, (spec, _) in table(_section(name)).items()}
    good = {"type": name, **{field: values[0] for field, values in fields.items()}}
    message, received = codec.decode([b"RPB1", json.dumps(good).encode(), *payload], messages.WIRE)
    assert type(message) is cls
    again = codec.encode(message, received)
    assert codec.decode(again, messages.WIRE) == (message, received)
    assert json.loads(again[1]) == good
    unknown = {**good, "added_later": [1]}
    assert codec.decode([b"RPB1", json.dumps(unknown).encode(), *payload], messages.WIRE)[0] == message
    for field, (_, bad) in fields.items():
        for value in bad:
            with pytest.raises(WireError):
                codec.decode([b"RPB1", json.dumps({**good, field: value}).encode(), *payload], messages.WIRE)
        if not table(_section(name))[field][1]:
            incomplete = {key: value for key, value in good.items() if key != field}
            with pytest.raises(WireError):
                codec.decode([b"RPB1", json.dumps(incomplete).encode(), *payload], messages.WIRE)
    for wrong in ([*payload, b"more"], payload[1:] if payload else [b"x"], [b""]):
        with pytest.raises(WireError):
            codec.decode([b"RPB1", json.dumps(good).encode(), *wrong], messages.WIRE)


def _section(name: str) -> str:
    return next(text for heading, text in sections().items() if heading.startswith(f"`{name}` "))


@pytest.mark.parametrize(
    "header",
    [
        b"", b"null", b"[]", b"7", b'"ping"', b"{", b"{}", b'{"type":["ping"]}', b'{"type":"no-such"}',
        b'{"type":null}',
        b'{"type":"ping","number":1,"number":2}', b'{"type":"ping","number":NaN}', b'{"type":"ping","number":Infinity}',
        b'{"type":"ping","number":1e999}', b'{"type":"ping","number":9007199254740993}',
        b'{"type":"ping","number":' + b"9" * 5000 + b"}",
        b'{"type":"ping","number":1,"x":' + b"[" * 16 + b"]" * 16 + b"}", b"[" * 60000, b'{"a":' * 10000, b"\xff\xfe",
        b'{"type":"ping","number":1}' + b" " * 65536, b'{"type":"ping","number":1}}', b'{"type":"ping","number":1}\0',
    ],
)  # fmt: skip
def test_an_unlawful_header_is_a_wire_error(header: bytes) -> None:
    with pytest.raises(WireError):
        codec.decode([b"RPB1", header], messages.WIRE)


def test_depth_counts_structure_and_not_text() -> None:
    assert codec.parse_header(b'{"a":"' + b"[" * 100 + b'"}') == {"a": "[" * 100}
    assert codec.parse_header(b'{"a":"\\"' + b"{" * 100 + b'"}')
    assert codec.parse_header(b'{"a":' + b"[" * 15 + b"]" * 15 + b"}")


@pytest.mark.promise(5)
@settings(max_examples=many(150, 2000), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.binary(max_size=60), max_size=12))
def test_any_frames_are_a_message_or_a_wire_error(frames: list[bytes]) -> None:
    for candidate in (frames, [b"RPB1", *frames]):
        with pytest.raises(WireError):
            codec.decode(candidate, messages.WIRE)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.promise(5)
@settings(max_examples=many(150, 2000), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_values_are_a_message_or_a_wire_error(data: st.DataObject) -> None:
    cls = data.draw(st.sampled_from([*messages.WIRE.types.values(), *work.WORK.types.values()]))
    wire = messages.WIRE if cls.TYPE in messages.WIRE.types else work.WORK
    names = [field.name for field in dataclasses.fields(cls)]
    content = {"type": cls.TYPE, **{name: data.draw(_json) for name in names if data.draw(st.booleans())}}
    try:
        message, payload = codec.decode([b"RPB1", json.dumps(content).encode()], wire)
    except WireError:
        return
    assert codec.decode(codec.encode(message, payload), wire) == (message, payload)


def _lawful(cls: type[Any]) -> bytes:
    """The header of a message, each field with a good value."""
    fields = {name: sample(spec)[0] for name, (spec, _) in specified(cls).items()}
    return json.dumps({"type": cls.TYPE, **fields}).encode()


_TOKENS = (
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"2.5",
    b"[]",
    b"{}",
    b'"',
    b"\\",
    b",",
    b":",
    b"[",
    b"}",
    b"\xff",
    b"9" * 30,
)


def _harmed(header: bytes, other: bytes, dice: random.Random) -> bytes:
    """``header`` with one to four changes: bytes changed, cut out, repeated, put in, or the end of another header."""
    harmed = bytearray(header)
    for _ in range(dice.randint(1, 4)):
        start = dice.randrange(len(harmed) + 1)
        end = min(len(harmed), start + dice.randint(0, 12))
        match dice.randrange(5):
            case 0:
                harmed[start : start + 1] = bytes([dice.randrange(256)])
            case 1:
                del harmed[start:end]
            case 2:
                harmed[start:start] = harmed[start:end]
            case 3:
                harmed[start:end] = dice.choice(_TOKENS)
            case _:
                harmed[start:] = other[dice.randrange(len(other)) :]
    return bytes(harmed)


@pytest.mark.promise(5)
def test_harmed_messages_are_messages_or_wire_errors(tried: Tried) -> None:
    dice = random.Random(5)
    kinds = [(wire, cls) for wire in (messages.WIRE, work.WORK) for cls in wire.types.values()]
    headers = [_lawful(cls) for _, cls in kinds]
    taken = 0
    for _ in tried.rounds(3000, 100_000):
        number = dice.randrange(len(kinds))
        wire, cls = kinds[number]
        frames = [b"RPB1", _harmed(headers[number], dice.choice(headers), dice), *([b"pixels"] if cls.PAYLOAD else [])]
        try:
            message, payload = codec.decode(frames, wire)
        except WireError:
            continue
        taken += 1
        assert codec.decode(codec.encode(message, payload), wire) == (message, payload)
    assert taken, "some changes leave a message"


@pytest.mark.parametrize("name", work.WORK.types)
def test_the_worker_wire_survives_too(name: str) -> None:
    cls = work.WORK.types[name]
    good = {"type": name, **{field: sample(spec)[0] for field, (spec, _) in specified(cls).items()}}
    payload = [b"pixels"] if cls.PAYLOAD else []
    message, received = codec.decode([b"RPB1", json.dumps(good).encode(), *payload], work.WORK)
    assert codec.decode(codec.encode(message, received), work.WORK) == (message, received)


def test_nothing_unlawful_is_sent() -> None:
    for message in (messages.Ping(-1), messages.Ping(2**60), messages.Cancel("a b"), messages.Bye("x" * 201)):
        with pytest.raises(WireError):
            codec.encode(message)
    with pytest.raises(WireError):
        codec.encode(messages.Ping(1), b"payload")
    with pytest.raises(WireError):
        codec.encode(messages.Chunk("a", 0, 0))


def test_the_bridge_imports_neither_torch_nor_the_engine() -> None:
    code = (
        "import sys, bridge_server.server, bridge_server.__main__;"
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'engine', 'numpy')])"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_package_itself_is_empty() -> None:
    assert (Path(ROOT) / "bridge_server" / "__init__.py").read_text() == ""
