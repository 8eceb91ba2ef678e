"""What a figure was measured on: without it the figure says nothing."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from streams.engine.broker_runtime import KAFKA_VERSION

REPOSITORY = Path(__file__).parents[2]
LIBRARIES = ("faust-streaming", "aiokafka", "cramjam", "msgspec", "orjson", "numpy")


def facts(*, embedded_broker: bool) -> dict[str, Any]:
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "memory_mb": psutil.virtual_memory().total // 1_000_000,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": {name: version(name) for name in LIBRARIES},
        "kafka": f"{KAFKA_VERSION}, embedded, on this machine" if embedded_broker else "of EVERYCENT_BROKER",
        "load_average": load_average(),
        "commit": commit(),
    }


def load_average() -> list[float]:
    """Over 1, 5 and 15 minutes: what else ran here."""
    return [round(value, 2) for value in os.getloadavg()]


def cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or "unknown"


def commit() -> str | None:
    """The commit that was measured, `+` where files differ from it; None outside a repository."""
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
