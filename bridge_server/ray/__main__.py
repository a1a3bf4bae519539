"""The driver: enters the cluster, and has a `Speaker` for each seat in it, as seats come and go.

Started by the bridge only; leaves when standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import zmq

from bridge_server import work
from bridge_server.client.checks import shortened
from bridge_server.client.codec import encode
from bridge_server.client.launch import PrivateLog
from engine import cluster
from engine.errors import EngineError
from engine.untrusted import own_input

log = logging.getLogger("driver")  # "ray" is Ray's own

LOOK_SECONDS = 2.0  # between two looks at what the cluster has
AGAIN_SECONDS = 15.0  # until a cluster that cannot be entered is tried again
NO_SEATS = "The Ray cluster at {place} has no GPU and no processor to work on: add a node to it."


def leave(status: int = 0) -> None:
    """End the process now: Ray's threads must not be waited for."""
    logging.shutdown()
    os._exit(status)


def _watch_parent() -> None:
    while own_input().read(4096):
        pass
    leave()


def _say_why(orders: dict[str, Any], sentence: str) -> None:
    """Tell the artists why there is no worker."""
    line: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    line.plain_username, line.plain_password = b"worker", orders["password"].encode()
    line.connect(orders["address"])
    line.send_multipart(encode(work.Offline(orders["ticket"], shortened(sentence, 500))))
    line.close(linger=1000)


def _entered(orders: dict[str, Any]) -> str:
    """The address of the cluster, once it can be entered; till then the artists are told why not."""
    told = ""
    while True:
        try:
            return cluster.enter(orders["cluster"]["address"], orders["cluster"]["without_token"])
        except EngineError as error:
            log.warning("%s %s", error.sentence, error.details)
            if error.sentence != told:
                _say_why(orders, error.sentence)
            told = error.sentence
        time.sleep(AGAIN_SECONDS)


async def _attend(orders: dict[str, Any], place: str) -> None:
    """Speak for all seats, for ever."""
    import ray

    from bridge_server.ray.speaker import Fleet, Speaker  # imports ray

    asked = orders["cluster"]
    share = cluster.Share(asked["gpus"], asked["cpus"])
    names = ("address", "password", "ticket", "owner", "warm")
    fleet = Fleet(**{name: orders[name] for name in names}, idle_seconds=asked["idle"])
    speaking: dict[cluster.Seat, asyncio.Task[None]] = {}
    empty = False
    while True:
        there = cluster.seats(await asyncio.to_thread(ray.nodes), share)
        for seat in speaking.keys() - set(there):
            log.info("%s has left", seat)
            speaking.pop(seat).cancel()
        for seat in there:
            if seat not in speaking:
                log.info("%s has come", seat)
                speaking[seat] = asyncio.create_task(Speaker(fleet, seat).live())
            elif speaking[seat].done():
                speaking[seat].result()  # its error ends this process, and the bridge starts another
        if not there and not empty:
            _say_why(orders, NO_SEATS.format(place=place))
        empty = not there
        await asyncio.sleep(LOOK_SECONDS)


def main() -> None:
    handler = PrivateLog(Path(sys.argv[1]), backups=2)
    logging.basicConfig(
        handlers=[handler], level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in a terminal is for the bridge
    orders = json.loads(own_input().readline())
    threading.Thread(target=_watch_parent, name="parent", daemon=True).start()
    place = _entered(orders)
    try:
        asyncio.run(_attend(orders, place))
    except Exception:
        log.exception("the cluster is lost")
    leave(1)


if __name__ == "__main__":
    main()
