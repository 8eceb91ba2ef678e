"""A worker as `everycent worker` runs it, whose metrics only this machine can ask for."""

import asyncio

from streams.logs import configure_logs
from streams.settings import load_settings
from streams.worker import run_worker


def main() -> None:
    settings = load_settings()
    configure_logs(settings)
    asyncio.run(run_worker(settings, metrics_address="127.0.0.1"))


if __name__ == "__main__":
    main()
