"""A connection to the bridge on which both sides have proved themselves, and how to get one."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Tuple

from bridge_server.client import codec, launch, messages, proof
from bridge_server.client.errors import BridgeError, CannotStart, ConnectionLost, Refused, WireError
from bridge_server.client.locks import FileLock
from bridge_server.client.zmtp import STRANGER, Dealer

CONNECTION_FILE = "connection.json"
START_LOCK = "start.lock"  # held while a client starts the bridge
BRIDGE_LOCK = "bridge.lock"  # held by the bridge as long as it lives
IN_USE, PROTOCOL, NO_HELLO = "in_use", "protocol", "no_hello"  # codes of the bridge's `error`; see docs/protocol.md
FINAL = (IN_USE, PROTOCOL)  # there is a bridge, and another try or another bridge would not help
HELLO_SECONDS = 2.0  # the whole of connecting, handshake and welcome
START_SECONDS = 45.0
NOT_STARTED = "The RePaint engine could not be started: open RePaint and click Repair, or restart the computer."

children: List[subprocess.Popen[bytes]] = []  # bridges that this process has started: kept to be reaped


@dataclass(frozen=True)
class Address:
    """The content of the connection file; ``secret`` never leaves the process."""

    host: str
    port: int
    secret: bytes
    instance: str
    pid: int


def read_connection_file(state: Path) -> Address:
    """The recorded address.  Raises ConnectionLost if the file is missing, torn, or not this user's own."""
    path = state / CONNECTION_FILE
    try:
        if not path.is_file():  # also a pipe, which would never be opened
            raise FileNotFoundError(str(path))
        with open(path, encoding="utf-8") as file:
            if os.name == "posix":
                status = os.fstat(file.fileno())
                if status.st_uid != os.getuid() or status.st_mode & 0o077:
                    raise ConnectionLost("The RePaint engine is not running.", f"{path} is not private to this user")
            content = json.loads(file.read(4096))
        host, port, secret = content["host"], content["port"], bytes.fromhex(content["secret"])
        if host != "127.0.0.1" or type(port) is not int or not 0 < port < 65536 or len(secret) != 32:
            raise ValueError("values out of range")
        return Address(host, port, secret, str(content["instance"]), int(content["pid"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConnectionLost("The RePaint engine is not running.", f"{path}: {type(error).__name__}") from None


class Link:
    """Typed messages over one Dealer.  Raises as Dealer does; WireError for an unlawful message of the bridge."""

    def __init__(self, dealer: Dealer, welcome: messages.Welcome, early: List[List[bytes]]) -> None:
        self.dealer = dealer
        self._early = early  # what came together with the welcome
        self.welcome = welcome

    @classmethod
    def connect(cls, address: Address, client: str, app: str, timeout: float = HELLO_SECONDS) -> Link:
        """Handshake, hello, welcome; Refused unless the bridge proves that it knows the secret."""
        deadline = time.monotonic() + timeout
        password = proof.client_password(address.secret)
        dealer = Dealer.connect(address.host, address.port, b"client", password, timeout)
        try:
            nonce = secrets.token_hex(32)
            dealer.send(codec.encode(messages.Hello(messages.PROTOCOL, client, app[:100], nonce)))
            while True:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise ConnectionLost("The RePaint engine does not answer.", "no welcome in time")
                if not dealer.wait(left):
                    continue
                arrived = dealer.receive()
                if arrived:
                    answer, _ = codec.decode(arrived[0], messages.WIRE)
                    if isinstance(answer, messages.Error):
                        raise Refused(answer.sentence, answer.details, answer.code)
                    if not isinstance(answer, messages.Welcome):
                        raise WireError(STRANGER, "no welcome")
                    if not secrets.compare_digest(answer.proof, proof.bridge_proof(address.secret, nonce)):
                        raise Refused(STRANGER, "wrong proof")
                    return cls(dealer, answer, arrived[1:])
        except BaseException:
            dealer.close()
            raise

    def fileno(self) -> int:
        return self.dealer.fileno()

    @property
    def unsent(self) -> int:
        return self.dealer.unsent

    def send(self, message: Any, payload: codec.Buffer | None = None) -> None:
        """Queue a message; ``flush`` (or ``wait``) sends it."""
        self.dealer.send(codec.encode(message, payload))

    def flush(self) -> bool:
        return self.dealer.flush()

    def wait(self, timeout: float) -> bool:
        return self.dealer.wait(0.0 if self._early else timeout) or bool(self._early)

    def receive(self) -> List[Tuple[Any, codec.Buffer | None]]:
        """The messages that have arrived, never waiting."""
        early, self._early = self._early, []
        return [codec.decode(frames, messages.WIRE) for frames in early + self.dealer.receive()]

    def ask(self, message: Any, answer: type[Any], timeout: float = 5.0) -> Any:
        """Send, wait for the first message of type ``answer`` and return it; others are dropped.  For scripts."""
        self.send(message)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.wait(deadline - time.monotonic()):
                for found, _ in self.receive():
                    if isinstance(found, answer):
                        return found
        raise ConnectionLost("The RePaint engine does not answer.", f"no {answer.TYPE}")

    def close(self) -> None:
        self.dealer.close()


def find(client: str, app: str) -> Link:
    """Connect to this user's bridge if one runs.  Raises NotInstalled or what connecting raised."""
    return Link.connect(read_connection_file(launch.read_launch_file().state), client, app)


def find_or_start(
    client: str, app: str, give_up: Callable[[], bool] = lambda: False, timeout: float = START_SECONDS
) -> Link:
    """Connect to this user's bridge, starting it if there is none: exactly one, however many ask at once.

    Starters queue at ``start.lock``; the first spawns the bridge and keeps the lock until it has said a valid
    hello, the others then find it.  Whoever holds ``bridge.lock`` is alive, however slow, and gets no second one beside
    it.  Raises NotInstalled, CannotStart, or what connecting raised.  May take ``timeout`` seconds; ``give_up`` is
    asked all the while.
    """
    recipe = launch.read_launch_file()
    try:
        return Link.connect(read_connection_file(recipe.state), client, app)
    except BridgeError as error:
        if error.code in FINAL:
            raise
    try:
        return _start(recipe, client, app, give_up, timeout)
    except OSError as error:
        raise CannotStart(launch.NOT_WRITABLE.format(place=recipe.state), repr(error)) from None


def _start(recipe: launch.Launch, client: str, app: str, give_up: Callable[[], bool], timeout: float) -> Link:
    launch.private_folder(recipe.state)
    lock = FileLock(recipe.state / START_LOCK)
    if not lock.acquire(timeout, give_up):
        raise CannotStart("The RePaint engine was started but does not answer yet: try again in a minute.")
    try:
        process: subprocess.Popen[bytes] | None = None
        stale = ""  # the instance of a connection file that outlived its bridge
        deadline = time.monotonic() + timeout
        reason = "it did not say hello"
        while time.monotonic() < deadline and not give_up():
            if _lives(recipe.state):
                try:
                    address = read_connection_file(recipe.state)
                    if address.instance != stale:
                        return Link.connect(address, client, app)
                except BridgeError as error:
                    if error.code in FINAL:
                        raise
                    reason = error.details
            elif process is None:
                with contextlib.suppress(BridgeError):
                    stale = read_connection_file(recipe.state).instance
                process = _spawn(recipe)
            elif process.poll() is not None:
                reason = f"it ended with status {process.returncode}; see bridge.log in {recipe.state / 'logs'}"
                if process.returncode:  # else it was told to stop, or another one was faster
                    launch.note_trouble(recipe.interpreter, f"exit status {process.returncode}")
                break
            time.sleep(0.02)
        raise CannotStart(NOT_STARTED, reason)
    finally:
        lock.release()


def _lives(state: Path) -> bool:
    """Whether a bridge of this state folder holds its lock."""
    lock = FileLock(state / BRIDGE_LOCK)
    if lock.acquire(0.0):
        lock.release()
        return False
    return True


def _spawn(recipe: launch.Launch) -> subprocess.Popen[bytes]:
    """Start the bridge so that it outlives the editor, without what the editor's own Python put in the environment."""
    options: dict[str, Any] = {"start_new_session": True}
    if os.name == "nt":
        # CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP
        options = {"creationflags": 0x08000000 | 0x00000200}
    children[:] = [child for child in children if child.poll() is None]
    try:
        child = subprocess.Popen(
            [recipe.interpreter, *recipe.arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=str(recipe.state),
            env=launch.clean_environ(),
            **options,
        )
    except OSError as error:
        raise CannotStart(
            "The RePaint engine's own Python is gone: open RePaint and click Repair.", repr(error)
        ) from None
    children.append(child)
    return child
