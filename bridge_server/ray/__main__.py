"""The driver: enters the cluster, and has a `Speaker` for each seat in it, as seats come and go.

Started by the bridge only; leaves when standard input ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from typing import Any

import zmq

from bridge_server import work
from bridge_server.client.checks import shortened
from bridge_server.client.codec import encode
from bridge_server.worker.process import begin, leave
from engine import cluster
from engine.errors import EngineError
from engine.untrusted import own_input

log = logging.getLogger("driver")  # "ray" is Ray's own

LOOK_SECONDS = 2.0  # between two looks at what the cluster has
AGAIN_SECONDS = 15.0  # until a cluster that does not answer is tried again
TRIES = 4  # of that
NO_SEATS = "The Ray cluster at {place} has no GPU and no processor to work on: add a node to it."


def _watch_parent() -> None:
    while own_input().read(4096):
        pass
    leave()


def _say(orders: dict[str, Any], *said: Any) -> None:
    """Without a worker."""
    line: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    line.plain_username, line.plain_password = b"worker", orders["password"].encode()
    line.connect(orders["address"])
    for message in said:
        line.send_multipart(encode(message))
    line.close(linger=1000)


def _give_up(orders: dict[str, Any], sentence: str, details: str = "") -> None:
    """Tell the artists why there is no worker and leave; they restart the engine when it is mended."""
    log.error("%s %s", sentence, details)
    broken = work.Broken(shortened(sentence, 500), shortened(details, 4000))
    _say(orders, work.Online(os.getpid(), orders["ticket"]), broken)
    time.sleep(0.5)
    leave(3)


def _entered(orders: dict[str, Any]) -> str:
    """The address of the cluster, which is entered; one that does not answer is tried for a minute."""
    for tries in range(TRIES):
        try:
            return cluster.enter(orders["cluster"]["address"], orders["cluster"]["without_token"])
        except EngineError as error:
            if error.code != "ray_nothing" or tries == TRIES - 1:
                _give_up(orders, error.sentence, error.details)
            if not tries:
                _say(orders, work.Offline(orders["ticket"], shortened(error.sentence, 500)))
        time.sleep(AGAIN_SECONDS)
    raise AssertionError("it has been given up")


async def _attend(orders: dict[str, Any], place: str) -> None:
    """Speak for all seats, for ever."""
    import ray

    from bridge_server.ray.speaker import Fleet, Speaker  # imports ray

    asked = orders["cluster"]
    share = cluster.Share(asked["gpus"], asked["cpus"])
    names = ("address", "password", "ticket", "owner", "warm")
    fleet = Fleet(**{name: orders[name] for name in names}, idle_seconds=asked["idle"])
    speakers: dict[cluster.Seat, Speaker] = {}
    speaking: dict[cluster.Seat, asyncio.Task[None]] = {}
    empty = False
    while True:
        there = cluster.seats(await asyncio.to_thread(ray.nodes), share)
        for seat in speaking.keys() - set(there):
            log.info("%s has left", seat)
            speaking.pop(seat).cancel()
            del speakers[seat]
        for seat in there:
            if seat not in speaking:
                log.info("%s has come", seat)
                speakers[seat] = Speaker(fleet, seat)
                speaking[seat] = asyncio.create_task(speakers[seat].live())
            elif speaking[seat].done():
                speaking[seat].result()  # its error ends this process, and the bridge starts another
        if not there and not empty:
            _say(orders, work.Offline(orders["ticket"], NO_SEATS.format(place=place)))
        empty = not there
        if speakers and all(speaker.unfit for speaker in speakers.values()):
            _give_up(orders, next(iter(speakers.values())).unfit)
        await asyncio.sleep(LOOK_SECONDS)


def main() -> None:
    orders = begin()
    threading.Thread(target=_watch_parent, name="parent", daemon=True).start()
    place = _entered(orders)
    try:
        asyncio.run(_attend(orders, place))
    except Exception:
        log.exception("the cluster is lost")
    leave(1)


if __name__ == "__main__":
    main()
