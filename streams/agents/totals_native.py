"""One partition of `project-deltas`, folded by the Rust extension: the same bytes out as `TotalsProcessor`."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from schemas.records import LogRecord
from schemas.totals import WindowKind
from streams.agents.foreign import only_ours
from streams.agents.natively import fold_natively, restore_natively
from streams.agents.totals_processor import TotalsPartition, read_delta, read_position, read_total, read_watermark
from streams.domain.totals import beyond_64_bits
from streams.domain.watermark import Watermarks
from streams.domain.windows import Calendar
from streams.engine import limits
from streams.engine.packed import finished
from streams.engine.stage import Log, Output
from streams.metrics import LATE_DONATIONS, RELEASED_DONATIONS, Figures
from streams.native import extension
from streams.settings import Settings

KINDS = tuple(WindowKind)


class NativeTotalsProcessor(TotalsPartition):
    """The same as `TotalsProcessor`, from packed records to finished batches. The calendar and watermarks are its."""

    commit_max_records = limits.COMMIT_MAX_RECORDS_PACKED

    def __init__(self, settings: Settings, partition: int, calendar: Calendar, sources: int) -> None:
        super().__init__(settings, partition, sources)
        self._calendar = calendar
        self._watermarks = Watermarks(sources)
        self._totals = extension.Totals(
            limits.OUTGOING_BATCH_BYTES,
            limits.ZSTD_LEVEL,
            [self._retention_ms.get(kind) for kind in KINDS],
            calendar.windows_at,
            lambda kind, start_ms: calendar.window_from_start(WindowKind(kind), start_ms),
            # Nothing that knows this object: the collector doesn't see into the extension, so neither would ever go.
            partial(_advance, self._watermarks, settings.topics.orders, sources, self._oldest_orders_ms),
        )

    async def restore(self, log: Log, metadata: str) -> int | None:
        """Read the newest total of every key, and the sources' watermarks from the offset's metadata."""
        totals = self._totals
        async for batch in log.read(self._topic, self._partition):
            with only_ours(self._topic, self._partition, batch, read_total):
                await restore_natively(totals, batch)
        last = await log.last_record(self._topic, self._partition)
        position = None
        if last is not None:
            with only_ours(self._topic, self._partition, [last], read_total):
                position = read_position(last)
        self._watermarks.raise_to(totals.watermark_ms)
        self._watermarks.restore(metadata)
        totals.finish_restore(self._watermarks.current_ms)
        return position

    def fold(self, records: Sequence[LogRecord]) -> None:
        with self._within_64_bits(), only_ours(self._deltas, self._partition, records, read_delta):
            fold_natively(self._totals, records)

    def take_output(self, position: int) -> Output:
        output = Output(metadata=self._metadata(self._watermarks))
        with self._within_64_bits():
            batches = self._totals.take_totals(time.time_ns() // 1_000_000, position)
        if batches:
            output.batches[self._topic, self._partition] = finished(batches)
        late, released = self._totals.take_counts()
        output.counts = {(LATE_DONATIONS,): late, (RELEASED_DONATIONS,): released}
        output.began_ms = self._began_ms()
        return output

    def levels(self) -> Figures:
        return self._levels(self._watermarks.current_ms, dict(zip(KINDS, self._totals.sizes(), strict=True)))

    @contextmanager
    def _within_64_bits(self) -> Iterator[None]:
        try:
            yield
        except OverflowError as error:
            project_id, kind, start_ms, fen = error.args
            window = self._calendar.window_from_start(KINDS[kind], start_ms)
            self._refuse(beyond_64_bits(project_id, window, fen), error)


def _advance(
    watermarks: Watermarks, orders: str, sources: int, oldest_orders_ms: list[int], value: bytes
) -> int | None:
    """Take in a source's watermark; the common one, if it rose."""
    mark = read_watermark(value, orders, sources, oldest_orders_ms)
    rose = watermarks.advance(mark.source, mark.watermark_ms, idle=mark.idle)
    return watermarks.current_ms if rose else None
