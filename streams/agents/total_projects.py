"""The agent `totals`: partial sums in; running totals by project and calendar window out, absolute, upserted."""

from typing import Any

import faust

from streams.agents.totals_native import NativeTotalsProcessor
from streams.agents.totals_processor import TotalsProcessor
from streams.domain.windows import Calendar
from streams.engine.app import batches_of
from streams.engine.runtime import Runtime
from streams.engine.stage import Stage
from streams.native import is_used
from streams.settings import Settings


def totals_stage(settings: Settings, sources: int) -> Stage:
    """The stage that totals what projects receive; `sources` is the number of partitions of `orders`."""
    calendar = Calendar(settings.timezone)
    processor = NativeTotalsProcessor if is_used(settings.native) else TotalsProcessor
    return Stage(
        "totals",
        settings.topics.project_deltas,
        lambda partition: processor(settings, partition, calendar, sources),
    )


def add_totals_agent(app: faust.App, runtime: Runtime, settings: Settings) -> None:
    """The agent: batches of partial sums in, each handed to its partition's task."""

    @app.agent(batches_of(app, settings.topics.project_deltas), name="totals")
    async def totals(batches: Any) -> None:
        async for batch in batches:
            runtime.accept(batch)
