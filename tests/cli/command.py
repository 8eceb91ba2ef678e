"""A command as a process, as a person runs it."""

import os
import subprocess
import sys


def run(*arguments: str | bytes, timeout_s: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
    """With no setting of ours but those of `environment`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("EVERYCENT_")}
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", *arguments],
        env={**inherited, "EVERYCENT_METRICS_PORT": "0", **environment},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
