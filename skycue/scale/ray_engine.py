"""The engine of many machines: each worker is a Ray actor.

Moritz et al., "Ray: A Distributed Framework for Emerging AI Applications", OSDI 2018,
https://arxiv.org/abs/1712.05889. Ray places the actors, starts them and tells of their death; which
unit is done stands in the plan and in the parts alone, so nothing is lost with a worker, a raylet
(Ray's process on each machine), the head or the driver. Ray restarts nothing by itself here: the
crew asks for another actor, which waits for a machine with room while the others go on.
"""

import logging
import os
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, cast

from skycue.errors import MissingToolError, RunError
from skycue.scale.crew import Answer, UnitWorker
from skycue.scale.work import Unit, Work

if TYPE_CHECKING:
    from ray.actor import ActorHandle

logger = logging.getLogger(__name__)

NO_STATISTICS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_USAGE_STATS_PROMPT_ENABLED": "0"}
"""Ray asks nobody but its environment whether it may send usage statistics."""
STORE_BYTES = 100_000_000
"""Of Ray's object store in a cluster that we start: units and receipts are a few kilobytes."""
CLIENT_SCHEME = "ray://"


class RayEngine:
    """Starts workers on a Ray cluster.

    Attributes:
        n_workers: How many work at a time.
        lost: What the future of a dead worker raises.
    """

    def __init__(
        self,
        work: Work,
        folder: Path,
        *,
        address: str | None = None,
        n_workers: int | None = None,
        threads: int = 1,
        gpus: float = 0.0,
    ) -> None:
        """Join a cluster, or start one on this machine.

        Args:
            work: What is done.
            folder: Of the run; all machines of the cluster must see it under this path.
            address: "HOST:PORT" of a cluster, or "auto" for the one of this machine; None starts
                one that ends with the run.
            n_workers: How many work at a time; as many as the cluster has room for now, if None.
            threads: Processor cores of each.
            gpus: GPUs of each; a fraction lets several share one.

        Raises:
            MissingToolError: If Ray is not installed.
            RunError: If there is no cluster at the address, or it has no room for a worker.
        """
        if address is not None and address.startswith(CLIENT_SCHEME):
            raise RunError(
                f"--address {address} is that of a Ray client: run the command on a machine of the "
                "cluster with --address auto, such as by `ray job submit` (docs/scale.md)."
            )
        os.environ.update(NO_STATISTICS)
        try:
            import ray  # heavy, and an extra: imported when used
        except ModuleNotFoundError as error:
            raise MissingToolError(
                "--engine ray needs Ray: pip install 'skycue[ray]', or use --engine local."
            ) from error
        _join(address, n_workers, threads, gpus)
        self.lost: tuple[type[Exception], ...] = (ray.exceptions.RayActorError,)
        self.n_workers = n_workers or _room(threads, gpus)
        self._arguments = (ray.put(work), folder, threads)
        self._actor = ray.remote(
            num_cpus=threads,
            num_gpus=gpus,
            max_restarts=0,  # the crew starts another one
            scheduling_strategy="SPREAD",
        )(UnitWorker)

    def start(self) -> "RayWorker":
        """Ask for a worker; the cluster gives it when it has room."""
        return RayWorker(cast("ActorHandle[UnitWorker]", self._actor.remote(*self._arguments)))

    def close(self) -> None:
        """Leave the cluster, which ends a cluster that we started."""
        import ray

        ray.shutdown()


class RayWorker:
    """One actor."""

    def __init__(self, actor: "ActorHandle[UnitWorker]") -> None:
        self._actor = actor

    def load(self) -> "Future[Answer]":
        """Load the model, once the actor is there."""
        future: Future[Answer] = self._actor.load.remote().future()
        return future

    def do(self, unit: Unit) -> "Future[Answer]":
        """Do a unit and keep its part."""
        future: Future[Answer] = self._actor.do.remote(unit).future()
        return future

    def stop(self) -> None:
        """End the actor, or withdraw the wish for it."""
        import ray

        ray.kill(self._actor)


def _join(address: str | None, n_workers: int | None, threads: int, gpus: float) -> None:
    """Connect this process to a cluster."""
    import ray

    try:
        if address is not None:
            ray.init(address, log_to_driver=False, configure_logging=False)
        else:
            ray.init(
                "local",  # one of our own, also where this machine belongs to another
                num_cpus=None if n_workers is None else n_workers * threads,
                object_store_memory=STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
                configure_logging=False,
            )
    except (ConnectionError, ValueError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        raise RunError(
            f"cannot join the Ray cluster at {address or 'this machine'}: {first} Start one with "
            "`ray start --head --disable-usage-stats`, or leave --address out."
        ) from error


def _room(threads: int, gpus: float) -> int:
    """Say how many workers the cluster has room for."""
    import ray

    has = ray.cluster_resources()  # type: ignore[no-untyped-call]
    room = int(has.get("CPU", 0) // threads)
    if gpus:
        room = min(room, int(has.get("GPU", 0) / gpus))
    if room < 1:
        raise RunError(
            f"the Ray cluster has {has.get('CPU', 0):g} CPUs and {has.get('GPU', 0):g} GPUs; a "
            f"worker asks for {threads} and {gpus:g}. Lower `threads` or `gpus`, or add machines."
        )
    return room
