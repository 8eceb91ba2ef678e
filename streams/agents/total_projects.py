"""The agent `totals`: partial sums in; running totals by project and calendar window out, absolute, upserted.

Its state stands in `project-totals`; each total carries the input offset that it is good up to. What the sources'
watermarks were is kept with the committed offset; should that be lost, the sources tell it again when they start.
"""

from collections.abc import Sequence
from typing import Any

import faust

from schemas.delta import decode_delta, decode_watermark
from schemas.records import LogRecord
from schemas.totals import POSITION_HEADER, WindowKind, decode_total, decode_total_key, encode_total, key_of
from schemas.units import HOUR_MS
from streams.domain.totals import TotalsState
from streams.domain.windows import Calendar
from streams.engine.app import batches_of
from streams.engine.runtime import Runtime
from streams.engine.stage import Log, Outgoing, Output, Stage
from streams.errors import ExitStatus, UserError
from streams.settings import Settings

METADATA_MAX_BYTES = 4_000  # Kafka's own limit for what is kept with an offset is 4,096


class TotalsProcessor:
    """One partition of `project-deltas`."""

    def __init__(self, settings: Settings, partition: int, calendar: Calendar, sources: int) -> None:
        self._topic = settings.topics.project_totals
        self._partition = partition
        retention_ms = {
            WindowKind.MINUTE: settings.minute_retention_hours * HOUR_MS,
            WindowKind.HOUR: settings.hour_retention_hours * HOUR_MS,
        }
        self._state = TotalsState(calendar, sources, retention_ms)

    async def restore(self, log: Log, metadata: str) -> int | None:
        """Read the newest total of every key, and the sources' watermarks from the offset's metadata."""
        position: int | None = None
        state = self._state
        async for batch in log.read(self._topic, self._partition):
            for record in batch:
                if record.value is None:
                    state.forget(decode_total_key(record.key))
                else:
                    state.restore(decode_total(record.value))
            position = max(position or 0, int(dict(batch[-1].headers)[POSITION_HEADER]))
        state.watermarks.restore(metadata)
        state.finish_restore()
        return position

    def fold(self, records: Sequence[LogRecord]) -> None:
        state = self._state
        for record in records:
            value = record.value or b""
            if record.key is None:
                state.advance(decode_watermark(value))
            else:
                state.add_delta(record.key.decode(), decode_delta(value))

    def fold_idle(self) -> bool:
        return False

    def take_output(self, position: int) -> Output:
        outcome = self._state.take_outcome()
        headers = [(POSITION_HEADER, b"%d" % position)]
        try:
            records: list[Outgoing] = [
                (key_of(total).encode(), encode_total(total), None, headers) for total in outcome.totals
            ]
        except OverflowError as error:
            # To go on with another figure would be a lie, and to leave the project out would lose what it is given.
            raise UserError(
                f"{error}. Such sums come of orders with impossible amounts. The totals of {self._topic}-"
                f"{self._partition} stand where they are; donations go on, and none is lost. To have totals again, "
                "send the orders anew without those, with another EVERYCENT_APP_ID and EVERYCENT_TOPIC_PREFIX.",
                ExitStatus.FAILED,
            ) from error
        records += [(key.encode(), None, None, headers) for key in outcome.tombstones]
        metadata = self._state.watermarks.encode()
        output = Output(metadata=metadata if len(metadata) <= METADATA_MAX_BYTES else "")
        if records:
            output.records[self._topic, self._partition] = records
        return output


def totals_stage(settings: Settings, sources: int) -> Stage:
    """The stage that totals what projects receive; `sources` is the number of partitions of `orders`."""
    calendar = Calendar(settings.timezone)
    return Stage(
        "totals",
        settings.topics.project_deltas,
        lambda partition: TotalsProcessor(settings, partition, calendar, sources),
    )


def add_totals_agent(app: faust.App, runtime: Runtime, settings: Settings) -> None:
    """The agent: batches of partial sums in, each handed to its partition's task."""

    @app.agent(batches_of(app, settings.topics.project_deltas), name="totals")
    async def totals(batches: Any) -> None:
        async for batch in batches:
            runtime.accept(batch)
