"""A worker with other limits, to be seen in a test's time: NAME=NUMBER ..., NAME as in `streams.engine.limits.NAME`.

`freeze=PID` stops that process (SIGSTOP: the broker) when the first transaction of `orders` has begun.
"""

import asyncio
import importlib
import os
import signal
import sys

from aiokafka import TopicPartition

from streams.engine.commit import Step
from streams.errors import UserError
from streams.logs import configure_logs
from streams.settings import load_settings
from streams.worker import run_worker


def main() -> int:
    frozen = 0
    for argument in sys.argv[1:]:
        name, value = argument.split("=")
        if name == "freeze":
            frozen = int(value)
            continue
        module, attribute = name.rsplit(".", 1)
        assert hasattr(importlib.import_module(module), attribute)
        setattr(importlib.import_module(module), attribute, int(value) if value.isdigit() else float(value))

    def freeze(step: Step, tp: TopicPartition) -> None:
        if frozen and step is Step.BEGUN and tp.topic.endswith("orders"):
            os.kill(frozen, signal.SIGSTOP)

    settings = load_settings()
    configure_logs(settings)
    try:
        return asyncio.run(run_worker(settings, on_step=freeze))
    except UserError as error:
        print(f"everycent: {error}", file=sys.stderr)
        return int(error.exit_status)


if __name__ == "__main__":
    sys.exit(main())
