"""The agent `split`: orders in; donations, refused orders, and partial sums for `totals` out, in one commit."""

from typing import TYPE_CHECKING, Any

import faust

from streams.agents.split_native import NativeSplitProcessor
from streams.engine.app import batches_of
from streams.engine.runtime import Runtime
from streams.engine.stage import Stage
from streams.native import is_used
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.agents.split_processor import SplitProcessor


def split_stage(settings: Settings, totals_partitions: int) -> Stage:
    """The stage that splits orders."""
    processor = NativeSplitProcessor if is_used(settings.native) else _reference()
    return Stage(
        "split",
        settings.topics.orders,
        lambda partition: processor(settings, partition, totals_partitions),
    )


def _reference() -> "type[SplitProcessor]":
    """Loaded where it is used: numpy, which it needs, takes a tenth of a second and 10 MB."""
    from streams.agents.split_processor import SplitProcessor  # noqa: PLC0415

    return SplitProcessor


def add_split_agent(app: faust.App, runtime: Runtime, settings: Settings) -> None:
    """The agent: batches of orders in, each handed to its partition's task."""

    @app.agent(batches_of(app, settings.topics.orders), name="split")
    async def split(batches: Any) -> None:
        async for batch in batches:
            runtime.accept(batch)
