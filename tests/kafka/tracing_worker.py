"""A worker whose spans go to a file instead of a collector, one JSON object a line: FILE."""

import asyncio
import sys
from pathlib import Path

from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import streams.worker
from streams.engine.tracing import CommitTracer
from streams.logs import configure_logs
from streams.settings import Settings, load_settings


def main() -> None:
    exporter = InMemorySpanExporter()

    def open_tracer(settings: Settings) -> CommitTracer:
        return CommitTracer(settings, SimpleSpanProcessor(exporter))

    streams.worker.open_tracer = open_tracer
    settings = load_settings()
    configure_logs(settings)
    try:
        asyncio.run(streams.worker.run_worker(settings))
    finally:
        spans = [span.to_json(indent=None) for span in exporter.get_finished_spans()]
        Path(sys.argv[1]).write_text("\n".join(spans), encoding="utf-8")


if __name__ == "__main__":
    main()
