"""Does the archive in a folder on a Ray cluster, in a process that can be killed.

python -m tests.scale.ray_driver FOLDER ADDRESS
"""

import sys
from pathlib import Path

from skycue.scale.ray_engine import RayEngine
from skycue.scale.run import run_plan
from tests.scale.made_up_work import ByteWork
from tests.scale.test_run import planned

PAUSE_S = 0.3
UNIT_SIZE = 2


def main() -> None:
    """Do what is left to do."""
    folder, address = Path(sys.argv[1]), sys.argv[2]
    work = ByteWork(pause_s=PAUSE_S, log=folder / "log")
    plan = planned(folder, work, unit_size=UNIT_SIZE)
    run = folder / "run"
    run_plan(run, plan, work, lambda: RayEngine(work, run, address=address, n_workers=3))


if __name__ == "__main__":
    main()
