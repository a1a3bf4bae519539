"""The standard-library DEALER against real libzmq, and against everything that is not."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge_server.auth import Gate
from bridge_server.client.errors import BridgeError, ConnectionLost, Refused, WireError
from bridge_server.client.zmtp import Dealer, Protocol
from tests.bridge.home import until

NAME, PASSWORD = b"client", b"correct horse"
MIB = 1024 * 1024


class CountingGate(Gate):
    """Counts whom it does not know."""

    refused = 0

    def knows(self, domain: bytes, credentials: list[bytes]) -> bool:
        known = super().knows(domain, credentials)
        self.refused += not known
        return known


class Echo(threading.Thread):
    """A libzmq ROUTER behind the bridge's own gate that sends every message back to its sender."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._context = zmq.Context()
        self._gate = CountingGate(self._context)
        self._gate.passwords[b"test"] = (NAME, PASSWORD)
        self._router = self._gate.router(b"test", send_high_water=100, max_frame=4 * MIB)
        self.port = self._gate.port(self._router)
        self.received: list[list[bytes]] = []
        self._ends = False

    def run(self) -> None:
        poller = zmq.Poller()
        for each in (self._gate.socket, self._router):
            poller.register(each, zmq.POLLIN)
        while not self._ends:
            ready = dict(poller.poll(20))
            if self._gate.socket in ready:
                self._gate.answer()
            if self._router in ready:
                route, *frames = self._router.recv_multipart()
                self.received.append(frames)
                self._router.send_multipart([route, *frames])
        self._router.close(0)
        self._gate.socket.close(0)
        self._context.term()

    @property
    def refused(self) -> int:
        return self._gate.refused

    def close(self) -> None:
        self._ends = True
        self.join()


@pytest.fixture
def echo() -> Iterator[Echo]:
    one = Echo()
    one.start()
    yield one
    one.close()


@contextmanager
def dealer(port: int, password: bytes = PASSWORD, timeout: float = 10.0) -> Iterator[Dealer]:
    one = Dealer.connect("127.0.0.1", port, NAME, password, timeout)
    try:
        yield one
    finally:
        one.close()


def collect(one: Dealer, count: int) -> list[list[bytes]]:
    found: list[list[bytes]] = []
    deadline = time.monotonic() + 30
    while len(found) < count and time.monotonic() < deadline:
        if one.wait(1.0):
            found += one.receive()
    return found


MESSAGES = [
    [b"a"], [b""], [b"", b"", b""], [b"x" * 255], [b"x" * 256], [b"RPB1", b"{}", bytes(range(256)) * 4096],
    [random.Random(1).randbytes(MIB)] * 3, [b"last"],
]  # fmt: skip


def test_messages_of_all_sizes_come_back(echo: Echo) -> None:
    with dealer(echo.port) as one:
        for frames in MESSAGES:
            one.send(frames)
        assert collect(one, len(MESSAGES)) == MESSAGES


def test_three_mib_a_hundred_times_through_a_slow_reader(echo: Echo) -> None:
    """More than all buffers hold together, while nothing is read for a while: nothing is lost or blocks."""
    with dealer(echo.port) as one:
        parts = [random.Random(k).randbytes(MIB) for k in range(3)]
        for _ in range(20):
            one.send([b"RPB1", *parts])
        assert one.unsent > 40 * MIB
        one.flush()
        time.sleep(0.2)
        assert collect(one, 20) == [[b"RPB1", *parts]] * 20
        assert one.unsent == 0


class Splitter(threading.Thread):
    """A proxy that hands on the stream in pieces of random size and keeps what the server said."""

    def __init__(self, target: int, seed: int, largest: int) -> None:
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._target, self._chance, self._largest = target, random.Random(seed), largest
        self.said = bytearray()

    def run(self) -> None:
        near, _ = self._listener.accept()
        far = socket.create_connection(("127.0.0.1", self._target))
        for each in (near, far):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=self._pump, args=(far, near, self.said), daemon=True)
        back.start()
        self._pump(near, far, bytearray())
        back.join()
        self._listener.close()

    def _pump(self, source: socket.socket, sink: socket.socket, record: bytearray) -> None:
        while True:
            try:
                data = source.recv(self._chance.randint(1, self._largest))
                record += data
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(data)
            except OSError:
                return


@pytest.mark.parametrize("largest", [1, 7, 1000, 100000])
def test_split_reads_through_a_real_proxy(echo: Echo, largest: int) -> None:
    messages = MESSAGES if largest > 100 else MESSAGES[:5]
    splitter = Splitter(echo.port, largest, largest)
    splitter.start()
    with dealer(splitter.port) as one:
        for frames in messages:
            one.send(frames)
        assert collect(one, len(messages)) == messages


def test_a_recorded_stream_of_libzmq_cut_anywhere(echo: Echo) -> None:
    splitter = Splitter(echo.port, 1, 65536)
    splitter.start()
    short = MESSAGES[:5]
    with dealer(splitter.port) as one:
        for frames in short:
            one.send(frames)
        assert collect(one, len(short)) == short
    stream = bytes(splitter.said)
    for cut in range(1, len(stream)):
        protocol = Protocol(NAME, PASSWORD)
        assert protocol.feed(stream[:cut]) + protocol.feed(stream[cut:]) == short
    protocol = Protocol(NAME, PASSWORD)
    assert [found for byte in stream for found in protocol.feed(bytes([byte]))] == short


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 64))
def test_garbage_after_a_good_beginning_is_a_typed_error_or_waits(noise: bytes, kept: int) -> None:
    greeting = (b"\xff" + b"\0" * 8 + b"\x7f\x03\x01PLAIN" + b"\0" * 15 + b"\x01").ljust(64, b"\0")
    protocol = Protocol(NAME, PASSWORD)
    try:
        assert protocol.feed(greeting[:kept] + noise) == []
    except (WireError, Refused):
        return
    assert not protocol.ready


def test_a_wrong_password_is_refused_before_anything_is_delivered(echo: Echo) -> None:
    with pytest.raises(Refused), dealer(echo.port, b"wrong"):
        pass
    until(lambda: echo.refused == 1, "the echo has counted it")
    assert echo.received == []


@pytest.mark.parametrize("mechanism", ["NULL", "CURVE"])
def test_another_mechanism_is_refused(mechanism: str) -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        if mechanism == "CURVE":
            _, router.curve_secretkey = zmq.curve_keypair()
            router.curve_server = True
        port = router.bind_to_random_port("tcp://127.0.0.1")
        with pytest.raises((WireError, ConnectionLost)), dealer(port):  # libzmq hangs up as soon as it sees ours
            pass


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"\xff",
        b"\0" * 64,
        b"\xff" * 64,
        b"\xff" + b"\0" * 8 + b"\x7f\x01" + b"\0" * 53,
        b"\xff" + b"\0" * 8 + b"\x7f\x03\0PLAIN".ljust(55, b"\0") + b"\x02" + b"\xff" * 8,
        b"\xff" + b"\0" * 8 + b"\x7f\x03\0PLAIN".ljust(55, b"\0") + b"\x00\x01x",
        b"\xff" + b"\0" * 8 + b"\x7f\x03\0PLAIN".ljust(55, b"\0") + b"\x04\x06\x05READY",
        b"\xff" + b"\0" * 8 + b"\x7f\x03\0PLAIN".ljust(55, b"\0") + b"\x04\x00",
        b"",
    ],
)
@pytest.mark.parametrize("closes", [True, False])
def test_other_programs_are_noticed(answer: bytes, closes: bool) -> None:
    """Whatever listens there and says: a typed error within the time that was given, nothing sent but a password."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        kept: list[socket.socket] = []

        def serve() -> None:
            found, _ = listener.accept()
            kept.append(found)
            with suppress(OSError):  # the client may have given up and gone
                found.sendall(answer)
                if closes:
                    found.shutdown(socket.SHUT_WR)

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        began = time.monotonic()
        with pytest.raises(BridgeError), dealer(listener.getsockname()[1], timeout=0.5):
            pass
        assert time.monotonic() - began < 5
        server.join(10)
        kept[0].close()


def test_limits_are_checked_before_memory_is_taken() -> None:
    """A frame that announces more than the limit fails at its header."""
    stream = _handshake()
    protocol = Protocol(NAME, PASSWORD, max_frame=1000, max_frames=3)
    protocol.feed(stream)
    assert protocol.ready
    with pytest.raises(WireError):
        protocol.feed(b"\x02" + (1001).to_bytes(8, "big"))
    protocol = Protocol(NAME, PASSWORD, max_frame=1000, max_frames=3)
    protocol.feed(stream)
    assert protocol.feed(b"\x01\x01a\x01\x01b\x00\x01c") == [[b"a", b"b", b"c"]]
    with pytest.raises(WireError):
        protocol.feed(b"\x01\x01a\x01\x01b\x01\x01c\x00\x01d")


def test_a_ping_is_answered_with_its_context() -> None:
    protocol = Protocol(NAME, PASSWORD)
    protocol.feed(_handshake())
    protocol.output.clear()
    assert protocol.feed(b"\x04\x0a\x04PING\x00\x0aabc") == []
    assert b"".join(protocol.output) == b"\x04\x08\x04PONGabc"


def test_libzmq_may_go_away_at_any_time(echo: Echo) -> None:
    with dealer(echo.port) as one:
        one.send([b"x"])
        assert collect(one, 1) == [[b"x"]]
        echo.close()
        with pytest.raises(ConnectionLost):
            until(lambda: one.wait(0.1) and one.receive(), "never", patience=10)


def _handshake() -> bytes:
    greeting = (b"\xff" + b"\0" * 8 + b"\x7f\x03\x01PLAIN" + b"\0" * 15 + b"\x01").ljust(64, b"\0")
    return greeting + b"\x04\x08\x07WELCOME" + b"\x04\x06\x05READY"
