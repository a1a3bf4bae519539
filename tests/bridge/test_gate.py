"""Who may talk to the bridge, and to whom a client talks."""

from __future__ import annotations

import contextlib
import json
import os
import random
import secrets
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import zmq

from bridge_server import auth
from bridge_server.auth import ANSWERS, ENDPOINT, FEW, MANY, Gate
from bridge_server.client import codec, events, launch, link, messages, proof
from bridge_server.client.errors import BridgeError, ConnectionLost, Refused
from bridge_server.client.session import JobRequest
from bridge_server.client.zmtp import Dealer
from tests.bridge.home import FAST, PATIENCE, SLOW, Ear, Home, python, request, submit, until
from tests.promises import Tried


def post(port: int, padding: int, body: bytes) -> None:
    """What a web page can make a browser send, shaped so that its body looks like ZMTP/1.0 frames."""
    filler = b"x" * padding
    head = (
        b"POST /" + filler + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
    )
    hung_up = contextlib.suppress(OSError)  # the other side may be quick to refuse
    with socket.create_connection(("127.0.0.1", port), timeout=10) as one, hung_up:
        one.sendall(head % len(body) + body)
        one.shutdown(socket.SHUT_WR)


def frames_1_0(*frames: bytes) -> bytes:
    """ZMTP/1.0 framing: length (flags byte included), flags, body."""
    out = b""
    for number, frame in enumerate(frames):
        more = number + 1 < len(frames)
        out += bytes([len(frame) + 1, int(more)]) + frame
    return out


_NULL_ROUTER = """
import os, zmq
router = zmq.Context().socket(zmq.ROUTER)
print(router.bind_to_random_port("tcp://127.0.0.1"), flush=True)
while True:
    frames = router.recv_multipart()
    if b'{"type":"stop"}' in frames:
        print("delivered", flush=True)
        os._exit(0)
"""


def test_a_null_socket_would_take_a_browser_post_for_a_job() -> None:
    """The companion of the next test: without authentication some padding delivers the page's body as a message.

    In a process of its own: libzmq 4.3.5 can also abort on such peers when it closes (zmtp_engine.cpp, line 422);
    behind ZAP it hangs up on them before.
    """
    router = python(_NULL_ROUTER, stdout=subprocess.PIPE)
    try:
        assert router.stdout is not None
        port = int(router.stdout.readline())
        for padding in range(256):
            with contextlib.suppress(OSError):  # it has seen enough and left
                post(port, padding, frames_1_0(b"RPB1", b'{"type":"stop"}') * 8)
        assert router.stdout.readline() == b"delivered\n"
    finally:
        router.kill()
        router.communicate()


@pytest.mark.promise(5)
def test_no_browser_post_gets_through(shared: Home, tried: Tried) -> None:
    shared.session()  # as below
    port, before = shared.address().port, shared.status()
    log = shared.state / "logs" / "bridge.log"
    earlier = log.stat().st_size
    for padding in tried.rounds(256, 256):
        post(port, padding, frames_1_0(b"RPB1", b'{"type":"stop"}') * 8)
    served(shared, tried)
    after = shared.status()
    assert after.pid == before.pid
    tried.at_most("memory", after.memory_mib - before.memory_mib, 20, "MiB")
    assert b"refused a message" not in log.read_bytes()[earlier:]


@pytest.mark.promise(5)
def test_raw_garbage_does_not_disturb(shared: Home, tried: Tried) -> None:
    shared.session()  # an editor that stays: without any a bridge ends after half a minute
    port, before = shared.address().port, shared.status()
    for number in tried.rounds(300, 10_000):
        with socket.create_connection(("127.0.0.1", port)) as one, contextlib.suppress(OSError):
            one.sendall(os.urandom(number % 300 * 7))
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
    served(shared, tried)
    after = shared.status()
    assert after.pid == before.pid
    tried.at_most("memory", after.memory_mib - before.memory_mib, 20, "MiB")
    for one in silent:
        one.close()


@pytest.mark.promise(5)
def test_garbage_of_somebody_who_is_known_does_not_disturb(shared: Home, tried: Tried) -> None:
    """He has the secret, says hello and then sends mutated messages."""
    random_ = random.Random(5)
    good = [codec.encode(messages.Ping(1)), codec.encode(messages.Cancel("a")), codec.encode(messages.GetStatus())]
    good.append(codec.encode(messages.Blob("b", 4096, 0), bytes(4096)))
    address, before = shared.address(), shared.status().memory_mib
    one: Dealer | None = None
    for number in tried.rounds(300, 100_000):
        if one is None or number % 2000 == 1999:
            if one is not None:
                one.close()
            one = known(address)
        try:
            one.send(mutated(random_.choice(good), random_))
            if number % 20 == 0:
                one.wait(0.0)
                one.receive()
        except BridgeError:  # it has hung up
            one.close()
            one = None
    if one is not None:
        one.close()
    served(shared, tried)
    tried.at_most("memory", shared.status().memory_mib - before, 20, "MiB")


def known(address: link.Address) -> Dealer:
    """A connection that has said hello."""
    one = Dealer.connect("127.0.0.1", address.port, b"client", proof.client_password(address.secret), 10)
    one.send(codec.encode(messages.Hello(messages.PROTOCOL, "g" + secrets.token_hex(8), "fuzz", "n")))
    until(lambda: one.wait(0.1), "its welcome")
    return one


def mutated(frames: list[bytes], random_: random.Random) -> list[bytes]:
    """One of its frames cut, doubled, left out, or with some other bytes."""
    out = [bytearray(frame) for frame in frames]
    at = random_.randrange(len(out))
    kind = random_.randrange(4)
    if kind == 0:
        del out[at][random_.randint(0, len(out[at])) :]
    elif kind == 1:
        out.insert(at, out[at])
    elif kind == 2:
        del out[at]
    else:
        for _ in range(random_.randint(1, 4)):
            out[at][random_.randrange(len(out[at]))] = random_.randrange(256)
    return [bytes(frame) for frame in out] or [b""]


def served(shared: Home, tried: Tried) -> None:
    """The next honest client gets its picture."""
    began = time.monotonic()
    watched = shared.session()
    job = watched.session.submit(request())
    watched.wait(job, events.Accepted)
    tried.at_most("next client served", time.monotonic() - began, 1.0, "s")
    assert isinstance(watched.end(job), events.Done)


@pytest.mark.promise(6)
@pytest.mark.parametrize("kind", ["wrong secret", "no secret", "null mechanism", "wrong name", "worker's name"])
def test_who_cannot_prove_himself_is_refused(shared: Home, kind: str) -> None:
    address = shared.address()
    if kind == "null mechanism":
        header = codec.encode(messages.Hello(1, "x", "x", "x"))[1]
        greeting = (b"\xff" + b"\0" * 8 + b"\x7f\x03\x00NULL").ljust(64, b"\0")
        with socket.create_connection(("127.0.0.1", address.port), timeout=10) as one, contextlib.suppress(OSError):
            one.sendall(greeting + b"\x04\x06\x05READY" + b"\x01\x04RPB1\x00" + bytes([len(header)]) + header)
            heard = b""
            while data := one.recv(4096):  # to the end: it hangs up
                heard += data
            assert len(heard) <= 64
        return
    name = {"wrong name": b"admin", "worker's name": b"worker"}.get(kind, b"client")
    secret = address.secret if name != b"client" else secrets.token_bytes(32)
    password = b"" if kind == "no secret" else proof.client_password(secret)
    with pytest.raises(Refused):
        Dealer.connect("127.0.0.1", address.port, name, password, 10)


@pytest.mark.promise(5)
def test_memory_comes_back_after_many_refused_handshakes(shared: Home) -> None:
    """1600 of them, 400 at a time: without help glibc would keep 10 to 20 MiB, and 480 after 190 000."""
    port, before = shared.address().port, shared.status().memory_mib
    greeting = (b"\xff" + b"\0" * 8 + b"\x7f\x03\x00PLAIN").ljust(64, b"\0")
    wrong = b"\x04\x4e\x05HELLO\x06client\x40" + b"x" * 64
    for _ in range(4):
        with contextlib.ExitStack() as open_now:
            crowd = [open_now.enter_context(socket.create_connection(("127.0.0.1", port), 10)) for _ in range(400)]
            for one in crowd:
                one.sendall(greeting + wrong)
            for one in crowd:
                heard = b""
                while len(heard) <= 64:  # its greeting; then the refusal
                    heard += one.recv(4096) or pytest.fail("it hung up without a refusal")
    until(lambda: shared.status().memory_mib < before + 5, "the memory", patience=20, pause=0.2)
    assert len(shared.session().run(request())) == 1


@contextlib.contextmanager
def asked(count: int) -> Iterator[tuple[Gate, zmq.Socket[bytes]]]:
    """A gate that is asked about so many handshakes, and where its answers arrive."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as asking:
        gate = Gate(context)
        asking.connect(ENDPOINT)
        for number in range(count):
            asking.send_multipart([b"", b"1.0", b"%d" % number, b"x", b"", b"", b"PLAIN", b"client", b"wrong"])
        yield gate, asking
        gate.socket.close(0)


def test_a_rush_of_handshakes_is_answered_in_portions() -> None:
    """So that whoever is connected is served meanwhile."""
    with asked(3 * ANSWERS) as (gate, answers):
        for _ in range(3):
            gate.answer()
            found = []
            while answers.poll(50):
                found.append(answers.recv_multipart()[3])
            assert found == [b"400"] * ANSWERS


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_memory_is_given_back_during_a_rush_and_once_more_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last connections cannot be given back before they have closed."""
    trims: list[int] = []
    monkeypatch.setattr(auth.ctypes, "CDLL", lambda _: SimpleNamespace(malloc_trim=trims.append))
    monkeypatch.setattr(auth, "CALM", 0.05)
    with asked(MANY + FEW) as (gate, answers):
        for _ in range(MANY + FEW):
            while not answers.poll(0):
                gate.answer()
            answers.recv_multipart()
        gate.tidy()
        assert len(trims) == 1
        for _ in range(4):
            time.sleep(0.06)
            gate.tidy()
    assert len(trims) == 2


class Impostor:
    """Listens where the bridge should and lets everybody in; keeps all that it hears."""

    def __init__(self, proof: str) -> None:
        self._context = zmq.Context()
        self._gate = Gate(self._context)
        self._gate.knows = lambda _domain, credentials: bool(self.passwords.append(credentials[1])) or True  # type: ignore[method-assign]
        self.passwords: list[bytes] = []
        self._router = self._gate.router(b"x", 100, 4 << 20)
        self.port = self._gate.port(self._router)
        self.proof = proof
        self.heard: list[list[bytes]] = []

    def step(self) -> None:
        self._gate.answer()
        while self._router.poll(10):
            route, *frames = self._router.recv_multipart()
            self.heard.append(frames)
            answer = messages.Welcome(1, self.proof, "x", "x")
            self._router.send_multipart([route, *codec.encode(answer)])

    def close(self) -> None:
        self._router.close(0)
        self._gate.socket.close(0)
        self._context.term()


def record(home: Home, port: object, **changes: object) -> bytes:
    secret = secrets.token_bytes(32)
    content = {"version": 1, "host": "127.0.0.1", "port": port, "secret": secret.hex(), "pid": 1, "instance": "old"}
    launch.private_folder(home.state)
    launch.write_private(home.state / link.CONNECTION_FILE, json.dumps({**content, **changes}))
    return secret


@pytest.mark.promise(6)
def test_an_impostor_gets_no_pixels_and_the_job_runs_at_the_real_bridge(home: Home) -> None:
    impostor = Impostor("0" * 64)
    secret = record(home, impostor.port)
    watched = home.session()
    job = watched.session.submit(request())

    def done() -> bool:
        impostor.step()
        return bool(watched.of(job, events.Done))

    until(done, "the job's end at the bridge that was started instead")
    assert home.address().port != impostor.port
    assert impostor.passwords == [proof.client_password(secret)]
    assert [json.loads(frames[1])["type"] for frames in impostor.heard] == ["hello"]
    assert secret not in b"".join(b"".join(frames) for frames in impostor.heard)
    impostor.close()


@pytest.mark.promise(6)
@pytest.mark.parametrize("kind", ["silent", "http", "closes", "another router"])
def test_another_program_on_the_recorded_port_is_noticed(home: Home, kind: str) -> None:
    with zmq.Context() as context, socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        router = context.socket(zmq.ROUTER)
        if kind == "another router":
            port = router.bind_to_random_port("tcp://127.0.0.1")
        record(home, port)
        began = time.monotonic()
        if kind in ("http", "closes"):

            def serve() -> None:
                one, _ = listener.accept()
                if kind == "http":
                    one.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                one.close()

            threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(BridgeError):
            link.Link.connect(home.address(), "x", "x")
        assert time.monotonic() - began < link.HELLO_SECONDS + 1
        assert not router.poll(0)
        router.close(0)


@pytest.mark.parametrize(
    "content",
    [
        None, "", "{", "[]", "null", "[" * 4096, '{"host":"127.0.0.1"}', b"\xff\xfe\0", "x" * 10000,
        {"port": "80"}, {"port": 0}, {"port": 70000}, {"host": "example.org"}, {"secret": "abc"}, {"secret": "ab"},
    ],
)  # fmt: skip
def test_a_torn_connection_file_means_no_bridge(home: Home, content: object) -> None:
    path = home.state / link.CONNECTION_FILE
    if isinstance(content, dict):
        record(home, **{"port": 1234, **content})
    elif content is not None:
        launch.private_folder(home.state)
        launch.write_private(path, content if isinstance(content, str) else content.decode("latin-1"))
    with pytest.raises(ConnectionLost):
        link.read_connection_file(home.state)


def test_a_connection_file_that_others_can_read_is_not_believed(home: Home) -> None:
    record(home, 1234)
    assert link.read_connection_file(home.state).port == 1234
    (home.state / link.CONNECTION_FILE).chmod(0o644)
    with pytest.raises(ConnectionLost):
        link.read_connection_file(home.state)


def test_files_are_private(shared: Home) -> None:
    assert stat.S_IMODE(shared.state.stat().st_mode) == 0o700
    for path in shared.state.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.promise(11)
def test_logs_hold_no_secret_no_prompt_and_no_tag(shared: Home) -> None:
    watched = shared.session()
    watched.end(watched.session.submit(request(options={"prompt": "a very private unicorn"}, tag="private tag")))
    watched.run(request(FAST, tag="private tag"))
    ear = Ear(shared.link("failing"))
    ear.link.dealer.send([b"RPB1", b'{"type":"ping","private":"unicorn"'])
    ear.wait(lambda: any(isinstance(m, messages.Error) for _, m, _ in ear.heard), "an error")
    address = shared.address()
    password = proof.client_password(address.secret).decode()
    log = shared.log()
    assert "worker" in log
    for word in ("unicorn", "private tag", address.secret.hex(), password):
        assert word not in log
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) in (shared.status().pid, shared.status().worker_pid):
            with open(f"/proc/{entry.name}/cmdline", "rb") as file:
                line = file.read()
            with open(f"/proc/{entry.name}/environ", "rb") as file:
                line += file.read()
            assert address.secret.hex().encode() not in line
            assert b"password" not in line.lower()


@pytest.mark.promise(7)
@pytest.mark.slow
def test_a_client_that_never_reads_costs_little_and_disturbs_nobody(shared: Home, tried: Tried) -> None:
    side = 512  # a preview is a MiB
    selection = bytearray(side * side)
    for y in range(200, 260):
        selection[y * side + 200 : y * side + 260] = b"\xff" * 60
    big = JobRequest(side, side, b"\x80" * (side * side * 4), bytes(selection), model=SLOW, seed=1, variants=4)
    deaf = shared.link("deaf")
    before = shared.status().memory_mib
    submit(deaf, "deaf1", big)
    highest = before
    deadline = time.monotonic() + PATIENCE
    other = shared.session()
    mine = None
    while time.monotonic() < deadline:
        deaf.send(messages.Credit("deaf1", (0, 1, 2, 3)))
        deaf.send(messages.Pull("deaf1", 0, 0, 1000))
        deaf.send(messages.Ping(1))
        deaf.flush()
        status = shared.status()
        highest = max(highest, status.memory_mib)
        if status.running != "deaf1" and mine is None and status.calls_total:
            mine = other.session.submit(request())
        if mine is not None and other.of(mine, events.Done):
            break
        time.sleep(0.02)
    assert mine is not None
    assert isinstance(other.end(mine), events.Done)
    tried.at_most("memory", highest - before, 32, "MiB")
    deaf.send(messages.Release("deaf1"))
    deaf.flush()
