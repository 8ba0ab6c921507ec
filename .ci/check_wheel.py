"""Check that the wheel holds what the commands need, with its licences, and nothing else.

Run as `python .ci/check_wheel.py WHEEL` from the root of the repository.
"""

import sys
import zipfile
from pathlib import Path

MAX_MB = 60
LEFT_OUT = Path("skycue/web/page")
"""Sources of the page: its bundle goes along instead."""
NEEDED = (
    "skycue/py.typed",
    "skycue/weights/mini/model.safetensors",
    "skycue/weights/mini/config.json",
    "skycue/weights/mini/tokenizer.json",
    "skycue/weights/mini_region/model.safetensors",
    "skycue/weights/mini_region/config.json",
    "skycue/weights/mini_region/tokenizer.json",
    "skycue/weights/mini_region/tokenizer_config.json",
    "skycue/configs/mini_region.yaml",
    "skycue/configs/vhr10_held_out.txt",
    "skycue/web/static/index.html",
    "skycue/web/static/page.css",
    "skycue/web/static/page.js",
)
LICENCES = (
    "LICENSE",
    "NOTICE",
    "skycue/backbones/clip_vocabulary/LICENSE",
    "skycue/examples/neon/LICENSE.md",
    "skycue/examples/spacenet/LICENSE.md",
    "skycue/web/static/LICENCES.txt",
    "skycue/weights/mini/LICENCE",
    "skycue/weights/mini_region/LICENCE",
)


def problems(wheel: Path) -> list[str]:
    """List what is wrong with a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    package = {str(path) for path in Path("skycue").rglob("*") if is_content(path)}
    configs = {f"skycue/{path}" for path in Path("configs").glob("*.*")}
    information = next(name.split("/")[0] for name in names if ".dist-info/" in name)
    licences = {f"{information}/licenses/{name}" for name in LICENCES}
    missing = sorted((package | configs | licences | set(NEEDED)) - names)
    found = [f"{name} is missing" for name in missing]
    strangers = {name.split("/")[0] for name in names} - {"skycue", information}
    found += [f"{name} does not belong into it" for name in sorted(strangers)]
    megabytes = wheel.stat().st_size / 1e6
    if megabytes > MAX_MB:
        found.append(f"it has {megabytes:.0f} MB; {MAX_MB} are allowed")
    return found


def is_content(path: Path) -> bool:
    """Tell a file of the package from what Python or an editor left."""
    is_left = "__pycache__" in path.parts or path.name.startswith(".")
    return path.is_file() and not is_left and not path.is_relative_to(LEFT_OUT)


def main() -> int:
    """Say what is wrong; the exit status is 1 if anything is."""
    found = problems(Path(sys.argv[1]))
    for problem in found:
        sys.stderr.write(f"{sys.argv[1]}: {problem}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
