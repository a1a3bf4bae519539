"""repaint-bridge COMMAND, or python -m bridge_server COMMAND

serve   run the bridge in the foreground; plug-ins start it by themselves, so this is for watching it
status  facts about the running bridge, one per line; exit status 1 if there is none
stop    shut the bridge down in order; unfinished jobs stay in the journal
workers how many workers run variants side by side; with a number, set it (used when the bridge starts next)
ray     the Ray cluster that paints instead; with an address, set it (used when the bridge starts next)
krita   install the plug-in into Krita, with this engine
gimp    install the plug-in into GIMP 3, with this engine
connect, disconnect   start or stop painting on another machine's workers
serve-workers, allow, forbid   lend this machine's workers to other computers, and choose to which
doctor  what is here, what is missing, what to do; exit status 1 if something must be done
uninstall   remove everything, after listing it: plug-ins, the engine that set-up made, settings
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import secrets
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in (None, ""):  # started by path, e.g. from a launch file of a project that is not installed
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from bridge_server.box import arguments as box
from bridge_server.client import launch, messages
from bridge_server.client.errors import BridgeError
from bridge_server.client.link import BRIDGE_LOCK, PROTOCOL, Link, read_connection_file
from bridge_server.client.locks import FileLock

if TYPE_CHECKING:
    from bridge_server.ray.backend import Cluster

LOCK_SECONDS = 10.0
IDLE_SECONDS = 15 * 60.0


def serve(chosen: argparse.Namespace) -> int:
    """Run the bridge; 0 after an orderly end, 3 if it cannot run, 4 if another one runs."""
    from bridge_server.pool import machine
    from bridge_server.pool.backend import Limits
    from bridge_server.ray import backend
    from bridge_server.server import Bridge, private_logs

    state, ray = chosen.state, _cluster(chosen) if chosen.ray is not None else backend.kept()
    count = 0 if ray is not None and chosen.workers is None else machine.workers(chosen.workers)
    os.umask(0o077)
    try:
        launch.private_folder(state)
        handler = launch.PrivateLog(private_logs(state) / "bridge.log", backups=3)
        lock = FileLock(state / BRIDGE_LOCK)
        alone = lock.acquire(LOCK_SECONDS)  # one that is just leaving needs a moment
    except (BridgeError, OSError) as error:
        print(getattr(error, "sentence", launch.NOT_WRITABLE.format(place=state)), file=sys.stderr)
        return 3
    logging.basicConfig(
        handlers=[handler], level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    if not alone:
        print("Another RePaint bridge of this user is running.", file=sys.stderr)
        return 4
    _allow_connections()
    try:
        Bridge(state, chosen.idle_seconds, chosen.warm, Limits(), count, ray).serve()
        return 0
    except Exception as error:
        logging.getLogger("bridge").exception("the bridge cannot go on")
        print(f"The RePaint bridge cannot run: {error}", file=sys.stderr)
        return 3
    finally:
        lock.release()


def _allow_connections() -> None:
    """One for each client, worker and stranger: as many as the system lets this process have."""
    if sys.platform != "win32":
        import resource

        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        with contextlib.suppress(OSError, ValueError):  # macOS has a lower one besides
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def connect(state: Path) -> Link:
    """A link to the running bridge of that state folder; raises BridgeError."""
    return Link.connect(read_connection_file(state), "cli-" + secrets.token_hex(8), "command line")


def status(state: Path) -> int:
    try:
        link = connect(state)
    except BridgeError as error:
        print(error.sentence)
        return 1
    answer = link.ask(messages.GetStatus(), messages.Status)
    link.send(messages.Bye())
    link.flush()
    link.close()
    for name, value in vars(answer).items():
        print(f"{name:20}{value:.1f}" if isinstance(value, float) else f"{name:20}{value}")
    return 0


def stop(state: Path) -> int:
    link: Link | None
    try:
        link = connect(state)
        link.send(messages.Stop())
        link.flush()
    except BridgeError as error:
        if error.code != PROTOCOL:
            print(error.sentence)
            return 0
        link = None  # of another version, but a bridge: its signal is older than all versions
        os.kill(read_connection_file(state).pid, signal.SIGTERM)
    lock = FileLock(state / BRIDGE_LOCK)
    if not lock.acquire(LOCK_SECONDS):
        print("The RePaint bridge was asked to stop but is still busy.")
        return 3
    lock.release()
    if link is not None:
        link.close()
    print("The RePaint bridge has stopped.")
    return 0


def _count(text: str) -> int:
    from bridge_server.pool.machine import MOST

    number = int(text)
    if not 1 <= number <= MOST:
        raise argparse.ArgumentTypeError(f"1 to {MOST} workers, not {text}")
    return number


def _count_or_auto(text: str) -> int | str:
    return text if text == "auto" else _count(text)


def workers(number: int | str | None) -> int:
    """Say how many workers the bridge starts with, after setting it if it is given."""
    from bridge_server.client import settings
    from bridge_server.pool import machine

    if number is not None:
        settings.write("workers", None if number == "auto" else number)
    chosen = "as set" if settings.read().get("workers") else f"by itself; GPUs: {len(machine.gpus())}"
    print(f"{machine.workers()} ({chosen}), when the bridge starts next")
    return 0


def _cluster(chosen: argparse.Namespace) -> Cluster | None:
    """What the command line says of a Ray cluster; None for none."""
    from bridge_server.ray.backend import Cluster

    if chosen.ray == "off":
        return None
    return Cluster(chosen.ray, chosen.ray_without_token, chosen.ray_gpus, chosen.ray_cpus, chosen.ray_idle)


def ray(chosen: argparse.Namespace) -> int:
    """Say which cluster the bridge's workers are in, after setting it if it is given."""
    from bridge_server.ray import backend

    if chosen.ray is not None:
        backend.keep(_cluster(chosen))
    found = backend.kept()
    text = "no Ray cluster" if found is None else ", ".join(f"{name} {value}" for name, value in vars(found).items())
    print(f"{text}; takes effect when the bridge starts next")
    return 0


def _gpus(text: str) -> float:
    share = float(text)
    if not (0 < share < 1 or (share >= 1 and share == int(share))):
        raise argparse.ArgumentTypeError(f"a part of a GPU, such as 0.5, or whole ones, not {text}")
    return share


def _add_ray(command: argparse.ArgumentParser, name: str, **fields: Any) -> None:
    """The options on a Ray cluster."""
    text = "HOST:PORT of its head; “auto”: the cluster that this computer belongs to; “off”: none"
    command.add_argument(name, metavar="ADDRESS", help=text, **fields)
    text = "join a cluster without a token; only if nobody else can reach it"
    command.add_argument("--ray-without-token", action="store_true", help=text)
    text = "GPUs for each worker, 0.5 for two workers on each"
    command.add_argument("--ray-gpus", type=_gpus, default=1.0, metavar="GPUS", help=text)
    text = "processors for each worker, where no node has a GPU"
    command.add_argument("--ray-cpus", type=_count, default=4, metavar="CPUS", help=text)
    text = "give a worker's share of the cluster back after this long without work"
    command.add_argument("--ray-idle", type=float, default=300.0, metavar="SECONDS", help=text)


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0; 1 with a sentence, or what the command says above; 2 usage."""
    parser = argparse.ArgumentParser(
        prog="repaint-bridge", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    names = ("serve", "status", "stop", "workers", "ray", "krita", "gimp", "doctor", "uninstall")
    for name in (*names, *box.NAMES):
        command = commands.add_parser(name)
        box.add_arguments(name, command)
        if name in ("serve", "status", "stop"):
            text = "folder of the connection file"
            command.add_argument("--state", type=Path, default=launch.user_folders().state, help=text)
        if name == "serve":
            text = "stop after this long without use"
            command.add_argument("--idle-seconds", type=float, default=IDLE_SECONDS, help=text)
            command.add_argument("--warm", default="exemplar", help="model to load at the start")
            text = "how many run side by side (default: as set by “repaint-bridge workers”, or one for each NVIDIA GPU)"
            command.add_argument("--workers", type=_count, metavar="N", help=text)
            _add_ray(command, "--ray")
        if name == "ray":
            _add_ray(command, "ray", nargs="?")
        if name == "workers":
            text = "used when the bridge starts next; “auto”: one for each NVIDIA GPU, or one"
            command.add_argument("number", nargs="?", type=_count_or_auto, metavar="N", help=text)
        if name in ("krita", "gimp"):
            folder = "Krita's resource folder" if name == "krita" else "GIMP's configuration folder, such as …/GIMP/3.0"
            command.add_argument("--target", type=Path, metavar="DIR", help=folder)
            command.add_argument("--uninstall", action="store_true", help="remove it again")
        if name == "uninstall":
            command.add_argument("--models", action="store_true", help="also remove the downloaded models")
            command.add_argument("--history", action="store_true", help="also remove the pictures of the histories")
            command.add_argument("--yes", action="store_true", help="do not ask")
    chosen = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal cannot show is no failure
            stream.reconfigure(errors="backslashreplace")
    if chosen.command == "serve":
        return serve(chosen)
    if chosen.command in ("status", "stop"):
        return status(chosen.state) if chosen.command == "status" else stop(chosen.state)
    return _manage(chosen)


def _manage(chosen: argparse.Namespace) -> int:
    from bridge_server.manage import doctor, plugins, uninstall

    try:
        if chosen.command == "workers":
            return workers(chosen.number)
        if chosen.command == "ray":
            return ray(chosen)
        if chosen.command in box.NAMES:
            from bridge_server.box import commands

            _allow_connections()
            return commands.run(chosen)
        if chosen.command == "doctor":
            return doctor.doctor()
        if chosen.command == "uninstall":
            return uninstall.uninstall(chosen.models, chosen.history, chosen.yes)
        install = plugins.krita if chosen.command == "krita" else plugins.gimp
        install(chosen.target, chosen.uninstall)
    except BridgeError as error:
        print(f"error: {error.sentence}", file=sys.stderr)
        return 1
    except OSError as error:
        place = f"{error.filename or 'A file'} is in the way"
        print(f"error: {place} ({error.strerror or error}): look at it, then run this again.", file=sys.stderr)
        return 1
    return 0


def start() -> None:
    """The program ``repaint-bridge``."""
    exit_status = main()
    logging.shutdown()
    sys.stdout.flush()
    os._exit(exit_status)  # nothing of libzmq may keep a process that has given its lock back


if __name__ == "__main__":
    start()
