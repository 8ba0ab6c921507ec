"""A Ray cluster of three raylets on this machine, in a process of its own.

    python -m tests.scale.ray_cluster

Prints one JSON line: the address, and the process of each raylet, that of the head first. It ends
the cluster when its standard input is closed.
"""

import json
import os
import sys

from skycue.scale.ray_engine import NO_STATISTICS

N_RAYLETS = 3
STORE_BYTES = 80_000_000
HEALTH_CHECKS = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "5",
}
"""A dead raylet is missed after a few seconds, not after half a minute."""


def main() -> None:
    """Start the cluster and wait."""
    os.environ.update({**NO_STATISTICS, **HEALTH_CHECKS})
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    for number in range(N_RAYLETS):
        extra = {"include_dashboard": False} if number == 0 else {}
        cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES, **extra)
    nodes = [cluster.head_node, *sorted(cluster.worker_nodes, key=lambda node: node.node_id)]
    raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
    answer = {"address": cluster.address, "raylets": raylets}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    cluster.shutdown()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
