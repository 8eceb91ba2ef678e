"""A worker whose event loop stands from its first commit of `orders` on, for as long as the file PATH is there."""

import asyncio
import sys
import time
from pathlib import Path

from aiokafka import TopicPartition

from streams.engine.commit import Step
from streams.logs import configure_logs
from streams.settings import load_settings
from streams.worker import run_worker


def main() -> None:
    path = Path(sys.argv[1])
    settings = load_settings()
    configure_logs(settings)

    def block(step: Step, tp: TopicPartition) -> None:
        while step is Step.FOLDED and tp.topic.endswith("orders") and path.exists():
            time.sleep(0.05)

    asyncio.run(run_worker(settings, on_step=block, metrics_address="127.0.0.1"))


if __name__ == "__main__":
    main()
