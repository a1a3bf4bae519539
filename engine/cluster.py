"""The way into a Ray cluster, or one sentence why there is none; and where in it actors can sit: one for each share of
a GPU, or of processors where no node has a GPU.

Ray is the extra ``[ray]``: it is imported by whoever has come through :func:`enter`, and nowhere else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from engine.errors import EngineError

NAMESPACE = "repaint"
"""Ray's name for what belongs together: our actors are found under it."""
OLDEST = (2, 60)
ANSWER_SECONDS = 15.0

NOT_INSTALLED = (
    "Ray is not installed here: run “python -m pip install 'ray>=2.60'” in RePaint's environment, then try again."
)
TOO_OLD = "Ray {found} is too old: run “python -m pip install 'ray>=2.60'” here and on every node, then try again."
NOTHING = "No Ray cluster answers at {place}: check the address and that the cluster runs, then try again."
OPEN = (
    "The Ray cluster at {place} lets anybody in: start it with RAY_AUTH_MODE=token, or allow it with "
    "--ray-without-token where only you can reach it."
)
NO_TOKEN = (
    "The Ray cluster at {place} wants a token: put the cluster's token into the file ~/.ray/auth_token, then try again."
)
WRONG_TOKEN = (
    "The Ray cluster at {place} wants another token: copy the file ~/.ray/auth_token from its head, then try again."
)
OTHER_VERSIONS = (
    "The Ray cluster at {place} runs another Ray or Python than this computer: install the same ones, then try again."
)
NOT_A_NODE = (
    "This computer does not belong to the Ray cluster at {place}: run “ray start --address={place} --num-cpus=0” here, "
    "then try again."
)

_QUESTION = """
import json, sys
from ray._private.services import get_ray_address_from_environment
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
place, answer = sys.argv[1], "open"
try:
    place = get_ray_address_from_environment(place, None)
    GcsClient(address=place)
except AuthenticationError:
    answer = "closed"
except Exception:
    answer = "nothing"
print(json.dumps([place, answer]))
"""


def enter(address: str, without_token: bool = False) -> str:
    """Make this process a driver in the cluster at ``address`` (``HOST:PORT``, or ``auto`` for the one that this
    computer belongs to); returns the address.

    A cluster without token authentication is refused unless ``without_token``: whoever reaches it can run programs on
    it. Asked without the token first, so that no stranger is told it.

    Raises:
        EngineError: ``ray_missing``, ``ray_nothing``, ``ray_open``, ``ray_token``, ``ray_versions`` or ``ray_node``.
    """
    try:
        found = metadata.version("ray")
    except metadata.PackageNotFoundError:
        raise EngineError("ray_missing", NOT_INSTALLED) from None
    if tuple(int(part) for part in found.split(".")[:2]) < OLDEST:
        raise EngineError("ray_missing", TOO_OLD.format(found=found))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "15")  # a dead head is soon taken for dead
    place, answer = _asked(address, "disabled")
    if answer == "nothing":
        raise EngineError("ray_nothing", NOTHING.format(place=place))
    if answer == "open" and not without_token:
        raise EngineError("ray_open", OPEN.format(place=place))
    if answer == "closed":
        if not _has_token():
            raise EngineError("ray_token", NO_TOKEN.format(place=place))
        if _asked(place, "token")[1] != "open":
            raise EngineError("ray_token", WRONG_TOKEN.format(place=place))
    os.environ["RAY_AUTH_MODE"] = "token" if answer == "closed" else "disabled"
    import ray

    try:
        ray.init(address=place, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR")
    except (Exception, SystemExit) as error:
        if "ersion mismatch" in str(error):
            raise EngineError("ray_versions", OTHER_VERSIONS.format(place=place), str(error)) from error
        raise EngineError("ray_node", NOT_A_NODE.format(place=place), repr(error)) from error
    return place


def _asked(address: str, mode: str) -> tuple[str, str]:
    """The address in full, and how it answers: "open", "closed" (it wants another token) or "nothing".

    In a process of its own: Ray reads the mode only once, and waits long where nothing is.
    """
    command = [sys.executable, "-c", _QUESTION, address]
    environment = {**os.environ, "RAY_AUTH_MODE": mode}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=ANSWER_SECONDS)
        place, answer = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, ValueError, IndexError):
        return address, "nothing"
    return place, answer


def _has_token() -> bool:
    """Whether Ray will find a token where it looks for one; without one it ends the process."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return True
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    try:
        return bool(path.read_text(encoding="utf-8").strip())
    except (OSError, ValueError):
        return False


@dataclass(frozen=True)
class Share:
    """What one actor takes. ``gpus``: a whole number, or a part of one GPU; ``cpus`` count where there is no GPU."""

    gpus: float = 1.0
    cpus: int = 4


@dataclass(frozen=True)
class Seat:
    """One actor's place. ``node``: Ray's id; ``host``: the node's name for people; ``place``: from 0 on each node."""

    node: str
    host: str
    place: int
    cpus: float
    gpus: float


def seats(nodes: Iterable[dict[str, Any]], share: Share) -> list[Seat]:
    """All seats of the living ones of ``ray.nodes()``.

    A node with fewer processors than a share has one seat; one without any (``--num-cpus=0``) has none.
    """
    living = [node for node in nodes if node["Alive"]]
    by_gpu = any(node["Resources"].get("GPU", 0) for node in living)
    found = []
    for node in living:
        gpus, cpus = node["Resources"].get("GPU", 0.0), node["Resources"].get("CPU", 0.0)
        if by_gpu:
            count, each = int(gpus / share.gpus), (0.0, share.gpus)
        else:
            count, each = int(max(cpus >= 1, cpus / share.cpus)), (min(float(share.cpus), cpus), 0.0)
        host = f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        found += [Seat(node["NodeID"], host, place, *each) for place in range(count)]
    return found
