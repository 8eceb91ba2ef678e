"""One partition of `project-deltas`: what `totals` restores, folds and writes. In Python, the extension's reference.

Its state stands in `project-totals`; each total carries the input offset that it is good up to. What the sources'
watermarks were is kept with the committed offset; should that be lost, the sources tell it again when they start.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from msgspec import UNSET

from schemas.delta import SourceWatermark, decode_delta, decode_watermark
from schemas.records import LogRecord
from schemas.totals import POSITION_HEADER, WindowKind, decode_total, decode_total_key, encode_total, key_of
from schemas.units import HOUR_MS
from streams.agents.foreign import only_ours
from streams.domain.totals import TotalsState
from streams.domain.watermark import Watermarks
from streams.domain.windows import Calendar
from streams.engine import limits
from streams.engine.stage import Log, Outgoing, Output
from streams.errors import ExitStatus, UserError, partitions_added
from streams.metrics import (
    LATE_DONATIONS,
    ORDER_TO_TOTAL_SECONDS,
    RELEASED_DONATIONS,
    TABLE_ENTRIES,
    WATERMARK_DELAY_SECONDS,
    Figures,
    Metric,
)
from streams.settings import Settings

METADATA_MAX_BYTES = 4_000  # Kafka's own limit for what is kept with an offset is 4,096


class TotalsPartition:
    """What both ways to fold have in common: retention, what goes with the offset, and the end of 64 bits."""

    def __init__(self, settings: Settings, partition: int, sources: int) -> None:
        self._topic = settings.topics.project_totals
        self._deltas = settings.topics.project_deltas
        self._orders = settings.topics.orders
        self._sources = sources
        self._partition = partition
        self._oldest_orders_ms: list[int] = []  # since the last commit, one for each commit of split
        self._retention_ms = {
            WindowKind.MINUTE: settings.minute_retention_hours * HOUR_MS,
            WindowKind.HOUR: settings.hour_retention_hours * HOUR_MS,
        }

    def fold_idle(self) -> bool:
        return False

    def _began_ms(self) -> Sequence[tuple[Metric, int]]:
        """Since when the orders behind the sums of this commit have waited."""
        oldest_orders_ms, self._oldest_orders_ms[:] = list(self._oldest_orders_ms), ()
        return [(ORDER_TO_TOTAL_SECONDS, ms) for ms in oldest_orders_ms]

    @staticmethod
    def _levels(watermark_ms: int, sizes: Mapping[WindowKind, int]) -> Figures:
        watermark: Figures = {(WATERMARK_DELAY_SECONDS,): watermark_ms} if watermark_ms else {}
        return {**watermark, **{(TABLE_ENTRIES, kind): size for kind, size in sizes.items()}}

    def _metadata(self, watermarks: Watermarks) -> str:
        text = watermarks.encode()
        return text if len(text) <= METADATA_MAX_BYTES else ""

    def _refuse(self, what: str, error: OverflowError) -> NoReturn:
        """To go on with another figure would be a lie, and to leave the project out would lose what it is given."""
        raise UserError(
            f"{what}. Such sums come of orders with impossible amounts. The totals of {self._topic}-"
            f"{self._partition} stand where they are; donations go on, and none is lost. To have totals again, "
            "send the orders anew without those, with another EVERYCENT_APP_ID and EVERYCENT_TOPIC_PREFIX.",
            ExitStatus.FAILED,
        ) from error


def read_watermark(value: bytes, orders: str, sources: int, oldest_orders_ms: list[int]) -> SourceWatermark:
    """A source's watermark; what it says of the age of orders goes to `oldest_orders_ms`.

    Raises UserError if the topic `orders` has more partitions than `sources`.
    """
    mark = decode_watermark(value)
    if mark.oldest_order_ms is not UNSET:
        oldest_orders_ms.append(mark.oldest_order_ms)
    if mark.source >= sources:
        raise partitions_added(orders, mark.source, sources)
    return mark


def read_delta(record: LogRecord) -> object:
    """A record of `project-deltas`. Raises an error of its decoding where it is none."""
    value = record.value or b""
    return decode_watermark(value) if record.key is None else (record.key.decode(), decode_delta(value))


def read_total(record: Any) -> object:
    """A record of `project-totals`, likewise."""
    read_position(record)
    return decode_total_key(record.key or b"") if record.value is None else decode_total(record.value)


def read_position(record: Any) -> int:
    """The input position that a record of `project-totals` says. Raises ValueError if it says none."""
    value = dict(record.headers).get(POSITION_HEADER)
    if value is None or not value.isdigit():
        raise ValueError(f"no header {POSITION_HEADER!r} with a position")
    return int(value)


class TotalsProcessor(TotalsPartition):
    """The reference."""

    commit_max_records = limits.COMMIT_MAX_RECORDS

    def __init__(self, settings: Settings, partition: int, calendar: Calendar, sources: int) -> None:
        super().__init__(settings, partition, sources)
        self._state = TotalsState(calendar, sources, self._retention_ms)

    async def restore(self, log: Log, metadata: str) -> int | None:
        """Read the newest total of every key, and the sources' watermarks from the offset's metadata."""
        position: int | None = None
        state = self._state
        async for batch in log.read(self._topic, self._partition):
            with only_ours(self._topic, self._partition, batch, read_total):
                for record in batch:
                    if record.value is None:
                        state.forget(decode_total_key(record.key or b""))
                    else:
                        state.restore(decode_total(record.value))
                position = max(position or 0, read_position(batch[-1]))
        state.watermarks.restore(metadata)
        state.finish_restore()
        return position

    def fold(self, records: Sequence[LogRecord]) -> None:
        state = self._state
        with only_ours(self._deltas, self._partition, records, read_delta):
            for record in records:
                value = record.value or b""
                if record.key is None:
                    state.advance(read_watermark(value, self._orders, self._sources, self._oldest_orders_ms))
                else:
                    state.add_delta(record.key.decode(), decode_delta(value))

    def take_output(self, position: int) -> Output:
        outcome = self._state.take_outcome()
        headers = [(POSITION_HEADER, b"%d" % position)]
        try:
            records: list[Outgoing] = [
                (key_of(total).encode(), encode_total(total), None, headers) for total in outcome.totals
            ]
        except OverflowError as error:
            self._refuse(str(error), error)
        records += [(key.encode(), None, None, headers) for key in outcome.tombstones]
        output = Output(metadata=self._metadata(self._state.watermarks))
        if records:
            output.records[self._topic, self._partition] = records
        output.counts = {
            (LATE_DONATIONS,): outcome.late_donations,
            (RELEASED_DONATIONS,): outcome.released_donations,
        }
        output.began_ms = self._began_ms()
        return output

    def levels(self) -> Figures:
        return self._levels(self._state.watermarks.current_ms, self._state.table_sizes())
