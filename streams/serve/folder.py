"""The temporary folder of a server's index, and the end of those that killed servers have left.

Nothing in it is to survive, but a server that is killed, or that its watchdog ends, can't remove it; each restart would
leave an index of the same size more on the disk. So a server holds a lock on its own folder, and whoever starts removes
those that nobody holds.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from streams.errors import UserError

PREFIX = "everycent-serve-"
YOUNG_S = 60.0  # a folder that was made just now may not be locked yet


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Such a folder for as long as the block lasts. Raises UserError."""
    with ExitStack() as stack:
        try:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=PREFIX)))
            handle = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, handle)
            with suppress(OSError):  # a file system that has no locks: then nobody can take it for one that was left
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            message = f"no folder for the index ({error.strerror}): TMPDIR must name one that can be written"
            raise UserError(message) from error
        _remove_left(folder.parent)
        yield folder


def _remove_left(parent: Path) -> None:
    """What can't be removed, or is another user's, stays."""
    for folder in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            found = folder.lstat()
            if found.st_uid != os.geteuid() or time.time() - found.st_mtime < YOUNG_S:
                continue
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
            finally:
                os.close(handle)
