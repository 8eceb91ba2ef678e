"""`everycent broker`."""

import signal
import time
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from streams.errors import ExitStatus, UserError

DEFAULT_DATA = Path(".everycent/broker")
DEFAULT_PORT = 9092  # where every other command looks, unless EVERYCENT_BROKER says otherwise
_LOOK_INTERVAL_S = 0.5


def broker(
    *,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65_535, help=f"By default the one of last time, {DEFAULT_PORT}, or a free one."),
    ] = None,
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of its topics, offsets and log; it is there again next time.")
    ] = DEFAULT_DATA,
) -> None:
    """Run a real Apache Kafka on this machine, without Docker or Java, until a signal.

    For development and trials: one broker, reachable from this machine only. The first start fetches it.

    Example: everycent broker --port 9092 --data ~/everycent-data
    """
    from streams.engine.broker_runtime import KAFKA_VERSION  # noqa: PLC0415 - it brings aiokafka, other commands wait
    from streams.engine.embedded_broker import EmbeddedBroker  # noqa: PLC0415

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    embedded = EmbeddedBroker(data.expanduser(), port, preferred_port=DEFAULT_PORT)
    try:
        with embedded:
            print(f"Apache Kafka {KAFKA_VERSION} answers at {embedded.address}", flush=True)
            if embedded.port != DEFAULT_PORT:
                print(f"For the other commands: export EVERYCENT_BROKER={embedded.address}", flush=True)
            print(f"Data in {embedded.data_dir}, log in {embedded.log_path}. Ctrl-C stops it.", flush=True)
            while embedded.is_running:
                time.sleep(_LOOK_INTERVAL_S)
            raise UserError(
                f"the broker died; the last lines of {embedded.log_path}:\n{embedded.log_tail()}", ExitStatus.FAILED
            )
    except KeyboardInterrupt:
        return


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
