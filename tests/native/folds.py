"""The same fold in Rust and in Python, side by side: each step is done by both, each commit compared to the byte."""

import random
from collections.abc import Sequence
from typing import Any

from schemas.donation import decode_donation
from streams.agents.split_native import NativeSplitProcessor
from streams.agents.split_processor import SplitProcessor
from streams.agents.totals_native import NativeTotalsProcessor
from streams.agents.totals_processor import TotalsProcessor
from streams.domain.windows import Calendar
from streams.engine.packed import PackedRecords
from streams.engine.stage import Outgoing, Output
from streams.metrics import DONATED_FEN, DONATIONS, LATE_DONATIONS, ORDERS, RELEASED_DONATIONS
from streams.settings import Settings
from tests.native.batches import CODECS, ORDERS_0, pack, written
from tests.native.logs import FakeLog

TOTALS_PARTITIONS = 3
Commit = dict[tuple[str, int], list[Outgoing]]


def any_form(records: Sequence[Any], rng: random.Random) -> Sequence[Any]:
    """`records` (never none) in one of the forms in which a fold may get them."""
    if rng.random() < 0.25:
        return records
    codec = rng.choice([*CODECS, "none", "zstd", "zstd", "zstd"])
    data = pack(records, codec, rng.choice([1, 7, 1_000]) if len(records) < 100 else 1_000)
    if rng.random() < 0.2:
        data += data[: rng.randrange(61)]  # of a next batch no more than its header
    return PackedRecords(ORDERS_0, data, [], records[0].offset)


class SplitPair:
    """One partition of `orders`, folded twice."""

    def __init__(self, settings: Settings, piece_records: int = 1_000, *, finds_early: bool = False) -> None:
        self._settings = settings
        self._donations = settings.topics.donations
        self.of_python, self.of_native = (FakeLog(piece_records, finds_early=finds_early) for _ in range(2))
        self.commits: list[Commit] = []
        self.counts = dict.fromkeys(("accepted", "no_pledge", "repeat"), 0)
        self._open()

    def _open(self) -> None:
        self.python = SplitProcessor(self._settings, 0, TOTALS_PARTITIONS)
        self.native = NativeSplitProcessor(self._settings, 0, TOTALS_PARTITIONS)

    def fold(self, records: Sequence[Any], form: Sequence[Any] | None = None) -> None:
        """`form` holds the same records for Rust."""
        self.python.fold(list(records))
        self.native.fold(records if form is None else form)

    def fold_idle(self) -> None:
        assert self.python.fold_idle() == self.native.fold_idle()

    def commit(self) -> Commit:
        outputs = [self.python.take_output(0), self.native.take_output(0)]
        assert outputs[0].counts == outputs[1].counts
        for (metric, *labels), count in outputs[1].counts.items():
            if metric is ORDERS and labels[0] in self.counts:
                self.counts[labels[0]] += count
        expected, found = (written(output) for output in outputs)
        donations = [decode_donation(value) for _, value, *_ in expected.get((self._donations, 0), [])]
        assert outputs[1].counts[DONATIONS,] == len(donations)
        assert outputs[1].counts[DONATED_FEN,] == sum(donation.fen for donation in donations)
        self.compare(expected, found)
        self.of_python.write(expected)
        self.of_native.write(found)
        self.commits.append(found)
        return found

    def compare(self, expected: Commit, found: Commit) -> None:
        donations = (self._donations, 0)
        assert found.get(donations) == expected.get(donations)
        assert without_times(found) == without_times(expected)

    async def restart(self, *, crossed: bool) -> int | None:
        """As after a crash: each reads back its own log, or the other's."""
        self._open()
        logs = (self.of_native, self.of_python) if crossed else (self.of_python, self.of_native)
        positions = [await self.python.restore(logs[0], ""), await self.native.restore(logs[1], "")]
        assert positions[0] == positions[1]
        assert self.native._splitter.clock_ms == self.python._state.memory.clock_ms
        return positions[0]


class TotalsPair:
    """One partition of `project-deltas`, folded twice."""

    def __init__(self, settings: Settings, sources: int) -> None:
        self._settings, self._sources = settings, sources
        self._topic = settings.topics.project_totals
        self.of_python, self.of_native = FakeLog(), FakeLog()
        self.metadata = ""
        self.tombstones = self.late_donations = self.released_donations = 0
        self._ordered = True
        self._open()

    def _open(self) -> None:
        calendar = Calendar(self._settings.timezone)
        self.python = TotalsProcessor(self._settings, 0, calendar, self._sources)
        self.native = NativeTotalsProcessor(self._settings, 0, calendar, self._sources)

    def fold(self, records: Sequence[Any], form: Sequence[Any] | None = None) -> None:
        self.python.fold(list(records))
        self.native.fold(records if form is None else form)

    def commit(self, position: int) -> list[Outgoing]:
        outputs: list[Output] = [self.python.take_output(position), self.native.take_output(position)]
        assert outputs[0].counts == outputs[1].counts
        assert outputs[0].began_ms == outputs[1].began_ms
        assert self.python.levels() == self.native.levels()
        self.late_donations += outputs[1].counts[LATE_DONATIONS,]
        self.released_donations += outputs[1].counts[RELEASED_DONATIONS,]
        assert outputs[0].metadata == outputs[1].metadata
        self.metadata = outputs[0].metadata
        commits = [written(output) for output in outputs]
        expected, found = (without_times(commit) for commit in commits)
        if not self._ordered:
            # What took back a tombstone may publish the rest of that window in another order; a key's own order stands.
            expected, found = by_key(expected), by_key(found)
        assert found == expected
        self.of_python.write(commits[0])
        self.of_native.write(commits[1])
        records = commits[1].get((self._topic, 0), [])
        self.tombstones += sum(value is None for _, value, *_ in records)
        return records

    async def restart(self, *, crossed: bool, metadata: bool) -> int | None:
        self._open()
        self._ordered = self._ordered and not self.tombstones
        text = self.metadata if metadata else ""
        logs = (self.of_native, self.of_python) if crossed else (self.of_python, self.of_native)
        positions = [await self.python.restore(logs[0], text), await self.native.restore(logs[1], text)]
        assert positions[0] == positions[1]
        return positions[0]


async def fold_split_anyhow(records: Sequence[Any], rng: random.Random, sizes: Sequence[int], pair: SplitPair) -> None:
    """Fold, commit and restart by chance. A restart comes after a commit: what isn't committed is folded again."""
    at = committed = 0
    while committed < len(records):
        piece = records[at : at + rng.choice(sizes)]
        if piece:
            pair.fold(piece, any_form(piece, rng))
            at += len(piece)
        chance = rng.random()
        if at == len(records) or chance < 0.3:
            pair.commit()
            committed = at
        elif chance < 0.4:
            await pair.restart(crossed=rng.random() < 0.5)
            at = committed
        elif chance < 0.5:
            pair.fold_idle()


async def fold_totals_anyhow(records: Sequence[Any], rng: random.Random, pair: TotalsPair) -> None:
    at = committed = 0
    while committed < len(records):
        piece = records[at : at + rng.choice([1, 2, 5, 30])]
        if piece:
            pair.fold(piece, any_form(piece, rng))
            at += len(piece)
        if at == len(records) or rng.random() < 0.4:
            pair.commit(at)
            committed = at
        if rng.random() < 0.2:
            position = await pair.restart(crossed=rng.random() < 0.5, metadata=rng.random() < 0.6)
            assert (position or 0) <= committed  # what gave nothing left no trace
            at = committed


def without_times(commit: Commit) -> Any:
    """Keys, values and headers: all but the time of writing."""
    return {to: [(key, value, headers) for key, value, _, headers in records] for to, records in commit.items()}


def by_key(commit: Any) -> Any:
    return {to: sorted(records, key=lambda record: record[0] or b"") for to, records in commit.items()}
