"""Programs in Go that judge us: each a folder beside the tests, built once for a module of tests."""

import re
import shutil
import subprocess
from pathlib import Path

BUILD_TIMEOUT_S = 540  # the libraries may have to be downloaded first


def go_version() -> tuple[int, int]:
    if shutil.which("go") is None:
        return (0, 0)
    said = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"go(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def build(name: str, tmp_path_factory) -> Path:
    """The program of the folder of that name."""
    program = tmp_path_factory.mktemp("interop") / name
    subprocess.run(
        ["go", "build", "-mod=readonly", "-o", str(program), "."],
        cwd=Path(__file__).parent / name,
        check=True,
        timeout=BUILD_TIMEOUT_S,
    )
    return program
