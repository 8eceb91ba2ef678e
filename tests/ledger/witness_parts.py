"""What the witnesses' tests share: logs that grow and logs that lie, and a witness with a clock of the test's."""

import shutil
from contextlib import asynccontextmanager
from pathlib import Path

from streams.ledger.leaf import decode_leaf, encode_leaf
from streams.ledger.notes import KeyType, Note, SignerKey
from streams.ledger_service.remote import Remote
from streams.ledger_service.witness import Watch, WatchedLog, Witness
from streams.ledger_service.witness_store import WitnessStore, published_path
from tests.ledger.parts import ORIGIN, SIGNER, FaultyDisk, entries, publish, writer

NOW_S = 1_790_000_000
STALE_S = 300
W1 = SignerKey.from_seed("charity.test/witness", b"\x41" * 32, KeyType.COSIGNATURE)
W2 = SignerKey.from_seed("newspaper.test/w", b"\x42" * 32, KeyType.COSIGNATURE)


def changed(leaves: list[bytes], at: int) -> list[bytes]:
    """The same leaves but for one, which is well formed."""
    leaf = decode_leaf(leaves[at])
    fields = {name: getattr(leaf, name) for name in leaf.__struct_fields__}
    return [*leaves[:at], encode_leaf(type(leaf)(**{**fields, "fen": leaf.fen + 1})), *leaves[at + 1 :]]


class GrowingLog:
    """A log in a folder; `lie_at`: a leaf that it has otherwise than the honest one."""

    def __init__(self, folder: Path, lie_at: int | None = None, signer: SignerKey = SIGNER) -> None:
        self.writer = writer(folder, signers=[signer])
        self.writer.open()
        self.folder = self.writer.folder
        self._lie_at = lie_at

    def grow(self, to: int) -> "GrowingLog":
        leaves = entries(0, to)
        if self._lie_at is not None and self._lie_at < to:
            leaves = changed(leaves, self._lie_at)
        self.writer.append(leaves[self.writer.size :])
        publish(self.writer)
        return self

    def take_place_of(self, other: "GrowingLog") -> None:
        """From now on this one's files lie where the other's did."""
        shutil.rmtree(other.folder)
        shutil.copytree(self.folder, other.folder)


class Bench:
    """One witness of the log at `address`. Its clock stands until it's moved."""

    def __init__(self, folder: Path, address: object, remote: Remote, signer: SignerKey, **more) -> None:
        self.now_s = NOW_S
        self.folder, self.public = folder / "private", folder / "public"
        self._signer = signer
        self._remote = remote
        keys = more.pop("keys", (SIGNER.verifier,))
        self.log = WatchedLog(ORIGIN, str(address), keys)
        self._watch = Watch([self.log], more.pop("stale_s", STALE_S), [str(each) for each in more.pop("peers", ())])
        self.restart(**more)

    def restart(self, disk=None) -> None:
        self.store = WitnessStore(self.folder, self.public, self._signer, disk or FaultyDisk())
        self.store.open()
        self.witness = Witness(self.store, self._watch, self._remote, lambda: self.now_s)

    async def look(self, later_s: int = 10):
        self.now_s += later_s
        return (await self.witness.look())[ORIGIN]

    @property
    def size(self) -> int:
        return self.witness.standings[ORIGIN].size

    def evidence(self) -> list[Path]:
        return sorted((self.folder / "evidence").glob("*.json"))


def published(witness: Bench) -> Note:
    """The newest checkpoint that it has cosigned, as the world sees it."""
    return Note.parse((witness.public / published_path(ORIGIN)).read_bytes())


@asynccontextmanager
async def bench(folder: Path, address: object, signer: SignerKey = W1, **more):
    async with Remote() as remote:
        yield Bench(folder, address, remote, signer, **more)
