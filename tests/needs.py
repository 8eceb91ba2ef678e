"""Programs that some tests need and a person may lack: there the test is skipped with the reason, in CI it fails."""

import os
import shutil

import pytest


def need(*programs: str, why: str) -> str:
    """The path of the first of `programs` that is there."""
    for program in programs:
        path = shutil.which(program)
        if path is not None:
            return path
    reason = f"none of {', '.join(programs)} here, which {why}"
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; .ci/run must install it")
    pytest.skip(reason)
