"""The Faust application that carries the stages: topics that Faust doesn't acknowledge, batches, assignment.

Faust gives the worker, the agents and their subscription, assignment and rebalancing. It commits nothing, keeps no
table and sends no record here: that is `streams.engine.task` and `streams.engine.commit`.
"""

from typing import Any

import faust
from faust.tables.manager import TableManager
from faust.types import TP
from yarl import URL

from streams.engine.batches import BatchSchedulingStrategy, BatchSchema
from streams.engine.runtime import Runtime
from streams.engine.transport import Transport
from streams.settings import Settings

BATCH_BUFFER = 4  # batches between Faust's fetch loop and an agent, which never waits


class NoTables(TableManager):  # type: ignore[misc]
    """Faust's table manager without the second that it waits at each start for tables that may yet be made."""

    async def on_start(self) -> None:
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()


class FolderlessApp(faust.App):  # type: ignore[misc]
    """Faust's app without the folders that it makes for tables where it stands, which may be a folder of anybody's."""

    def _create_directories(self) -> None:
        pass


def create_faust_app(settings: Settings, runtime: Runtime) -> faust.App:
    """A Faust app whose assignment, batches and end go to `runtime`. Agents are added by the caller."""
    servers = [URL(f"kafka://{server.strip()}") for server in settings.broker.split(",")]
    app = FolderlessApp(
        settings.app_id,
        broker=servers,
        ConsumerScheduler=BatchSchedulingStrategy,
        TableManager=NoTables,
        stream_buffer_maxsize=BATCH_BUFFER,
        broker_max_poll_records=None,
        broker_session_timeout=settings.session_timeout_ms / 1_000,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        autodiscover=False,
        reply_create_topic=False,
        worker_redirect_stdouts=False,
        # Faust's detectors watch its own acknowledging, which is off; the tasks watch their own progress.
        stream_processing_timeout=10 * 365 * 86_400.0,
    )
    transport = Transport(servers, app, settings=settings, wants=runtime.wants_records, fail=runtime.fail)
    app.transport = transport
    app.producer_transport = transport

    @app.on_partitions_assigned.connect
    async def assign(app: Any, assigned: set[TP], **_: Any) -> None:
        await runtime.assign(app.consumer, assigned, app.consumer_generation_id)

    @app.on_before_shutdown.connect
    async def finish(_app: Any, **_: Any) -> None:
        await runtime.finish()

    return app


def batches_of(app: faust.App, topic: str) -> Any:
    """`topic` as Faust's agents take it: in batches, never acknowledged by Faust."""
    return app.topic(topic, acks=False, schema=BatchSchema())
