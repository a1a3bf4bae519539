"""One worker of the box as one of the bridge's: a connection to each, and what to do when the far one breaks."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import zmq

from bridge_server import work
from bridge_server.box import keys, wire
from bridge_server.box.call import SILENT, Call
from bridge_server.box.channel import Channel
from bridge_server.client import messages
from bridge_server.client.codec import MAX_PAYLOAD, Buffer, decode, encode, subject
from bridge_server.client.errors import WireError
from bridge_server.pool.backend import Joining

log = logging.getLogger("relay.lane")

SOON, LATER = 0.5, 5.0  # seconds until the next call, within a session and without one
WAITS = "The other machine does not answer: the run waits for it for half a minute, then it starts over."
GOES_ON = "The other machine answers again: the run goes on."
CRASHED = "An engine on the other machine stopped unexpectedly; its part is run again."
ENGINE_BROKEN = "The engine on the box at {place} cannot start: look at the box, or disconnect it."
NONSENSE = "The box at {place} and this computer do not understand each other: install the same RePaint on both."


class Lane:
    """A session lasts from a worker's coming until it is gone, over several connections if they break.

    ``place``: the bridge's random name for the box, and which of its workers this is; ``say_once`` filters what other
    lanes of the same box have said already.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        box: keys.Box,
        own: keys.Pair,
        place: tuple[str, int],
        joining: Joining,
        say_once: Callable[[str], str],
    ) -> None:
        self._context, self._box, self._own = context, box, own
        self._bridge, self._slot = place
        self._ticket, self._say_once = joining.ticket, say_once
        self.near = context.socket(zmq.DEALER)
        self.near.plain_username, self.near.plain_password = b"worker", joining.password.encode()
        self.near.sndhwm, self.near.linger, self.near.maxmsgsize = 8, 500, MAX_PAYLOAD
        self.near.sndtimeo = 20_000  # a bridge that takes nothing for so long ends this process
        self.near.connect(joining.address)
        self.call: Call | None = None
        self.workers = 1  # of the box, as far as is known
        self._again = 0.0  # when to call
        self._new_session()

    def _new_session(self) -> None:
        self._session, self._channel = secrets.token_hex(16), Channel()
        self._online = False  # the bridge knows of a worker here
        self._open = False  # the box has said welcome on this connection
        self._lost = 0.0  # since when the box has been silent within a session
        self._heard = self._said = self._beaten = 0.0
        self._job = ""
        self._beat = work.Beat(0.0, True, 0)

    def wanted(self) -> list[tuple[zmq.Socket[bytes], zmq.PollEvent]]:
        """The sockets to wait for, and for what: nothing is taken that cannot be passed on."""
        found = [(self.near, zmq.POLLIN)] if self._channel.backlog < wire.WINDOW else []
        if self.call is not None:
            found.append((self.call.monitor, zmq.POLLIN))
            found.append((self.call.far, zmq.POLLIN) if self._bridge_takes() else (self.near, zmq.POLLOUT))
        return found

    # ------------------------------------------------------------------------------------------------------- time

    def tick(self) -> None:
        """Call, say that this side lives, and notice that the other does not."""
        now = time.monotonic()
        if self.call is None:
            if now >= self._again:
                self._dial(now)
            elif self._lost and now - self._lost > wire.GRACE:
                self._over(SILENT.format(place=self._box.place))
        else:
            failed = self.call.look()
            if not self._bridge_takes():  # nothing was listened to: that silence is not the box's
                self._heard = now
            if failed or now - self._heard > (wire.SILENT if self._open else wire.DIAL):
                self._broken(failed or SILENT.format(place=self._box.place))
            elif self._open and now - self._said >= wire.BEAT:
                self._say(wire.Heard(self._channel.heard))
        if self._online and not self._open and now - self._beaten >= wire.BEAT:
            self._beaten = now
            self._tell(self._beat)

    def _dial(self, now: float) -> None:
        self.call = Call(self._context, self._box, self._own)
        self._heard = now
        self._say(wire.hello(self._session, self._bridge, self._slot, not self._online, self._channel.heard))

    def _broken(self, sentence: str) -> None:
        """The connection is no more."""
        now = time.monotonic()
        refused = self.call is not None and self.call.refused
        self._hang_up()
        log.info("lane %d: %s", self._slot, sentence)
        if refused or not self._online:
            self._over(sentence)
            return
        self._again = now + SOON
        if not self._lost:
            self._lost = now
            self._note(WAITS)

    def _over(self, sentence: str, crashed: bool = False, pause: float = LATER) -> None:
        """The session is: the bridge has its part run again, and a new session is tried after a while."""
        self._hang_up()
        told = self._say_once(sentence)
        if self._online or told:
            self._tell(work.Offline(self._ticket, told, crashed))
        self._new_session()
        self._again = time.monotonic() + pause

    def _hang_up(self) -> None:
        if self.call is not None:
            self.call.close()
        self.call, self._open = None, False

    def leave(self) -> None:
        """Say good-bye."""
        if self._open:
            self._say(wire.Bye())
        self._hang_up()

    # ---------------------------------------------------------------------------------------------- from the bridge

    def on_near(self) -> None:
        while self._channel.backlog < wire.WINDOW:
            try:
                frames = self.near.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            message, payload = decode(frames, work.WORK)
            if isinstance(message, work.Quit):  # given up
                self.leave()
                self._over("", pause=SOON)
            elif self._online:
                self._pass_on(message, payload)

    def _pass_on(self, message: Any, payload: Buffer | None) -> None:
        if isinstance(message, work.Start):
            self._job = message.job
            origin = replace(message.origin, tag="") if message.origin is not None else None
            message = replace(message, order=replace(message.order, tag=""), origin=origin)
        elif isinstance(message, messages.Cancel):
            self._channel.drop(lambda frames: subject(frames) == ("input", message.job))
        self._channel.put(encode(message, payload))
        self._push()

    # ------------------------------------------------------------------------------------------------- from the box

    def on_far(self) -> None:
        """Handle what has come, as long as the bridge takes it."""
        while self.call is not None and self._bridge_takes():
            try:
                heard = self.call.hear()
                if heard is None:
                    break
                self._heard = time.monotonic()
                handler = self._handlers.get(type(heard[0]))
                if handler is None:
                    raise WireError("", "not for a relay")
                handler(self, *heard)
            except WireError as error:
                log.error("lane %d: an unlawful message: %s", self._slot, error.details)
                self._over(NONSENSE.format(place=self._box.place))
        if self._open:
            self._push()

    def _welcome(self, message: wire.Welcome, _: Any) -> None:
        self.workers, self._open = message.workers, True
        self._channel.resume(message.heard)
        if not self._online:
            self._online = True
            self._tell(work.Online(0, self._ticket))
        elif self._lost:
            self._note(GOES_ON)
        self._lost = 0.0

    def _refused(self, message: wire.Refused, _: Any) -> None:
        self._over(message.sentence, pause=SOON if message.code == "forgotten" else LATER)

    def _gone(self, _message: wire.Gone, _: Any) -> None:
        self._over(CRASHED, crashed=True, pause=SOON)

    def _piece(self, message: wire.Piece, payload: Any) -> None:
        frames = self._channel.take(message, payload)
        self._say(wire.Heard(self._channel.heard))
        if frames is None:
            return
        said, content = decode(frames, work.WORK)
        if isinstance(said, work.Broken):
            self._over(ENGINE_BROKEN.format(place=self._box.place))
            return
        if isinstance(said, (work.Online, work.Offline)):
            raise WireError("", "not a worker’s to say")
        if isinstance(said, work.Idle):
            self._job = ""
        elif isinstance(said, work.Beat):
            self._beat = said
        elif isinstance(said, work.Ready):
            self._say_once("")
        self._tell(said, content)

    def _on_heard(self, message: wire.Heard, _: Any) -> None:
        self._channel.acknowledge(message.heard)

    _handlers: ClassVar[dict[type, Callable[..., None]]] = {
        wire.Welcome: _welcome,
        wire.Refused: _refused,
        wire.Gone: _gone,
        wire.Piece: _piece,
        wire.Heard: _on_heard,
    }

    # ------------------------------------------------------------------------------------------------------ speaking

    def _push(self) -> None:
        if self._open:
            for piece, payload in self._channel.due():
                self._say(piece, payload)

    def _say(self, message: Any, payload: Buffer | None = None) -> None:
        if self.call is not None:
            self.call.say(message, payload)
            self._said = time.monotonic()

    def _note(self, sentence: str) -> None:
        if self._job:
            self._tell(messages.Note(self._job, sentence))

    def _bridge_takes(self) -> bool:
        return bool(self.near.poll(0, zmq.POLLOUT))

    def _tell(self, message: Any, payload: Buffer | None = None) -> None:
        """To the bridge."""
        self.near.send_multipart(encode(message, payload))
