"""repaint-bridge serve-workers | allow | forbid, on the box; connect | disconnect, on the computer that uses it."""

from __future__ import annotations

import argparse
import logging
import os
import socket

from bridge_server.box import keys, wire
from bridge_server.client import launch
from bridge_server.client.errors import BridgeError
from bridge_server.client.locks import FileLock

NO_ADDRESS = "“{words}” is not an address: write HOST:PORT, such as 192.168.1.7:5560."
RUNS = "“repaint-bridge serve-workers” is already running for this user: stop that one first."
EVERYWHERE = ("0.0.0.0", "::", "*")


def run(chosen: argparse.Namespace) -> int:
    """Exit status 0; raises BridgeError."""
    if chosen.command == "serve-workers":
        return serve_workers(chosen.listen, chosen.workers, chosen.warm)
    if chosen.command == "connect":
        return connect(chosen.address, chosen.key, chosen.workers)
    if chosen.command == "disconnect":
        return disconnect()
    return allow(chosen.who) if chosen.command == "allow" else forbid(chosen.who)


def serve_workers(listen: str, count: int | None, warm: str) -> int:
    """Lend the workers of this machine until Ctrl+C."""
    from bridge_server.box.serve import Server
    from bridge_server.pool import machine

    os.umask(0o077)
    host, port = split(listen)
    state = launch.private_folder(launch.user_folders().state / "box")
    logging.basicConfig(
        handlers=[launch.PrivateLog(state / "box.log", backups=2)],
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    lock = FileLock(state / "lock")
    if not lock.acquire(0.0):
        raise BridgeError(RUNS)
    number = max(1, min(wire.MAX_WORKERS, machine.workers(count)))
    server = Server(host, port, number, warm, state, lambda line: print(line, flush=True))
    key = keys.own().public
    shown = keys.Box(socket.gethostname() if host in EVERYWHERE else host, server.port, keys.text(key))
    print(f"This box lends {number} worker(s) and has the fingerprint {keys.fingerprint(key)}")
    print(f"On the computer that should use it:\n\n  repaint-bridge connect {shown.place} {shown.key}\n", flush=True)
    server.serve()
    lock.release()
    return 0


def connect(address: str, key: str, workers: int = 0) -> int:
    """Use so many workers of the box (0: all) from now on, if it lets this computer in."""
    from bridge_server.box.call import ask

    host, port = split(address)
    known = keys.box()
    if not key and known is not None and (known.host, known.port) == (host, port):
        key = known.key
    box = keys.Box(host, port, keys.text(keys.of_text(key)), max(0, workers))
    own = keys.own().public
    print(f"The box must show the fingerprint  {keys.fingerprint(keys.of_text(key))}")
    print(f"This computer has the fingerprint  {keys.fingerprint(own)}", flush=True)
    there = ask(box)
    count = min(there, box.workers or there)
    keys.use(box)
    print(f"Connected: {count} worker(s) of {box.place} paint for this computer from now on.")
    return 0


def disconnect() -> int:
    """Paint here alone again."""
    known = keys.box()
    keys.use(None)
    print(f"The box {known.place} is not used any more." if known is not None else "There was no box.")
    return 0


def allow(who: str | None) -> int:
    """Let a computer use this one; without a fingerprint list those that may and those that have asked."""
    if who is None:
        for title, found in (("may use this box", sorted(keys.allowed())), ("has asked", keys.asked())):
            for key in found:
                print(f"{keys.fingerprint(key)}  {title}")
        return 0
    print(f"{keys.fingerprint(keys.allow(who))} may use this box from now on.")
    return 0


def forbid(who: str) -> int:
    """Let a computer use this one no more."""
    was = keys.forbid(who)
    print(f"{who} may no longer use this box." if was else f"{who} was not allowed.")
    return 0


def split(address: str) -> tuple[str, int]:
    """Host and port of HOST:PORT or [IPv6]:PORT; raises BridgeError."""
    host, colon, port = address.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    good = colon and bare and port.isascii() and port.isdigit() and int(port) < 65536
    if not good or (":" in host and bare == host) or any(each in " /\t\"'@;|" for each in bare):
        raise BridgeError(NO_ADDRESS.format(words=address[:80]))
    return bare, int(port)
