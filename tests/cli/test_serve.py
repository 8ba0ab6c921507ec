"""`skycue serve`: who may reach it, and what it refuses before it starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from skycue.cli.serve import TOKEN_VARIABLE, _tokens, listening
from skycue.errors import ConfigError


def test_nobody_else_is_served_without_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert not _tokens(None, "127.0.0.1").are_needed
    for host in ("0.0.0.0", "192.168.1.5", "::"):
        with pytest.raises(ConfigError, match="a token is needed"):
            _tokens(None, host)
    monkeypatch.setenv(TOKEN_VARIABLE, "a-token-that-is-long-enough")
    assert _tokens(None, "0.0.0.0").are_needed


def test_tokens_come_from_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("# for the lab\n\nfirst-token-of-the-lab\nsecond-token-of-the-lab\n")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        _tokens(path, "0.0.0.0")
    path.chmod(0o600)
    tokens = _tokens(path, "0.0.0.0")
    first, second = (tokens.owner(f"{word}-token-of-the-lab") for word in ("first", "second"))
    assert first != second
    path.write_text("short\n")
    with pytest.raises(ConfigError, match="token 1 is not allowed"):
        _tokens(path, "0.0.0.0")


def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    with listening("127.0.0.1", 0) as sockets:
        port = sockets[0].getsockname()[1]
        with (
            pytest.raises(ConfigError, match=f"cannot listen at 127.0.0.1:{port}"),
            listening("127.0.0.1", port),
        ):
            pass


def test_gdal_is_hardened_without_complaints() -> None:
    code = (
        "from skycue.geo.preparation import harden_gdal\n"
        "harden_gdal()\n"
        "import rasterio\n"
        "with rasterio.Env() as env: print(*env.drivers())"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("GDAL_", "CPL_"))}
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert said.stderr == ""
    drivers = said.stdout.split()
    assert {"GTiff", "VRT"} <= set(drivers)  # rasterio warps through VRTs
    assert not {"WMS", "GTI", "netCDF", "HTTP", "Rasterlite"} & set(drivers)
