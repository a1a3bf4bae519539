"""The bridge's process that brings the workers of a box: ``python -m bridge_server.box.relay``, by the pool only.

It imports no engine. What a lane does when its road breaks is in lane.py.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from pathlib import Path

import zmq

from bridge_server.box import keys, wire
from bridge_server.box.lane import Lane
from bridge_server.client.launch import PrivateLog
from bridge_server.pool.backend import Joining

log = logging.getLogger("relay")

TICK = 0.25  # seconds


def main() -> None:
    handler = PrivateLog(Path(sys.argv[1]), backups=2)
    logging.basicConfig(
        handlers=[handler], level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    orders = json.loads(sys.stdin.buffer.readline())
    joining = Joining(orders["address"], orders["password"], orders["ticket"])
    box = keys.Box(**orders["box"])
    own = keys.own()
    leaving = threading.Event()

    def watch() -> None:
        while sys.stdin.buffer.read(4096):
            pass
        leaving.set()
        time.sleep(2.0)
        os._exit(1)  # it hangs

    threading.Thread(target=watch, name="parent", daemon=True).start()
    said = ""

    def say_once(sentence: str) -> str:
        nonlocal said
        before, said = said, sentence
        return sentence if sentence != before else ""

    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    bridge = orders["bridge"]
    lanes = [Lane(context, box, own, (bridge, 0), joining, say_once)]
    while not leaving.is_set():
        for lane in lanes:
            lane.tick()
        while len(lanes) < min(lanes[0].workers, box.workers or wire.MAX_WORKERS):
            lanes.append(Lane(context, box, own, (bridge, len(lanes)), joining, say_once))
        poller = zmq.Poller()
        for lane in lanes:
            for one, events in lane.wanted():
                poller.register(one, events)
        poller.poll(int(TICK * 1000))
        for lane in lanes:
            lane.on_far()
            lane.on_near()
    for lane in lanes:
        lane.leave()
    context.destroy(300)
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
