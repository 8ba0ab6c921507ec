"""A PostgreSQL of its own for a test: in a temporary folder, on a free port, gone afterwards."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
USER = "postgres"
"""PostgreSQL refuses to run as root, so root becomes this user."""


def is_installed() -> bool:
    """Tell whether a PostgreSQL can be started here."""
    return bool(BINARIES)


@contextmanager
def running_postgres() -> Iterator[str]:
    """Start a server and give the URL of an empty database while the block runs."""
    folder = Path(
        tempfile.mkdtemp(prefix="skycue-postgres-", dir="/tmp")
    )  # sockets need short paths
    data, log = folder / "data", folder / "log"
    try:
        if os.geteuid() == 0:
            account = pwd.getpwnam(USER)
            os.chown(folder, account.pw_uid, account.pw_gid)
        _run(
            "initdb",
            "--auth=trust",
            "--no-sync",
            "--encoding=UTF8",
            f"--username={USER}",
            f"--pgdata={data}",
        )
        port = _free_port()
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        _run("pg_ctl", "-D", str(data), "-l", str(log), "-w", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://{USER}@127.0.0.1:{port}/postgres"
        finally:
            _run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(program: str, *arguments: str) -> None:
    user = USER if os.geteuid() == 0 else None
    subprocess.run(
        [str(BINARIES[-1] / program), *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd="/",
        user=user,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
    )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
