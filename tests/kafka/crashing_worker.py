"""A worker that kills itself, as kill -9 would, at a step of a commit: STEP TOPIC NUMBER_OF_THE_COMMIT.

Where it has a port for metrics, the last thing that it writes is what a scrape says then.
"""

import asyncio
import os
import signal
import sys
import urllib.request

from aiokafka import TopicPartition

from streams.engine.commit import Step
from streams.logs import configure_logs
from streams.settings import load_settings
from streams.worker import run_worker


def main() -> None:
    step, topic, commits = Step[sys.argv[1]], sys.argv[2], int(sys.argv[3])
    settings = load_settings()
    configure_logs(settings)
    seen = 0

    def crash(reached: Step, tp: TopicPartition) -> None:
        nonlocal seen
        if reached is step and tp.topic.endswith(topic):
            seen += 1
            if seen == commits:
                if settings.metrics_port:
                    with urllib.request.urlopen(f"http://127.0.0.1:{settings.metrics_port}/metrics") as answer:
                        print(answer.read().decode(), flush=True)
                os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(run_worker(settings, on_step=crash, metrics_address="127.0.0.1"))


if __name__ == "__main__":
    main()
