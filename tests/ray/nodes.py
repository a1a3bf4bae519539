"""A Ray cluster of this computer's own: ``python -m tests.ray.nodes``, told what to do by lines of JSON.

Started by `tests.ray.cluster.Nodes` in a network namespace that has nothing but loopback.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from ray.cluster_utils import Cluster

COMMON = {"node_ip_address": "127.0.0.1", "object_store_memory": 80 << 20}


def main() -> None:
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # short: Ray's sockets lie in it
    head = {**COMMON, **json.loads(sys.argv[1]), "include_dashboard": False, "temp_dir": folder}
    Path(tempfile.gettempdir(), "ray").mkdir(exist_ok=True)  # Ray notes an address there, whatever its folder
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes = [cluster.head_node]
    print(json.dumps(cluster.address), flush=True)
    for line in sys.stdin:
        order, value = json.loads(line)
        if order == "add":
            nodes.append(cluster.add_node(**COMMON, **value))
            answer: object = len(nodes) - 1
        elif order == "remove":
            answer = cluster.remove_node(nodes[value])
        else:  # "pids" of a node's processes by their kind
            running = nodes[value].all_processes
            answer = {kind: [each.process.pid for each in found] for kind, found in running.items()}
        print(json.dumps(answer), flush=True)
    cluster.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
