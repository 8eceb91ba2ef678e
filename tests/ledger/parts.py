"""What the ledger's tests share: donations, keys, a tree by its definition, a disk that loses what wasn't synced."""

import hashlib
import random
from pathlib import Path
from types import SimpleNamespace

from schemas.donation import Donation, encode_donation
from streams.ledger.leaf import Salts, entries_of
from streams.ledger.notes import SignerKey
from streams.ledger_service.files import Disk
from streams.ledger_service.keys import LastSigned
from streams.ledger_service.store import LogWriter

ORIGIN = "everycent.test/donations/0"
SALTS = Salts(bytes(range(32)))
SIGNER = SignerKey.from_seed(ORIGIN, b"\x07" * 32)


def donation(seq: int) -> Donation:
    order = str(1_400_000_000_000_000_000 + seq)
    return Donation(
        f"{order}:0", seq, order, 0, f"b{seq % 97}", "m20403", "i1", f"P{seq % 5:04d}", 2 + seq % 7,
        1_605_024_000_000 + seq, seq + 11,
    )  # fmt: skip


def records(start: int, end: int) -> list[SimpleNamespace]:
    return [SimpleNamespace(offset=seq, value=encode_donation(donation(seq))) for seq in range(start, end)]


def entries(start: int, end: int) -> list[bytes]:
    return entries_of(records(start, end), start, SALTS)


def root_by_definition(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = root_by_definition(leaves[:split]), root_by_definition(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def writer(folder: Path, disk: Disk | None = None, signers=(SIGNER,), origin: str = ORIGIN) -> LogWriter:
    """A log in `folder`/log whose keys' folder is `folder`/keys; without a disk it waits for none."""
    disk = disk or FaultyDisk()
    return LogWriter(folder / "log", origin, signers, LastSigned(folder / "keys", origin, disk), disk)


def publish(log: LogWriter):
    publication = log.prepare()
    assert publication is not None
    return log.write(publication)


class PowerCut(Exception):  # noqa: N818
    """The machine stopped."""


class FaultyDisk(Disk):
    """Stops at operation number `fail_at`, with a power cut or an error of the disk.

    After a power cut (`lose`) what wasn't synced may be as if it had never been: a file's bytes in part, a name's
    change, a new folder. Which of them are lost is drawn from `seed`.
    """

    def __init__(self, fail_at: int | None = None, *, error: bool = False, seed: int = 0) -> None:
        self.operations = 0
        self._fail_at = fail_at
        self._error = error
        self._chance = random.Random(seed)
        self._unsynced_files: dict[Path, bytes] = {}
        self._unsynced_names: list[tuple[Path, Path, bytes | None]] = []

    def _count(self) -> None:
        if self.operations == self._fail_at:
            raise OSError(5, "Input/output error") if self._error else PowerCut
        self.operations += 1

    def make_folder(self, path):
        self._count()
        super().make_folder(path)

    def write(self, path, data, mode):
        if self.operations == self._fail_at:  # half of it has arrived
            super().write(path, data[: len(data) // 2], mode)
        self._count()
        super().write(path, data, mode)
        self._unsynced_files[path] = data

    def sync_all(self, paths):
        for path in paths:
            self.sync(path)

    def sync(self, path):
        self._count()  # the real disk isn't troubled: `lose` knows what it would have kept
        self._unsynced_files.pop(path, None)
        self._unsynced_names = [each for each in self._unsynced_names if each[1].parent != path]

    def rename(self, source, target):
        self._count()
        before = target.read_bytes() if target.exists() else None
        assert source not in self._unsynced_files, "renamed before its bytes were safe"
        super().rename(source, target)
        self._unsynced_names.append((source, target, before))

    def remove(self, path):
        self._count()
        super().remove(path)

    def lose(self) -> None:
        for path, data in self._unsynced_files.items():
            if path.exists() and self._chance.random() < 0.7:
                path.write_bytes(data[: self._chance.randrange(len(data) + 1)])
        for _, target, before in reversed(self._unsynced_names):
            if self._chance.random() < 0.5:
                if before is None:
                    target.unlink(missing_ok=True)
                else:
                    target.write_bytes(before)


def published_log(folder, size: int) -> LogWriter:
    """A log of so many leaves in this folder, all under its checkpoint."""
    opened = writer(folder)
    opened.open()
    opened.append(entries(0, size))
    publish(opened)
    return opened
