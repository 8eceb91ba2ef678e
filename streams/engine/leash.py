"""Processes that never outlive this one, however it ends: kill -9 included. On every system with a /bin/sh.

The members form a process group of their own, so Ctrl-C in the terminal reaches only us, and we end them in order. The
group's first member waits at the end of a pipe that we alone hold open. When it closes without a word, we have died,
and the whole group is killed. A child holds the pipe too until it has joined the group, so there is no moment at which
our death could leave one behind; and a group's number is not given to others while its first member lives.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

_WATCHER = "read -r _ || kill -KILL 0"  # 0: its own process group


class Leash:
    """Starts processes and holds them. `release` it when they have ended, or `kill` what is left."""

    def __init__(self) -> None:
        self._watcher = subprocess.Popen(  # noqa: S603 - our own words
            ["/bin/sh", "-c", _WATCHER],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )

    def spawn(
        self,
        command: Sequence[str],
        log: IO[bytes],
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        inherited_files: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Start `command`, all of its output to `log`; by default in our environment and folder."""
        return subprocess.Popen(  # noqa: S603 - our own words
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            cwd=folder,
            pass_fds=inherited_files,
            process_group=self._watcher.pid,
        )

    def release(self) -> None:
        """Watch no longer: whoever is still in the group is left alone."""
        self._watcher.communicate(b"\n")

    def kill(self) -> None:
        """End every member with kill -9."""
        if self._watcher.poll() is None:
            os.killpg(self._watcher.pid, signal.SIGKILL)
        self._watcher.communicate()
