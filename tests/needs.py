"""What some tests need and a person may lack: there the test is skipped with the reason, in CI it fails."""

import os
import shutil
from typing import NoReturn

import pytest

IN_CI = bool(os.environ.get("CI"))  # `.ci/run` sets it to 1, others to true


def need(*programs: str, why: str) -> str:
    """The path of the first of `programs` that is there."""
    path = next(filter(None, map(shutil.which, programs)), None)
    if path is None:
        lack(f"none of {', '.join(programs)} here, which {why}; .ci/run must install it")
    return path


def lack(reason: str) -> NoReturn:
    """Give the test up for `reason`: in CI that is a failure."""
    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)
