"""OpenTelemetry: one span a commit, its steps as events. Off unless `EVERYCENT_TRACING` is set, and then not imported.

Spans go out over HTTP in the background, to where the standard variables say (`OTEL_EXPORTER_OTLP_ENDPOINT`, …). They
are for people who look at latency: where the collector is away, or the process is killed, some are missing.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition

from streams import __version__
from streams.engine import limits
from streams.engine.commit import CommitWork, OnStep, Step
from streams.errors import UserError
from streams.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span


class CommitTracer:
    """Makes the spans."""

    def __init__(self, settings: Settings, processor: "SpanProcessor") -> None:
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

        ours = Resource({"service.name": settings.app_id, "service.version": __version__})
        asked_for = OTELResourceDetector().detect()  # OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES: these count more
        resource = Resource.create().merge(ours).merge(asked_for)
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("everycent", __version__)
        self._open: dict[TopicPartition, Span] = {}

    @contextmanager
    def commit(self, work: CommitWork) -> Iterator[None]:
        """Around one commit. What it fails of is part of its span."""
        attributes: dict[str, Any] = {
            "topic": work.tp.topic,
            "partition": work.tp.partition,
            "first_offset": work.first_offset,
            "next_offset": work.next_offset,
            "records": work.records,
            "bytes": work.bytes,
        }
        from opentelemetry.trace import StatusCode  # noqa: PLC0415

        with self._tracer.start_as_current_span(
            "commit", attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            self._open[work.tp] = span
            try:
                yield
            except BaseException as error:  # a cancelled one, too, which OpenTelemetry itself would leave out
                span.record_exception(error)
                span.set_status(StatusCode.ERROR)
                raise
            finally:
                self._open.pop(work.tp, None)

    def after(self, on_step: OnStep) -> OnStep:
        """`on_step`, and after it the step as an event of the commit's span."""

        def add_event(step: Step, tp: TopicPartition) -> None:
            on_step(step, tp)
            span = self._open.get(tp)
            if span is not None:
                span.add_event(step.name.lower(), {"step": step.value})

        return add_event

    def close(self) -> None:
        """Send what is here, but not wait for long."""
        closing = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        closing.start()
        closing.join(limits.SPANS_FLUSH_TIMEOUT_S)


def open_tracer(settings: Settings) -> CommitTracer | None:
    """The tracer of a worker; None where tracing is off. Raises UserError where the package isn't there."""
    if not settings.tracing:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise UserError(
            f"EVERYCENT_TRACING is on, but OpenTelemetry isn't installed ({error}). "
            "Install it with `pip install 'everycent[otel]'`, or switch tracing off."
        ) from error
    return CommitTracer(settings, BatchSpanProcessor(OTLPSpanExporter()))
