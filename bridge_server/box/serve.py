"""The box: a CURVE socket for known computers, behind it workers that serve one of them each.

One loop, one thread, as the bridge.  The box passes messages on whole and looks at nothing but their type: it knows
no picture, no prompt and no path, and notes none.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import zmq

from bridge_server import work
from bridge_server.auth import Gate
from bridge_server.box import keys, wire
from bridge_server.box.places import Place, Places, Session
from bridge_server.client.codec import MAX_PAYLOAD, Buffer, decode, encode, subject
from bridge_server.client.errors import BridgeError, WireError
from bridge_server.desk import version

log = logging.getLogger("box")

OTHER_VERSION = (
    "The box runs RePaint {there} and this computer {here}: install the same version on both, then connect again."
)
TAKEN = "The other machine is busy with other computers: wait, or disconnect one of those."
FORGOTTEN = "The other machine was started again, or waited too long: its unfinished part is run again."
IN_USE = "RePaint cannot listen on {listen} ({why}): choose another port or an address of this computer."
KNOCK = 1.0  # seconds between two strangers who are shown
UNWANTED = ("preview", "chunk", "progress")  # after a cancel
_CLIENT, _WORKER = b"box", b"worker"


class Server:
    """``say`` shows a line to who sits at the box."""

    def __init__(self, host: str, port: int, count: int, warm: str, state: Path, say: Callable[[str], None]) -> None:
        """Raises BridgeError if it cannot listen there."""
        self._say = say
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._gate = Gate(self._context)
        self._gate.admits = self._admit
        self._far = self._listen(host, port)
        self._near = self._gate.router(_WORKER, send_high_water=0, max_frame=MAX_PAYLOAD)
        password = secrets.token_hex(32)
        self._gate.passwords[_WORKER] = (_WORKER, password.encode())
        self._wake, waker = socket.socketpair()
        self._wake.setblocking(False)
        waker.setblocking(False)
        self._waker = waker
        places = [Place(number, count, state / str(number), warm, waker) for number in range(count)]
        self._places = Places(places, f"tcp://127.0.0.1:{self._gate.port(self._near)}", password)
        self._knocked: set[bytes] = set()
        self._knocked_at = -KNOCK
        self._troubles: set[str] = set()  # what was shown
        self._stopping = False

    @property
    def port(self) -> int:
        return self._gate.port(self._far)

    def _listen(self, host: str, port: int) -> zmq.Socket[bytes]:
        far = self._context.socket(zmq.ROUTER)
        pair = keys.own()
        options: dict[int, int | bytes] = {
            zmq.CURVE_SERVER: 1,
            zmq.CURVE_SECRETKEY: pair.secret,
            zmq.ZAP_DOMAIN: _CLIENT,
            zmq.IPV6: 1,
            zmq.LINGER: 500,
            zmq.ROUTER_MANDATORY: 1,
            zmq.MAXMSGSIZE: wire.LARGEST_FRAME,
            zmq.HANDSHAKE_IVL: int(wire.DIAL * 1000),
            zmq.HEARTBEAT_IVL: 5000,  # libzmq lets go of connections of which nothing is left here
            zmq.HEARTBEAT_TIMEOUT: 30_000,
        }
        for option, chosen in options.items():
            far.setsockopt(option, chosen)
        try:
            far.bind(f"tcp://{host}:{port}")
        except zmq.ZMQError as error:
            sentence = IN_USE.format(listen=f"{host}:{port}", why=error.strerror)
            raise BridgeError(sentence, repr(error), "in_use") from None
        return far

    def _admit(self, key: bytes, address: str) -> bool:
        """Whether this computer may use the box; who may not is shown once, to be compared and allowed."""
        allowed = self._allowed()
        if allowed is None or key in allowed:
            return allowed is not None
        now = time.monotonic()
        if key not in self._knocked and now - self._knocked_at > KNOCK:
            self._knocked.add(key)
            self._knocked_at = now
            with self._told():
                keys.note_asked(key)
            words = keys.fingerprint(key)
            address = address.removeprefix("::ffff:")
            self._say(f"A computer at {address} asks to use this box. Its fingerprint: {words}")
            self._say(f"If “repaint-bridge connect” shows the same there: repaint-bridge allow {words}")
        return False

    def _allowed(self) -> set[bytes] | None:
        """None while that cannot be read: nobody is let in then, and who is here already stays."""
        with self._told():
            return keys.allowed()
        return None

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What fails here is shown once, and the box goes on."""
        try:
            yield
        except (BridgeError, OSError) as error:
            sentence = error.sentence if isinstance(error, BridgeError) else str(error)
            if sentence not in self._troubles:
                self._troubles = {*sorted(self._troubles)[-15:], sentence}
                log.error("%s: %r", sentence, error)
                self._say(sentence)

    # --------------------------------------------------------------------------------------------------------- life

    def serve(self) -> None:
        """Work until the end; no worker and nothing of a picture is left afterwards."""
        previous = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(self, "_stopping", True))
        try:
            self._loop()
        finally:
            signal.set_wakeup_fd(previous)
            for place in self._places.all:
                place.end()
            self._context.destroy(500)

    def _loop(self) -> None:
        poller = zmq.Poller()
        for entry in (self._gate.socket, self._far, self._near, self._wake):
            poller.register(entry, zmq.POLLIN)
        tick = 0.0
        while not self._stopping:
            now = time.monotonic()
            if now >= tick:
                tick = now + wire.BEAT
                self._tick(now)
            ready = dict(poller.poll(max(0, int((tick - now) * 1000)) + 1))
            if self._wake.fileno() in ready:
                self._wake.recv(4096)
                self._look_for_dead()
            if self._gate.socket in ready:
                self._gate.answer()
            if self._near in ready:
                self._on_near()
            if self._far in ready:
                self._on_far()

    def _tick(self, now: float) -> None:
        self._look_for_dead()
        self._gate.tidy()
        allowed = self._allowed()
        for place in self._places.all:
            session = place.session
            if session is None:
                continue
            if allowed is not None and keys.of_text(session.user) not in allowed:
                self._end(place, "is allowed no more")
            elif now - session.heard > wire.SILENT + wire.GRACE:
                self._end(place, "is silent")
            elif now - session.heard > wire.SILENT:
                session.route = b""
            else:
                self._tell(session, wire.Heard(session.channel.heard))
        with self._told():
            self._places.start()
            self._knocked &= set(keys.asked())

    def _look_for_dead(self) -> None:
        if any(place.ended for place in self._places.all):
            self._on_near()  # last words
        for place in self._places.all:
            if place.ended:
                if place.session is not None:
                    self._tell(place.session, wire.Gone())
                place.bury()

    def _end(self, place: Place, why: str) -> None:
        assert place.session is not None
        words = keys.fingerprint(keys.of_text(place.session.user))
        log.info("the session of %s with worker %d is over: it %s", words, place.number, why)
        place.end()

    # ------------------------------------------------------------------------------------------------- from a worker

    def _on_near(self) -> None:
        for _ in range(32):
            try:
                route, *frames = self._near.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            name = subject(frames)[0]
            if name == "online":
                self._online(route, frames)
                continue
            place = next((place for place in self._places.all if place.route == route), None)
            if place is None:
                continue
            if place.session is not None:
                place.session.channel.put(frames)
                self._push(place.session)
            elif name != "beat":
                place.greeting.append(frames)
            if name == "broken":
                self._say("The engine cannot start here: see the logs, or run “repaint-bridge doctor”.")

    def _online(self, route: bytes, frames: list[bytes]) -> None:
        message, _ = decode(frames, work.WORK)
        for place in self._places.all:
            if place.ticket == message.ticket:
                place.route = route

    # ------------------------------------------------------------------------------------------------- from a client

    def _on_far(self) -> None:
        for _ in range(16):
            try:
                first, *rest = self._far.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            route, user = first.bytes, keys.text(bytes.fromhex(str(rest[0].get("User-Id"))))
            place = self._places.at(route)
            try:
                message, payload = decode([frame.bytes for frame in rest], wire.FAR)
                if isinstance(message, wire.Hello):
                    self._hello(route, user, message)
                elif place is not None and place.session is not None:
                    place.session.heard = time.monotonic()
                    handler = self._handlers.get(type(message))
                    if handler is None:
                        raise WireError("", "not for the box")
                    handler(self, place, place.session, message, payload)
            except WireError as error:
                log.error("an unlawful message: %s", error.details)
                if place is not None:
                    self._end(place, "breaks the protocol")

    def _hello(self, route: bytes, user: str, message: wire.Hello) -> None:
        if (message.protocol, message.version) != (wire.PROTOCOL, version()):
            sentence = OTHER_VERSION.format(there=version(), here=message.version)
            self._answer(route, wire.Refused("version", sentence))
            return
        count = len(self._places.all)
        if message.slot is None:
            self._answer(route, wire.Welcome(count))
            return
        place = self._places.session(message.session, user)
        if place is not None and place.session is not None:
            session = place.session
            session.channel.resume(message.heard)
            session.route, session.heard = route, time.monotonic()
        elif not message.fresh:
            self._answer(route, wire.Refused("forgotten", FORGOTTEN))
            return
        else:
            place = self._place_for(user, message.bridge, message.slot)
            if place is None:
                told = "" if self._places.of(user, message.bridge) else TAKEN
                self._answer(route, wire.Refused("taken", told))
                return
            session = Session(message.session, user, message.bridge, message.slot, route)
            place.begin(session)
            words = keys.fingerprint(keys.of_text(user))
            log.info("worker %d serves %s", place.number, words)
        self._tell(session, wire.Welcome(count, session.channel.heard))
        self._push(session)

    def _place_for(self, user: str, bridge: str, slot: int) -> Place | None:
        """What serves an earlier session of this slot, one that is free, or that of a bridge with the same key which is
        silent, perhaps because this one has come after it."""
        earlier = self._places.of(user, bridge).get(slot)
        if earlier is not None:
            self._end(earlier, "has begun anew")
        place = self._places.free()
        if place is None:
            place = self._places.silent(user, bridge, time.monotonic() - wire.SILENT)
            if place is not None:
                self._end(place, "is silent, and another one with its key asks")
        return place

    def _piece(self, place: Place, session: Session, message: wire.Piece, payload: Buffer) -> None:
        frames = session.channel.take(message, payload)
        if frames is not None:
            name, job = subject(frames)
            if name == "cancel":
                session.channel.drop(lambda each: subject(each) in [(kind, job) for kind in UNWANTED])
            if place.route:
                with contextlib.suppress(zmq.ZMQError):  # it has just died, which shows by itself
                    self._near.send_multipart([place.route, *frames], zmq.NOBLOCK)
        self._tell(session, wire.Heard(session.channel.heard))
        self._push(session)

    def _heard(self, _place: Place, session: Session, message: wire.Heard, _: Any) -> None:
        session.channel.acknowledge(message.heard)
        self._push(session)

    def _bye(self, place: Place, _session: Session, _message: wire.Bye, _: Any) -> None:
        self._end(place, "has said good-bye")

    _handlers: ClassVar[dict[type, Callable[..., None]]] = {wire.Piece: _piece, wire.Heard: _heard, wire.Bye: _bye}

    def _push(self, session: Session) -> None:
        if session.route:
            for piece, payload in session.channel.due():
                self._tell(session, piece, payload)

    def _tell(self, session: Session, message: Any, payload: Buffer | None = None) -> None:
        if session.route and not self._answer(session.route, message, payload):
            session.route = b""

    def _answer(self, route: bytes, message: Any, payload: Buffer | None = None) -> bool:
        try:
            self._far.send_multipart([route, *encode(message, payload)], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            log.info("a computer does not listen: %s", error)
            return False
        return True
