"""`everycent serve`."""

import asyncio
from typing import Annotated

import typer

from streams.logs import configure_logs
from streams.settings import load_settings


def serve(
    *,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on. By default EVERYCENT_SERVE_HOST, 127.0.0.1 if not set.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65_535, help="By default EVERYCENT_SERVE_PORT, 8080 if not set; 0: a free one."),
    ] = None,
) -> None:
    """Serve the page and the JSON API, read-only, until a signal.

    It reads all totals back first, and says on the page and in /api/v1/status how far it has got.

    Example: everycent serve --port 8080
    """
    from streams.serve.server import run_server  # noqa: PLC0415 - it brings aiohttp and aiokafka, other commands wait

    settings = load_settings(serve_host=host, serve_port=port)
    configure_logs(settings)
    asyncio.run(run_server(settings, lambda address: print(f"everycent serves at {address}", flush=True)))
