"""The downloads against an index that misbehaves: each trouble is one sentence, and what arrived is kept."""

from __future__ import annotations

import random
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge_server.client.errors import SetUpFailed
from bridge_server.client.setup import fetch, settings, web
from bridge_server.client.setup.kit import Wheel
from bridge_server.client.setup.runner import Cancelled
from tests.bridge.home import until
from tests.setup import kits
from tests.setup.index import Index, serving

SIZE = 1_000_000


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    folder = tmp_path / "index"
    folder.mkdir()
    with serving(folder) as one:
        yield one


@pytest.fixture
def big(index: Index) -> Wheel:
    content = random.Random(1).randbytes(SIZE)
    return as_wheel(kits.wheel(index.folder, "big", "1.0+cpu", {"big.bin": content}))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PAUSE", 0.01)
    monkeypatch.setattr(web, "PAUSE", 0.01)


def as_wheel(package: dict) -> Wheel:
    file = package["files"][0]
    return Wheel(package["name"], package["version"], file["name"], file["sha256"], file["size"])


def get(
    folder: Path, index: str, *wheels: Wheel, cancelled: threading.Event | None = None, roots: Wheel | None = None
) -> list[int]:
    told: list[int] = []
    stop = cancelled.is_set if cancelled else lambda: False
    fetch.fetch(list(wheels), folder, True, index, told.append, stop, roots)
    return told


def sentence(folder: Path, index: str, *wheels: Wheel) -> str:
    with pytest.raises(SetUpFailed) as raised:
        get(folder, index, *wheels)
    return raised.value.sentence


@pytest.mark.parametrize("json", [False, True])
def test_both_kinds_of_index(home: Path, index: Index, big: Wheel, json: bool) -> None:
    index.json = json
    others = [as_wheel(kits.wheel(index.folder, f"small-{n}", "1.0", {f"s{n}.py": ""})) for n in range(9)]
    told = get(home / "wheels", index.address, big, *others)
    assert told[-1] == sum(wheel.size for wheel in (big, *others))
    assert told == sorted(told)
    assert sorted(path.name for path in (home / "wheels").iterdir()) == sorted(w.name for w in (big, *others))
    asked = len(index.asked)
    get(home / "wheels", index.address, big, *others)
    assert len(index.asked) == asked, "what is there was asked for again"


@pytest.mark.parametrize("ranges", [True, False])
def test_goes_on_after_cancel(home: Path, index: Index, big: Wheel, ranges: bool) -> None:
    index.stop_after = SIZE // 2
    index.ranges = ranges
    part = home / "wheels" / f"{big.name}.part"
    cancel, clicked = threading.Event(), []

    def click() -> None:
        until(lambda: part.exists() and part.stat().st_size >= SIZE // 2, "the first half")
        clicked.append(time.monotonic())
        cancel.set()

    threading.Thread(target=click).start()
    with pytest.raises(Cancelled):
        get(home / "wheels", index.address, big, cancelled=cancel)
    assert time.monotonic() - clicked[0] < 3.0, "the index hangs; Cancel does not wait for it"
    kept = part.stat().st_size
    assert kept >= SIZE // 2
    assert index.hangs.wait(10)
    index.stop_after = -1
    get(home / "wheels", index.address, big)
    assert index.asked[-1][1] == f"bytes={kept}-"
    assert index.sent < SIZE * (1.2 if ranges else 1.7)


def test_goes_on_by_itself_after_a_cut_line(home: Path, index: Index, big: Wheel) -> None:
    index.stop_after, index.stop = SIZE // 3, "cut"
    get(home / "wheels", index.address, big)
    assert index.asked[-1][1].startswith("bytes=")


def test_harmed_remains_are_fetched_anew(home: Path, index: Index, big: Wheel) -> None:
    (home / "wheels").mkdir(parents=True)
    (home / "wheels" / f"{big.name}.part").write_bytes(bytes(5000))
    get(home / "wheels", index.address, big)
    (home / "wheels" / f"{big.name}.part").write_bytes(bytes(2 * big.size))
    (home / "wheels" / big.name).write_bytes(bytes(big.size))
    get(home / "wheels", index.address, big)


@pytest.mark.parametrize("stop", ["hang", "drip"])
def test_stalls(home: Path, index: Index, big: Wheel, stop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "1")
    monkeypatch.setattr(fetch, "TRIES", 2)
    index.stop_after, index.stop = SIZE // 2, stop
    assert sentence(home / "wheels", index.address, big) == (
        "127.0.0.1 stopped sending: check the network, then try again; it goes on where it stopped."
    )
    assert (home / "wheels" / f"{big.name}.part").stat().st_size >= SIZE // 2


def test_no_network(home: Path, big: Wheel) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        said = sentence(home / "wheels", f"http://127.0.0.1:{taken.getsockname()[1]}/simple", big)
    start = "cannot be reached: check the network, then try again; it goes on where it stopped."
    assert said == "127.0.0.1 " + start
    assert sentence(home / "wheels", "http://index.invalid/simple", big) == "index.invalid " + start


def test_wrong_hash(home: Path, index: Index, big: Wheel) -> None:
    index.harm = True
    assert sentence(home / "wheels", index.address, big).startswith(f"{big.name} from 127.0.0.1 is not the file")
    assert list((home / "wheels").iterdir()) == []


@pytest.mark.parametrize("login", [True, "files"])
def test_a_proxy_that_answers_with_a_page(home: Path, index: Index, big: Wheel, login: bool | str) -> None:
    index.login = login
    said = sentence(home / "wheels", index.address, big)
    assert said.startswith("127.0.0.1 sent a web page instead of packages: sign in to this network")


def test_a_package_that_is_not_there(home: Path, index: Index, big: Wheel) -> None:
    (index.folder / big.name).unlink()
    assert sentence(home / "wheels", index.address, big).startswith(f"{big.name} is not at 127.0.0.1: check pip's")
    kits.wheel(index.folder, "big", "0.9", {"big.bin": b"old"})
    assert sentence(home / "wheels", index.address, big).startswith(f"{big.name} is not at 127.0.0.1: check pip's")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, "is not at 127.0.0.1: check pip's"),
        (403, "127.0.0.1 asks for a user name and a password (it says 403)"),
        (407, "The proxy of this network wants a user name"),
        (503, "127.0.0.1 has a problem (it says 503): try again later"),
    ],
)
def test_refusals(home: Path, index: Index, big: Wheel, status: int, said: str) -> None:
    index.status = status
    assert said in sentence(home / "wheels", index.address, big)


def test_names_and_passwords(home: Path, index: Index, big: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    index.user = "zoë:p@ss"
    assert "asks for a user name and a password" in sentence(home / "wheels", index.address, big)
    monkeypatch.setenv("PIP_INDEX_URL", index.address.replace("//", "//zo%C3%AB:p%40ss@"))
    get(home / "wheels", "http://index.invalid/simple", big)


def test_through_a_proxy(home: Path, index: Index, big: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    """To an http proxy the whole address is told: the stand-in takes its last part."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{index.server_port}")
    get(home / "wheels", "http://index.invalid/simple", big)
    assert index.asked[0][0] == "http://index.invalid/simple/big/"
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    assert sentence(home / "other", "http://index.invalid/simple", big).startswith("The proxy 127.0.0.1 is of a kind")


def test_folders_and_other_indexes(
    home: Path, index: Index, big: Wheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = tmp_path / "mirror" / "big"
    local.mkdir(parents=True)
    (local / "index.html").write_text(f'<a href="../../index/{big.name.replace("+", "%2B")}">x</a>')
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"{local.parent.as_uri()} {index.address}")
    get(home / "first", "http://index.invalid/simple", big)
    assert not index.asked
    monkeypatch.setenv("PIP_FIND_LINKS", str(index.folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    get(home / "second", "http://index.invalid/simple", big)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert "“find-links”" in sentence(home / "third", index.address, big)


def test_a_folder_that_cannot_be_written(home: Path, index: Index, big: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, *_: object) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(fetch, "open", refuse, raising=False)
    assert sentence(home / "wheels", index.address, big).startswith(f"RePaint may not write to {home}")


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl to make a certificate")
def test_certificates_that_the_editors_python_does_not_know(
    home: Path, index: Index, big: Wheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """certifi comes first, by its sha256; then the certificates that it lists are trusted."""
    pem, key = tmp_path / "server.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(pem)]
    command += ["-days", "2", "-subj", "/CN=here", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem, key)
    index.socket = context.wrap_socket(index.socket, server_side=True)
    address = index.address.replace("http:", "https:")
    monkeypatch.setenv("PIP_INDEX_URL", address.replace("//", "//me:secret@"))
    monkeypatch.setattr(web, "BUNDLES", ())
    assert sentence(home / "wheels", address, big).startswith("127.0.0.1 cannot prove its identity")
    roots = as_wheel(kits.wheel(index.folder, "certifi", "2026.1", {"certifi/cacert.pem": pem.read_bytes()}))
    with serving(tmp_path) as others:
        monkeypatch.setenv("PIP_FIND_LINKS", f"http://127.0.0.1:{others.server_port}/links?token=secret")
        get(home / "wheels", address, big, roots=roots)
        monkeypatch.delenv("PIP_FIND_LINKS")
        assert len(others.asked) == 1, "a token went out to somebody unknown"
    wrong = as_wheel(kits.wheel(tmp_path, "certifi", "2026.1", {"certifi/cacert.pem": b""}))
    with pytest.raises(SetUpFailed, match="cannot prove its identity"):
        get(home / "other", address, big, roots=wrong)
    monkeypatch.setenv("PIP_CERT", str(pem))
    get(home / "third", address, big)
    monkeypatch.setenv("PIP_CERT", "")
    monkeypatch.setenv("PIP_TRUSTED_HOST", f"127.0.0.1:{index.server_port}")
    get(home / "fourth", address, big)
    sent = {path: header for path, header in index.passwords if "certifi" in path}
    assert sent
    assert not any(sent.values()), "a password went to somebody unknown"


def test_a_python_without_ssl(home: Path, index: Index, big: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "ssl", None)
    assert sentence(home / "wheels", index.address, big).startswith("The Python of this editor cannot speak https")


# ---- passwords, and pages that mean harm ----
@pytest.mark.parametrize("same", [True, False])
def test_a_password_does_not_follow_a_redirection(
    home: Path, index: Index, big: Wheel, monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    """Another port of the same host is another server; and the proxy's is for the proxy alone."""
    with serving(index.folder) as other:
        target = index if same else other
        index.moved = f"http://127.0.0.1:{target.server_port}/elsewhere/files/"
        monkeypatch.setenv("PIP_INDEX_URL", index.address.replace("//", "//me:secret@"))
        handed = web._KeepsSecrets.redirect_request
        proxied: list[bool] = []

        def redirected(self: web._KeepsSecrets, req: Any, *others: Any) -> Any:
            req.add_header("Proxy-authorization", "Basic cHJveHk=")
            made = handed(self, req, *others)
            proxied.append(made.has_header("Proxy-authorization"))
            return made

        monkeypatch.setattr(web._KeepsSecrets, "redirect_request", redirected)
        get(home / "wheels", index.address, big)
        (sent,) = [header for path, header in target.passwords if "/elsewhere/" in path]
        assert bool(sent) == same
        assert proxied == [False]


def test_a_password_is_for_one_scheme_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:secret@index.example/simple")
    one = web.Web(settings.read(), "")
    assert one._request("https://index.example/files/a.whl", 0, "*/*").has_header("Authorization")
    assert not one._request("http://index.example/files/a.whl", 0, "*/*").has_header("Authorization")


def test_a_page_without_an_end(home: Path, index: Index, big: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "LONGEST", 50)
    assert sentence(home / "wheels", index.address, big).startswith("127.0.0.1 sent a web page instead of packages")


@pytest.mark.parametrize("json", [False, True])
def test_a_page_has_no_say_about_files_of_this_computer(home: Path, index: Index, big: Wheel, json: bool) -> None:
    index.json = json
    index.links = f"{index.folder.as_uri()}/"
    assert sentence(home / "wheels", index.address, big).startswith(f"{big.name} is not at 127.0.0.1")
    assert list((home / "wheels").iterdir()) == []


def test_no_password_in_the_log(
    home: Path, index: Index, big: Wheel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", index.address.replace("//", "//me:secret@"))
    index.login = True
    sentence(home / "wheels", index.address, big)
    index.login = "files"
    sentence(home / "wheels", index.address, big)
    local = home / "page.html"
    local.write_text(f'<a href="{index.address.replace("//", "//me:secret@")}/../files/{big.name}">x</a>')
    monkeypatch.setenv("PIP_FIND_LINKS", str(local))
    sentence(home / "wheels", index.address, big)
    assert "127.0.0.1" in caplog.text
    assert "secret" not in caplog.text


def test_a_page_that_is_out_of_reach_is_asked_for_once(
    home: Path, index: Index, big: Wheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = as_wheel(kits.wheel(index.folder, "small", "1.0", {"s.py": ""}))
    with serving(tmp_path) as dead:
        dead.broken = True
        monkeypatch.setenv("PIP_FIND_LINKS", f"http://127.0.0.1:{dead.server_port}/links/")
        monkeypatch.setattr(fetch, "AT_ONCE", 1)
        get(home / "wheels", index.address, big, small)
        assert len(dead.asked) == 3


@pytest.mark.parametrize(
    "address", ["http://[index/simple", "http://127.0.0.1:{}/sïmple", "http://127.0.0.1:me/simple"]
)
def test_an_address_that_is_none(
    home: Path, index: Index, big: Wheel, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", address.replace("{}", str(index.server_port)))
    said = sentence(home / "wheels", index.address, big)
    assert said.startswith("The address of ")
    assert "“index-url”" in said


def test_only_proxies_for_pages_count(home: Path, index: Index, big: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "localhost:5000,127.0.0.1")
    monkeypatch.setenv("ftp_proxy", "socks5://127.0.0.1:1")
    get(home / "wheels", index.address, big)


def test_a_folder_of_somebodys_own_keeps_its_mode(index: Index, big: Wheel, tmp_path: Path) -> None:
    folder = tmp_path / "offline"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    get(folder, index.address, big)
    assert folder.stat().st_mode & 0o777 == 0o755
